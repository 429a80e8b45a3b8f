// What travels with each packet: type, route version, capture time and number, drop reason.
// One registered mbuf dynamic field; its offset is the same in every process.
#pragma once

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include <cstdint>

namespace hb {

/// 24 bytes, so that it and a driver's 8-byte receive time both fit the mbuf's free space.
struct PacketMeta {
  std::uint64_t capture_ns;         ///< nanoseconds since 1970, when the port received it
  std::uint32_t capture_number_lo;  ///< number on its input port, from 1
  std::uint16_t capture_number_hi;
  std::uint8_t type;           ///< packet type; checked before it indexes anything
  std::uint8_t route_version;  ///< the route table that judges this packet
  std::uint32_t flow_hash;     ///< symmetric: both directions of a flow have the same
  std::uint8_t drop_reason;    ///< why it goes to the reclaimer (DropReason or kNfReasons + index)
  /// Whose drop it is: the instance (by id) that dropped or lost it, or the service that is
  /// missing, or whose ring is full.
  std::uint8_t drop_service;
  std::uint16_t out_port_plus_1;  ///< set_out_port(); 0: none was chosen

  [[nodiscard]] std::uint64_t capture_number() const noexcept {
    return (std::uint64_t{capture_number_hi} << 32) | capture_number_lo;
  }
  void set_capture_number(std::uint64_t number) noexcept {
    capture_number_lo = static_cast<std::uint32_t>(number);
    capture_number_hi = static_cast<std::uint16_t>(number >> 32);
  }
};
static_assert(sizeof(PacketMeta) == 24);

/// Chooses the port through which the packet leaves when its chain ends, whatever port the routes
/// name there; NFs that follow still see it. Checked when it leaves.
inline void set_out_port(PacketMeta& meta, std::uint32_t port) noexcept {
  meta.out_port_plus_1 = static_cast<std::uint16_t>(port + 1);
}

inline constexpr rte_mbuf_dynfield kPacketMetaField = {
    .name = "hummingbird_packet_meta",
    .size = sizeof(PacketMeta),
    .align = alignof(PacketMeta),
    .flags = 0,
};

/// Byte offset of PacketMeta in an mbuf; set once by who attaches, before any packet is touched.
inline int packet_meta_offset = -1;

/// The packet's metadata. Whoever has the packet may read and write it.
inline PacketMeta& packet_meta(rte_mbuf* mbuf) noexcept {
  return *RTE_MBUF_DYNFIELD(mbuf, packet_meta_offset, PacketMeta*);
}

}  // namespace hb
