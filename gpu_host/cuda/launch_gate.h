// Launches that never end, and what has to wait for them.
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "kernels/layout.h"

namespace hb::cuda {

/// Loading code may wait for every kernel that runs, and a slice's runs until it is told to leave.
/// So whoever loads code pauses all slices: their launches end, each work-group at its next round
/// boundary, and new ones wait. Any thread.
class LaunchGate {
 public:
  /// Held while a launch without an end is under way.
  class Passage {
   public:
    /// Waits while there is a pause.
    /// @param leaving  the slice's word, which the caller has cleared; outlives this
    Passage(LaunchGate& gate, u32& leaving);
    ~Passage();
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;

   private:
    LaunchGate& gate_;
    u32& leaving_;
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
  std::vector<u32*> under_way_;  ///< the slices' words
};

}  // namespace hb::cuda
