#include "gpu_host/cuda/launch_gate.h"

#include "gpu_host/stop_words.h"

namespace hb::cuda {

LaunchGate::Passage::Passage(LaunchGate& gate, const RegionView& region,
                             std::span<const std::uint32_t> work_groups)
    : gate_(gate) {
  std::unique_lock lock(gate_.mutex_);
  gate_.changed_.wait(lock, [this] { return !gate_.paused_; });
  launch_ = gate_.under_way_.insert(gate_.under_way_.end(), {region, work_groups});
}

LaunchGate::Passage::~Passage() {
  const std::lock_guard lock(gate_.mutex_);
  gate_.under_way_.erase(launch_);
  gate_.changed_.notify_all();
}

LaunchGate::Pause::Pause(LaunchGate& gate) : gate_(gate) {
  std::unique_lock lock(gate_.mutex_);
  gate_.changed_.wait(lock, [this] { return !gate_.paused_; });
  gate_.paused_ = true;
  // A slice clears its words before it passes, so none of these is cleared again.
  for (const Launch& launch : gate_.under_way_)
    write_stop_words(launch.region, launch.work_groups, 1);
  gate_.changed_.wait(lock, [this] { return gate_.under_way_.empty(); });
}

LaunchGate::Pause::~Pause() {
  const std::lock_guard lock(gate_.mutex_);
  gate_.paused_ = false;
  gate_.changed_.notify_all();
}

}  // namespace hb::cuda
