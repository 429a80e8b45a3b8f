// How the host ends a launch of the persistent loop: one word for each of its work-groups.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "nf_lib/region.h"

namespace hb {

/// Tells work-groups to end their launch at the next round boundary (1), or no longer to (0).
/// Sequentially consistent: who asks a launching thread for something stores the request, then 1
/// here; the launching thread stores 0 here before a launch, then looks for requests. One of the
/// two sees the other.
inline void write_stop_words(const RegionView& region, std::span<const std::uint32_t> work_groups,
                             u32 value) noexcept {
  for (const std::uint32_t work_group : work_groups)
    std::atomic_ref<u32>(region.queue_control(work_group)->published.stop)
        .store(value, std::memory_order_seq_cst);
}

}  // namespace hb
