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

}  // namespace plain

/// Either nothing, or exactly what decode_packet() finds. In registers: a decoded packet that was
/// just written to memory piece by piece is waited for when it is read back.
/// @param frame  the captured bytes, from the destination MAC address on
[[nodiscard]] inline PlainPacket decode_plain(std::span<const std::uint8_t> frame) noexcept {
  constexpr std::uint32_t kIp = PlainPacket::kOffset;
  constexpr std::uint32_t kIpv4Bytes = 20, kIpv6Bytes = 40;
  PlainPacket packet;
  if (frame.size() < kIp + kIpv4Bytes || frame.size() > 0xffff) return packet;
  const std::uint8_t* const at = frame.data();
  const auto captured = static_cast<std::uint32_t>(frame.size()) - kIp;
  const std::uint32_t ethertype = plain::load_be16(at + 12);
  std::uint32_t header_bytes, total;
  if (ethertype == kEthertypeIpv4) {
    total = plain::load_be16(at + kIp + 2);
    if (at[kIp] != 0x45 || total < kIpv4Bytes) return packet;
    if ((plain::load_be16(at + kIp + 6) & 0x3fff) != 0) return packet;  // a fragment
    packet.protocol = at[kIp + 9];
    header_bytes = kIpv4Bytes;
  } else if (ethertype == kEthertypeIpv6) {
    if (captured < kIpv6Bytes || at[kIp] >> 4 != 6) return packet;
    total = plain::load_be16(at + kIp + 4) + kIpv6Bytes;
    packet.protocol = at[kIp + 6];
    if (total == kIpv6Bytes) return packet;  // length 0: a jumbogram's, or segmentation offload
    if (packet.protocol != kProtocolTcp && packet.protocol != kProtocolUdp &&
        packet.protocol != plain::kEsp)
      return packet;
    header_bytes = kIpv6Bytes;
  } else {
    return packet;
  }
  packet.ip_bytes = total;
  packet.ip_payload_offset = kIp + header_bytes;
  packet.ip_payload_length = std::min(total, captured) - header_bytes;
  const std::uint8_t* const l4 = at + packet.ip_payload_offset;
  packet.has_ports = plain::has_ports(packet.protocol, l4, packet.ip_payload_length);
  if (packet.has_ports) {
    packet.src_port = static_cast<std::uint16_t>(plain::load_be16(l4));
    packet.dst_port = static_cast<std::uint16_t>(plain::load_be16(l4 + 2));
  }
  packet.ip_version = header_bytes == kIpv4Bytes ? 4 : 6;
  return packet;
}

}  // namespace hb
