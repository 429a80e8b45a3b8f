#include "gpu_host/cuda/launch_gate.h"

#include <algorithm>
#include <atomic>

namespace hb::cuda {

LaunchGate::Passage::Passage(LaunchGate& gate, u32& leaving) : gate_(gate), leaving_(leaving) {
  std::unique_lock lock(gate_.mutex_);
  gate_.changed_.wait(lock, [this] { return !gate_.paused_; });
  gate_.under_way_.push_back(&leaving_);
}

LaunchGate::Passage::~Passage() {
  const std::lock_guard lock(gate_.mutex_);
  gate_.under_way_.erase(std::ranges::find(gate_.under_way_, &leaving_));
  gate_.changed_.notify_all();
}

LaunchGate::Pause::Pause(LaunchGate& gate) : gate_(gate) {
  std::unique_lock lock(gate_.mutex_);
  gate_.changed_.wait(lock, [this] { return !gate_.paused_; });
  gate_.paused_ = true;
  // A slice clears its word before it passes, so none of these is cleared again. Release: pairs
  // with nothing but the kernel's poll; the launch's end is what counts.
  for (u32* const leaving : gate_.under_way_)
    std::atomic_ref<u32>(*leaving).store(1, std::memory_order_release);
  gate_.changed_.wait(lock, [this] { return gate_.under_way_.empty(); });
}

LaunchGate::Pause::~Pause() {
  const std::lock_guard lock(gate_.mutex_);
  gate_.paused_ = false;
  gate_.changed_.notify_all();
}

}  // namespace hb::cuda
