// What ends the manager when DPDK does not come back from taking itself down.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "manager/control_area.h"

namespace hb {

/// While one of these lives, DPDK has that long to end. A true secondary (a DPDK tool, an NF with
/// --eal secondary) that died with one of DPDK's own locks has taken it along: whoever asks for it
/// waits for good. Then the manager's files are removed and the process ends without DPDK.
class EndDeadline {
 public:
  /// @param control  who else uses it meanwhile waits for DPDK, so that it can be taken away
  EndDeadline(std::unique_ptr<ControlArea>& control, std::chrono::milliseconds limit);
  ~EndDeadline();
  EndDeadline(const EndDeadline&) = delete;
  EndDeadline& operator=(const EndDeadline&) = delete;

  /// What the process shall end with; 1 until then.
  void set_status(int status) noexcept { status_.store(status, std::memory_order_relaxed); }

 private:
  void wait(std::chrono::milliseconds limit);

  std::unique_ptr<ControlArea>& control_;
  std::atomic<int> status_{1};
  std::mutex mutex_;
  std::condition_variable ended_;
  bool in_time_ = false;
  std::thread thread_;
};

}  // namespace hb
