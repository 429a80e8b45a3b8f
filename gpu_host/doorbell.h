// Wakes the thread that launches a slice when its queues get work.
#pragma once

#include <atomic>
#include <cstdint>

namespace hb {

/// Any number of ringers, one waiter. Ringing costs a fence and a load while nobody waits.
class Doorbell {
 public:
  /// After the store that makes work. Any thread.
  void ring() noexcept {
    // Pairs with the fence in wait_unless(): either this load sees the waiter, or the waiter's
    // look sees the work. So no ring is lost.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (waiting_.load(std::memory_order_relaxed) == 0) return;
    waiting_.store(0, std::memory_order_release);
    waiting_.notify_one();
  }

  /// Sleeps until rung, unless there is work already. One thread.
  /// @param has_work  called once the wait has been announced
  template <typename HasWork>
  void wait_unless(HasWork has_work) noexcept {
    waiting_.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (has_work()) {
      waiting_.store(0, std::memory_order_relaxed);
      return;
    }
    waiting_.wait(1, std::memory_order_acquire);
  }

 private:
  std::atomic<std::uint32_t> waiting_{0};
};

}  // namespace hb
