// Hashes of packets' flows: what instances of an NF are chosen by.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <span>

#include "nf_lib/decode.h"

namespace hb {

/// Hash of a packet's flow, the same for both directions and for all fragments of a datagram.
///
/// Over IP version, both addresses, protocol and ports (0 when the packet has none, so for every
/// fragment: fragments of a flow hash together, apart from its whole packets). Packets that are not
/// IP, or malformed, hash over their two MAC addresses. All 32 bits are well mixed.
/// @param frame  the bytes that `packet` was decoded from
[[nodiscard]] std::uint32_t flow_hash(std::span<const std::uint8_t> frame,
                                      const DecodedPacket& packet) noexcept;

/// Hashes the packets of a burst; of several segments the first. Cheaper than decode_burst() and
/// flow_hash(), for those who want no more.
/// @param hashes  same length; every entry is written
void flow_hash_burst(std::span<rte_mbuf* const> burst, std::uint32_t* hashes) noexcept;

}  // namespace hb
