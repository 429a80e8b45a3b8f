// Around a burst a context's burst counter is odd: packets may be between two places.
#pragma once

#include <atomic>

#include "nf_lib/control_layout.h"

namespace hb {

/// Around each burst. The owner's thread alone.
class BurstScope {
 public:
  explicit BurstScope(ContextPage* page) noexcept : bursts_(page->bursts) {
    bursts_.store(bursts_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    // The odd count must be out before the route table is read: whoever retires a table waits for
    // contexts that it sees inside a burst. Pairs with the fence in the manager's grace period.
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  // Release: pairs with the manager's acquire load, so that an even count means all is published.
  ~BurstScope() {
    bursts_.store(bursts_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  BurstScope(const BurstScope&) = delete;
  BurstScope& operator=(const BurstScope&) = delete;

 private:
  std::atomic<std::uint64_t>& bursts_;
};

}  // namespace hb
