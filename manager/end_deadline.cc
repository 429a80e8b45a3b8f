#include "manager/end_deadline.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

namespace hb {

EndDeadline::EndDeadline(std::unique_ptr<ControlArea>& control, std::chrono::milliseconds limit)
    : control_(control), thread_([this, limit] { wait(limit); }) {}

EndDeadline::~EndDeadline() {
  {
    const std::lock_guard lock(mutex_);
    in_time_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

void EndDeadline::wait(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  if (ended_.wait_for(lock, limit, [this] { return in_time_; })) return;
  spdlog::warn(
      "DPDK has not ended for {} s: a process that attached to it has died with one of its locks; "
      "it is left as it is, and its files are removed",
      std::chrono::duration_cast<std::chrono::seconds>(limit).count());
  control_.reset();
  _exit(status_.load(std::memory_order_relaxed));
}

}  // namespace hb
