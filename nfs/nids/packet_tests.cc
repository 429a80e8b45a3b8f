#include "nfs/nids/packet_tests.h"

namespace hb::nids {
namespace {

constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kAck = 0x10;

bool is_icmp(const DecodedPacket& packet) noexcept {
  return packet.l4 == L4Kind::kIcmp || packet.l4 == L4Kind::kIcmpV6;
}

}  // namespace

bool TcpFlagsTest::matches(std::uint8_t packet_flags) const noexcept {
  // As Suricata: `0` looks at all bits, whatever stands after the comma.
  if (flags == 0 && packet_flags != 0) return mode == Mode::kNot;
  const auto seen = static_cast<std::uint8_t>(packet_flags & looked_at);
  switch (mode) {
    case Mode::kAtLeast:
      return (seen & flags) == flags;
    case Mode::kAnyOf:
      return (seen & flags) != 0;
    case Mode::kNot:
      return (seen & flags) != flags;
    case Mode::kExactly:
      break;
  }
  return seen == flags;
}

bool FlowTest::matches(const DecodedPacket& packet, std::uint8_t tcp_flags) const noexcept {
  if (only_fragments && !packet.is_fragment) return false;
  if (no_fragments && packet.is_fragment) return false;
  if (packet.l4 != L4Kind::kTcp || (tcp_flags & kSyn) == 0) return true;
  // RFC 9293 section 3.5: who sends SYN alone opens the connection, SYN with ACK answers.
  if (established) return false;
  return (tcp_flags & kAck) != 0 ? !to_server : !to_client;
}

bool PacketTests::match(std::span<const std::uint8_t> frame, const DecodedPacket& packet,
                        std::span<const std::uint8_t> payload) const noexcept {
  if (ip_version != 0 && packet.ip_version != ip_version) return false;
  if (dsize && !dsize->matches(static_cast<std::uint32_t>(payload.size()))) return false;
  const bool is_tcp = packet.l4 == L4Kind::kTcp;
  const std::uint8_t tcp_flags = is_tcp ? frame[packet.tcp_flags_offset] : std::uint8_t{0};
  if (flags && (!is_tcp || !flags->matches(tcp_flags))) return false;
  if (flow && !flow->matches(packet, tcp_flags)) return false;
  if (ttl) {
    const std::uint32_t at = packet.ip_offset + (packet.ip_version == 4 ? 8 : 7);
    if (!ttl->matches(frame[at])) return false;
  }
  if (itype && (!is_icmp(packet) || !itype->matches(frame[packet.ip_payload_offset]))) return false;
  if (icode && (!is_icmp(packet) || !icode->matches(frame[packet.ip_payload_offset + 1]))) {
    return false;
  }
  for (const NumberTest& wanted : ip_protocols) {
    if (!wanted.matches(packet.protocol)) return false;
  }
  return true;
}

}  // namespace hb::nids
