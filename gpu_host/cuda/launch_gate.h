// Launches that never end, and what has to wait for them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <span>

#include "nf_lib/region.h"

namespace hb::cuda {

/// Loading code may wait for every kernel that runs, and a slice's runs until it is told to leave.
/// So whoever loads code pauses all slices: their launches end, each work-group at its next round
/// boundary, and new ones wait. Any thread.
class LaunchGate {
 private:
  struct Launch {
    RegionView region;
    std::span<const std::uint32_t> work_groups;
  };

 public:
  /// Held while a launch without an end is under way.
  class Passage {
   public:
    /// Waits while there is a pause.
    /// @param work_groups  of the launch, whose stop words the caller has cleared; outlive this
    Passage(LaunchGate& gate, const RegionView& region, std::span<const std::uint32_t> work_groups);
    ~Passage();
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;

   private:
    LaunchGate& gate_;
    std::list<Launch>::iterator launch_;
  };

  /// No launch passes while it is held. One at a time: a second one waits for the first.
  class Pause {
   public:
    /// Tells the launches under way to leave, and waits until they have ended.
    explicit Pause(LaunchGate& gate);
    ~Pause();
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    LaunchGate& gate_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool paused_ = false;
  std::list<Launch> under_way_;
};

}  // namespace hb::cuda
