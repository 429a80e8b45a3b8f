#include "nf_lib/decode.h"

#include <algorithm>
#include <cstddef>
#include <limits>

namespace hb {
namespace {

constexpr std::uint32_t kEthernetBytes = 14;
constexpr std::uint32_t kVlanTagBytes = 4;
constexpr std::uint8_t kMaxVlanTags = 2;
constexpr std::uint32_t kIpv4MinBytes = 20;
constexpr std::uint32_t kIpv6Bytes = 40;
constexpr std::uint32_t kTcpMinBytes = 20;
constexpr std::uint32_t kUdpBytes = 8;
constexpr std::uint32_t kIcmpBytes = 8;
constexpr std::uint32_t kExtensionMinBytes = 8;

std::uint16_t load_be16(std::span<const std::uint8_t> bytes, std::uint32_t offset) noexcept {
  return static_cast<std::uint16_t>((bytes[offset] << 8) | bytes[offset + 1]);
}

bool is_vlan(std::uint16_t ethertype) noexcept {
  return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

/// True for the IPv6 extension headers that are walked (RFC 7045 section 4, without ESP, whose
/// next header is encrypted, and without the fragment header, which ends the walk itself).
bool is_skippable_extension(std::uint8_t next_header) noexcept {
  switch (next_header) {
    case kProtocolHopByHop:
    case kProtocolRouting:
    case kProtocolDestinationOptions:
    case kProtocolAh:
    case kProtocolMobility:
    case kProtocolHip:
    case kProtocolShim6:
      return true;
    default:
      return false;
  }
}

/// Fills the L4 fields from the IP payload; leaves l4 kNone when the header does not fit in it.
/// What it needs comes in registers: read back from a packet that was just written, it would be
/// waited for.
/// @param start      of the IP payload
/// @param available  its bytes
inline void decode_l4(std::span<const std::uint8_t> frame, std::uint8_t ip_version,
                      std::uint8_t protocol, std::uint32_t start, std::uint32_t available,
                      DecodedPacket& packet) noexcept {
  std::uint32_t header_bytes = 0;
  std::uint32_t tcp_flags_offset = 0;
  std::uint32_t stated = available;  // header and payload, as far as the L4 header says
  L4Kind kind = L4Kind::kNone;
  if (protocol == kProtocolTcp) {
    if (available < kTcpMinBytes) return;
    header_bytes = static_cast<std::uint32_t>(frame[start + 12] >> 4) * 4;
    if (header_bytes < kTcpMinBytes) return;
    tcp_flags_offset = start + 13;
    kind = L4Kind::kTcp;
  } else if (protocol == kProtocolUdp) {
    if (available < kUdpBytes) return;
    header_bytes = kUdpBytes;
    const std::uint16_t udp_length = load_be16(frame, start + 4);
    if (udp_length != 0) stated = std::min<std::uint32_t>(available, udp_length);
    kind = L4Kind::kUdp;
  } else if (protocol == kProtocolIcmp && ip_version == 4) {
    header_bytes = kIcmpBytes;
    kind = L4Kind::kIcmp;
  } else if (protocol == kProtocolIcmpV6 && ip_version == 6) {
    header_bytes = kIcmpBytes;
    kind = L4Kind::kIcmpV6;
  } else {
    return;
  }
  if (stated < header_bytes) return;
  packet.l4 = kind;
  packet.tcp_flags_offset = tcp_flags_offset;
  packet.l4_payload_offset = start + header_bytes;
  packet.l4_payload_length = stated - header_bytes;
  if (kind == L4Kind::kTcp || kind == L4Kind::kUdp) {
    packet.has_ports = true;
    packet.src_port = load_be16(frame, start);
    packet.dst_port = load_be16(frame, start + 2);
  }
}

/// RFC 791 section 3.1.
DecodeStatus decode_ipv4(std::span<const std::uint8_t> frame, DecodedPacket& packet) noexcept {
  const std::uint32_t ip = packet.ip_offset;
  const std::uint32_t captured = static_cast<std::uint32_t>(frame.size()) - ip;
  if (captured < kIpv4MinBytes || (frame[ip] >> 4) != 4) return DecodeStatus::kMalformed;
  const std::uint32_t header_bytes = static_cast<std::uint32_t>(frame[ip] & 0x0f) * 4;
  if (header_bytes < kIpv4MinBytes || header_bytes > captured) return DecodeStatus::kMalformed;
  std::uint32_t total = load_be16(frame, ip + 2);
  if (total == 0) total = captured;
  if (total < header_bytes) return DecodeStatus::kMalformed;

  packet.ip_version = 4;
  const std::uint8_t protocol = frame[ip + 9];
  const std::uint32_t payload_bytes = std::min(total, captured) - header_bytes;
  packet.protocol = protocol;
  std::copy_n(frame.begin() + ip + 12, 4, packet.src.begin());
  std::copy_n(frame.begin() + ip + 16, 4, packet.dst.begin());
  packet.ip_payload_offset = ip + header_bytes;
  packet.ip_payload_length = payload_bytes;
  const std::uint16_t fragment = load_be16(frame, ip + 6);
  const bool more = (fragment & 0x2000) != 0;
  const bool first = (fragment & 0x1fff) == 0;
  const bool is_fragment = more || !first;
  packet.is_fragment = is_fragment;
  packet.first_fragment = is_fragment && first;
  if (!is_fragment) decode_l4(frame, 4, protocol, ip + header_bytes, payload_bytes, packet);
  return DecodeStatus::kOk;
}

/// RFC 8200 sections 3 and 4.
DecodeStatus decode_ipv6(std::span<const std::uint8_t> frame, DecodedPacket& packet) noexcept {
  const std::uint32_t ip = packet.ip_offset;
  const std::uint32_t captured = static_cast<std::uint32_t>(frame.size()) - ip;
  if (captured < kIpv6Bytes || (frame[ip] >> 4) != 6) return DecodeStatus::kMalformed;
  std::uint8_t next_header = frame[ip + 6];
  std::uint32_t end = ip + captured;
  const std::uint16_t stated = load_be16(frame, ip + 4);
  if (stated != 0 || next_header == kProtocolNoNext) end = std::min(end, ip + kIpv6Bytes + stated);

  std::uint32_t at = ip + kIpv6Bytes;
  while (true) {  // each turn moves `at` by 8 bytes or more towards `end`
    if (next_header == kProtocolFragment) {
      if (end - at < kExtensionMinBytes) return DecodeStatus::kMalformed;
      const std::uint16_t fragment = load_be16(frame, at + 2);
      const bool more = (fragment & 1) != 0;
      const bool first = (fragment & 0xfff8) == 0;
      next_header = frame[at];
      at += kExtensionMinBytes;
      if (!more && first) continue;  // RFC 6946: an atomic fragment is a whole packet
      packet.is_fragment = true;
      packet.first_fragment = first;
      break;
    }
    if (!is_skippable_extension(next_header)) break;
    if (end - at < kExtensionMinBytes) return DecodeStatus::kMalformed;
    // RFC 4302 section 2.2: AH counts 4-byte units minus 2; all others 8-byte units minus 1.
    const std::uint32_t bytes =
        next_header == kProtocolAh ? (frame[at + 1] + 2u) * 4u : (frame[at + 1] + 1u) * 8u;
    if (bytes < kExtensionMinBytes || bytes > end - at) return DecodeStatus::kMalformed;
    next_header = frame[at];
    at += bytes;
  }

  packet.ip_version = 6;
  packet.protocol = next_header;
  std::copy_n(frame.begin() + ip + 8, 16, packet.src.begin());
  std::copy_n(frame.begin() + ip + 24, 16, packet.dst.begin());
  packet.ip_payload_offset = at;
  packet.ip_payload_length = end - at;
  if (!packet.is_fragment) decode_l4(frame, 6, next_header, at, end - at, packet);
  return DecodeStatus::kOk;
}

}  // namespace

DecodedPacket decode_packet(std::span<const std::uint8_t> frame) noexcept {
  DecodedPacket packet;
  // Offsets are 32 bits wide; no frame is that long, but the bound must not rest on that.
  frame =
      frame.first(std::min<std::size_t>(frame.size(), std::numeric_limits<std::int32_t>::max()));
  if (frame.size() < kEthernetBytes) return packet;
  std::uint32_t type_offset = kEthernetBytes - 2;
  std::uint16_t ethertype = load_be16(frame, type_offset);
  while (is_vlan(ethertype) && packet.n_vlan_tags < kMaxVlanTags) {
    if (frame.size() < type_offset + 2 + kVlanTagBytes) return packet;
    type_offset += kVlanTagBytes;
    ethertype = load_be16(frame, type_offset);
    ++packet.n_vlan_tags;
  }
  packet.ethertype = ethertype;
  packet.ip_offset = type_offset + 2;
  if (ethertype == kEthertypeIpv4) {
    packet.status = decode_ipv4(frame, packet);
  } else if (ethertype == kEthertypeIpv6) {
    packet.status = decode_ipv6(frame, packet);
  } else {
    packet.status = DecodeStatus::kNotIp;
  }
  return packet;
}

}  // namespace hb
