// Whether the manager may take packets from a ring that another process can write to.
#pragma once

#include "nf_lib/ring.h"

namespace hb {

/// The ring is as planned and holds no more than it can. A wild write may have changed either; then
/// the ring is left alone, and nobody waits for what is in it.
inline bool ring_is_usable(const rte_ring* ring, std::uint32_t planned_size) noexcept {
  return ring_is_sane(ring, planned_size) &&
         __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED) - ring->cons.tail < planned_size;
}

}  // namespace hb
