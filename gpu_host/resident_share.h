// How many work-groups run at once: a persistent one that waits for a place on the device would
// wait for good.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <utility>

#include "nf_lib/result.h"

namespace hb {

/// A share of the work-groups that a device can have resident; given back when this goes.
class ResidentShare {
 public:
  /// @param resident  how many are taken; outlives the share. Any thread
  /// @return an Error, taking nothing, if n more would be more than the limit
  static Result<ResidentShare> take(std::atomic<std::uint32_t>& resident, std::uint32_t limit,
                                    std::uint32_t n) {
    const std::uint32_t before = resident.fetch_add(n, std::memory_order_relaxed);
    ResidentShare share(resident, n);
    if (before + n <= limit) return share;
    return Error{fmt::format("{} work-groups more than the {} running would exceed the device's {}",
                             n, before, limit),
                 "give the manager fewer --workgroups"};
  }
  ResidentShare(ResidentShare&& other) noexcept
      : resident_(std::exchange(other.resident_, nullptr)), n_(other.n_) {}
  ResidentShare& operator=(ResidentShare&&) = delete;
  ~ResidentShare() {
    if (resident_ != nullptr) resident_->fetch_sub(n_, std::memory_order_relaxed);
  }

 private:
  ResidentShare(std::atomic<std::uint32_t>& resident, std::uint32_t n)
      : resident_(&resident), n_(n) {}

  std::atomic<std::uint32_t>* resident_;
  std::uint32_t n_;
};

}  // namespace hb
