// The rings' 32-bit indices as 64-bit totals, sampled often enough that none can wrap unseen.
#pragma once

#include <cstdint>
#include <vector>

#include "nf_lib/region.h"

namespace hb {

/// Control thread only. Every number of packets that the platform reports about NFs is read off
/// these, so no NF counts for itself and a crash can't leave a counter behind.
class RingTotals {
 public:
  explicit RingTotals(const RegionView& region)
      : region_(region), consumed_(region.n_rings()), produced_(region.n_rings()) {}

  /// Looks at all rings. Must be called at least once in 2^32 packets of the busiest.
  void sample() noexcept {
    for (std::uint32_t id = 0; id < region_.n_rings(); ++id) {
      const rte_ring* const ring = region_.ring(RingId(id));
      extend(consumed_[id], __atomic_load_n(&ring->cons.tail, __ATOMIC_ACQUIRE));
      extend(produced_[id], __atomic_load_n(&ring->prod.tail, __ATOMIC_ACQUIRE));
    }
  }

  [[nodiscard]] std::uint64_t consumed_by(EndpointId endpoint) const noexcept {
    std::uint64_t sum = 0;
    for (std::uint32_t c = 0; c < region_.layout().n_contexts; ++c)
      sum += consumed_[region_.ring_id(endpoint, ContextId(c)).value];
    return sum;
  }
  [[nodiscard]] std::uint64_t produced_by(ContextId context) const noexcept {
    std::uint64_t sum = 0;
    for (std::uint32_t e = 0; e < region_.layout().n_endpoints; ++e)
      sum += produced_[region_.ring_id(EndpointId(e), context).value];
    return sum;
  }
  [[nodiscard]] std::uint64_t originated_by(ContextId context) const noexcept {
    return consumed_[region_.fill_ring_id(context).value];
  }

 private:
  static void extend(std::uint64_t& total, std::uint32_t now) noexcept {
    total += static_cast<std::uint32_t>(now - static_cast<std::uint32_t>(total));
  }

  RegionView region_;
  std::vector<std::uint64_t> consumed_;
  std::vector<std::uint64_t> produced_;
};

}  // namespace hb
