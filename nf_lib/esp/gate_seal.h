// The gate's way for packets to be sealed, inlined where it is gone: a packet's fields stay in
// registers from its frame to its order. Whoever calls Gate::decide() includes it.
#pragma once

#include "kernels/esp_headers.h"
#include "nf_lib/decode_plain.h"
#include "nf_lib/esp/gate.h"

namespace hb::ipsec {

/// What is looked at in a frame; the key's addresses lie in the frame.
struct SeenPacket {
  DecodeStatus status = DecodeStatus::kMalformed;
  bool is_fragment = false;
  std::uint32_t ip_offset = 0;
  std::uint32_t ip_payload_offset = 0;
  std::uint32_t ip_payload_length = 0;
  std::uint32_t ip_bytes = 0;  ///< the stated length, header included; 0: it can't be true
  SelectorKey key{};
};

/// @param packet  a PlainPacket or a DecodedPacket that is ok
template <typename Packet>
inline SelectorKey selector_key(const Packet& packet, const std::uint8_t* ip) noexcept {
  return {packet.ip_version, packet.protocol, packet.has_ports,
          packet.src_port,   packet.dst_port, ip + (packet.ip_version == 4 ? 12 : 8)};
}

inline SeenPacket seen(const PlainPacket& packet, std::span<const std::uint8_t> frame) noexcept {
  constexpr std::uint32_t kIp = PlainPacket::kOffset;
  return {DecodeStatus::kOk,
          false,
          kIp,
          packet.ip_payload_offset,
          packet.ip_payload_length,
          packet.ip_bytes <= frame.size() - kIp ? packet.ip_bytes : 0,
          selector_key(packet, frame.data() + kIp)};
}

/// Drops a packet whose SA is known.
inline Order refused(Sa& sa, Drop reason) noexcept {
  Sa::add(sa.state->dropped, 1);
  return Order::to_drop(reason);
}

/// Whether the frame goes the way of packets that come in from the untrusted side.
[[gnu::always_inline]] inline bool Gate::is_inbound(const SeenPacket& packet) const noexcept {
  switch (options_.direction) {
    case Direction::kEncrypt:
      return false;
    case Direction::kDecrypt:
      return true;
    default:
      break;
  }
  // Both ways through one instance: ESP to one of our own addresses comes in, the rest goes out.
  if (packet.key.protocol != HB_ESP_PROTOCOL) return false;
  return table_->is_own_address(packet.key.version, packet.key.dst());
}

[[gnu::always_inline]] inline Order Gate::decide_seal(const FrameView& frame,
                                                      const SeenPacket& packet) noexcept {
  const Choice choice = table_->choose_outbound(packet.key);
  if (!choice.found) return Order::to_drop(Drop::kNoPolicy);
  if (choice.action == PolicyAction::kBlock) return Order::to_drop(Drop::kBlocked);
  if (choice.action == PolicyAction::kBypass) return Order::to_pass();
  if (choice.sa == nullptr) return Order::to_drop(Drop::kNoSa);
  Sa& sa = *choice.sa;
  const HbEspSa& wire = sa.wire;
  const std::uint8_t* const inner = frame.data + packet.ip_offset;
  const std::uint32_t inner_bytes = packet.ip_bytes;
  if (inner_bytes == 0) return Order::to_drop(Drop::kMalformed);
  if (choice.spent) return refused(sa, Drop::kLifetime);

  const std::uint32_t sealed_bytes = hb_esp_sealed_bytes(&wire, inner_bytes);
  const std::uint32_t esp_bytes = hb_esp_bytes(&wire, sealed_bytes);
  const std::uint32_t front = wire.outer_bytes + HB_ESP_HEADER_BYTES + wire.iv_bytes;
  const std::uint32_t end = packet.ip_offset + sealed_bytes + wire.icv_bytes + HB_ESP_MOVED_BACK;
  if (wire.outer_bytes + esp_bytes > options_.mtu || frame.headroom < front ||
      end > frame.length + frame.tailroom)
    return refused(sa, Drop::kTooBig);
  if ((wire.flags & HB_ESP_DECREMENT) != 0 && hb_ip_ttl(inner) <= 1)
    return refused(sa, Drop::kTtlExpired);
  const std::uint64_t sequence = sa.sequence.next() + 1;
  if ((wire.flags & HB_ESP_ESN) == 0 && sequence > std::uint64_t{0xffffffff})
    return refused(sa, Drop::kExhausted);
  sa.count(inner_bytes);  // here, so that no packet in flight exceeds a limit
  return {.action = Action::kSeal,
          .sa = static_cast<std::uint16_t>(sa.index),
          .ip_at = static_cast<std::uint16_t>(packet.ip_offset),
          .bytes = static_cast<std::uint16_t>(inner_bytes),
          .sequence = sequence};
}

[[gnu::always_inline]] inline Order Gate::decide(const FrameView& frame) noexcept {
  const std::span<const std::uint8_t> bytes{frame.data, frame.length};
  const PlainPacket plain = decode_plain(bytes);
  if (plain.ip_version == 0) [[unlikely]]
    return decide_any(frame);
  const SeenPacket packet = seen(plain, bytes);
  return is_inbound(packet) ? decide_inbound(frame, packet) : decide_seal(frame, packet);
}

}  // namespace hb::ipsec
