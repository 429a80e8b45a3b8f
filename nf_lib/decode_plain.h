// What most frames are, read without decode_packet()'s walk: Ethernet II without VLAN tags, IPv4
// without options and whole, or IPv6 in front of TCP, UDP or ESP.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "nf_lib/decode.h"

namespace hb {

/// Fields as those of the same name in DecodedPacket. The IP header starts at kOffset; what follows
/// it, at ip_payload_offset; nothing is a fragment.
struct PlainPacket {
  static constexpr std::uint32_t kOffset = 14;
  std::uint8_t ip_version = 0;  ///< 4 or 6; 0: the frame is none of these, ask decode_packet()
  std::uint8_t protocol = 0;
  bool has_ports = false;
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  std::uint32_t ip_payload_offset = 0;
  std::uint32_t ip_payload_length = 0;
  std::uint32_t ip_bytes = 0;  ///< as stated, header included; more than captured: cut short
};

namespace plain {

inline constexpr std::uint8_t kEsp = 50;

inline std::uint32_t load_be16(const std::uint8_t* at) noexcept {
  std::uint16_t v;
  std::memcpy(&v, at, sizeof(v));
  return __builtin_bswap16(v);
}

/// Whether decode_packet() would find ports.
/// @param bytes  of the IP payload, all of them in the frame
inline bool has_ports(std::uint8_t protocol, const std::uint8_t* l4, std::uint32_t bytes) noexcept {
  if (protocol == kProtocolUdp) {
    if (bytes < 8) return false;
    const std::uint32_t stated = load_be16(l4 + 4);
    return stated == 0 || stated >= 8;
  }
  if (protocol != kProtocolTcp || bytes < 20) return false;
  const std::uint32_t header_bytes = (l4[12] >> 4) * 4u;
  return header_bytes >= 20 && header_bytes <= bytes;
}

/// The fields, once the IP header is known to be a plain one.
/// @param total  bytes of the IP packet as stated, header_bytes at least
inline PlainPacket packet_of(std::span<const std::uint8_t> frame, std::uint8_t ip_version,
                             std::uint8_t protocol, std::uint32_t header_bytes,
                             std::uint32_t total) noexcept {
  const std::uint32_t captured = static_cast<std::uint32_t>(frame.size()) - PlainPacket::kOffset;
  const std::uint32_t l4_offset = PlainPacket::kOffset + header_bytes;
  const std::uint32_t l4_bytes = std::min(total, captured) - header_bytes;
  const std::uint8_t* const l4 = frame.data() + l4_offset;
  if (!has_ports(protocol, l4, l4_bytes))
    return {ip_version, protocol, false, 0, 0, l4_offset, l4_bytes, total};
  return {ip_version,
          protocol,
          true,
          static_cast<std::uint16_t>(load_be16(l4)),
          static_cast<std::uint16_t>(load_be16(l4 + 2)),
          l4_offset,
          l4_bytes,
          total};
}

}  // namespace plain

/// decode_plain() for IPv4 alone.
[[nodiscard]] inline PlainPacket decode_plain_ip4(std::span<const std::uint8_t> frame) noexcept {
  constexpr std::uint32_t kIpv4Bytes = 20;
  if (frame.size() < PlainPacket::kOffset + kIpv4Bytes || frame.size() > 0xffff) return {};
  const std::uint8_t* const ip = frame.data() + PlainPacket::kOffset;
  std::uint32_t start;  // Ethernet type, version, length of the header, TOS
  std::memcpy(&start, ip - 2, sizeof(start));
  if ((start & 0xffffff) != 0x450008) return {};
  const std::uint32_t total = plain::load_be16(ip + 2);
  const bool is_fragment = (plain::load_be16(ip + 6) & 0x3fff) != 0;
  if (total < kIpv4Bytes || is_fragment) return {};
  return plain::packet_of(frame, 4, ip[9], kIpv4Bytes, total);
}

/// decode_plain() for IPv6 alone.
[[nodiscard]] inline PlainPacket decode_plain_ip6(std::span<const std::uint8_t> frame) noexcept {
  constexpr std::uint32_t kIpv6Bytes = 40;
  if (frame.size() < PlainPacket::kOffset + kIpv6Bytes || frame.size() > 0xffff) return {};
  const std::uint8_t* const ip = frame.data() + PlainPacket::kOffset;
  if (plain::load_be16(ip - 2) != kEthertypeIpv6 || ip[0] >> 4 != 6) return {};
  const std::uint32_t payload = plain::load_be16(ip + 4);
  if (payload == 0) return {};  // a jumbogram's, or segmentation offload
  const std::uint8_t protocol = ip[6];
  if (protocol != kProtocolTcp && protocol != kProtocolUdp && protocol != plain::kEsp) return {};
  return plain::packet_of(frame, 6, protocol, kIpv6Bytes, kIpv6Bytes + payload);
}

/// Either nothing, or exactly what decode_packet() finds. In registers: a decoded packet that was
/// just written to memory piece by piece is waited for when it is read back.
/// @param frame  the captured bytes, from the destination MAC address on
[[nodiscard]] inline PlainPacket decode_plain(std::span<const std::uint8_t> frame) noexcept {
  const PlainPacket packet = decode_plain_ip4(frame);
  return packet.ip_version != 0 ? packet : decode_plain_ip6(frame);
}

}  // namespace hb
