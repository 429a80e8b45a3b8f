// One work-group of a kernel that is compiled for the host, to its end. Included after
// tests/kernels/host_device.h.
#pragma once

#include <ucontext.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "tests/kernels/host_device.h"

namespace hb::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Sanitizers know threads.
template <typename Body>
void run_group(std::uint32_t n_lanes, Body body) {
  run_work_groups(1, n_lanes, body);
}
#else
/// One work-group on this thread: its work-items take turns, each until it comes to a barrier. A
/// hundred times as fast as threads that wait for one another.
class TurnTaking {
 public:
  explicit TurnTaking(std::uint32_t n_lanes) : stacks_(n_lanes), items_(n_lanes) {}

  template <typename Body>
  void run(Body& body) {
    body_ = [](void* b) { (*static_cast<Body*>(b))(); };
    argument_ = &body;
    n_left_ = static_cast<std::uint32_t>(items_.size());
    for (std::uint32_t lane = 0; lane < items_.size(); ++lane) prepare(lane);
    for (current_ = this; n_left_ != 0;)
      for (lane_ = 0; lane_ < items_.size() && n_left_ != 0; ++lane_) turn();
  }

 private:
  static constexpr std::size_t kStackBytes = 256 << 10;

  void prepare(std::uint32_t lane) {
    getcontext(&items_[lane]);
    stacks_[lane].resize(kStackBytes);
    items_[lane].uc_stack = {.ss_sp = stacks_[lane].data(), .ss_flags = 0, .ss_size = kStackBytes};
    items_[lane].uc_link = &scheduler_;
    makecontext(
        &items_[lane], [] { current_->enter(); }, 0);
  }

  /// All work-items come to the same barriers, so all end in the same pass.
  void turn() {
    hb_host_item = {.group_id = 0,
                    .local_id = lane_,
                    .local_size = static_cast<u32>(items_.size()),
                    .barrier = [](void*) { current_->yield(); },
                    .state = nullptr,
                    .local = local_.data()};
    swapcontext(&scheduler_, &items_[lane_]);
  }
  void yield() { swapcontext(&items_[lane_], &scheduler_); }
  void enter() {
    body_(argument_);
    --n_left_;
  }

  static inline TurnTaking* current_ = nullptr;
  ucontext_t scheduler_{};
  std::vector<std::vector<std::byte> > stacks_;
  std::vector<ucontext_t> items_;
  std::array<u32, kHostLocalWords> local_{};
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  std::uint32_t lane_ = 0;
  std::uint32_t n_left_ = 0;
};

/// Local memory holds what the last group of that size left there.
template <typename Body>
void run_group(std::uint32_t n_lanes, Body body) {
  static std::map<std::uint32_t, TurnTaking> groups;
  groups.try_emplace(n_lanes, n_lanes).first->second.run(body);
}
#endif

}  // namespace hb::test
