// Whether the manager may take packets from a ring that another process can write to.
#pragma once

#include "nf_lib/ring.h"

namespace hb {

/// The ring holds no more than it can. After a wild write it may say so; then it is left alone, and
/// nobody waits for what is in it. Its constants are of no account: nobody reads them.
inline bool ring_is_usable(const rte_ring* ring, std::uint32_t planned_size) noexcept {
  return __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED) - ring->cons.tail < planned_size;
}

}  // namespace hb
