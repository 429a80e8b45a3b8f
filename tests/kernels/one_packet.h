// A frame as a kernel's work-item has it, for tests of a kernel's functions on one packet. Included
// after HB_KERNEL_ON_HOST is defined.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/packet.h"

namespace hb::test {

/// @param frame  lives as long as the packet, below 64 KiB; written only by accessors that write
inline HbPacket one_packet(std::span<const std::uint8_t> frame) {
  const u64 slot = HB_SLOT(0, frame.size(), 0);
  HbRound round{};
  round.region = const_cast<u8*>(frame.data());
  round.region_bytes = frame.size();
  round.packet_limit = 0xffff;
  round.slots = &slot;
  round.n_lanes = 1;
  return hb_packet(&round, 0);
}

}  // namespace hb::test
