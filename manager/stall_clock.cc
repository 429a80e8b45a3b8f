#include "manager/stall_clock.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

namespace hb {

std::optional<TaskLook> look_at_task(int pid, int thread) {
  std::ifstream file(fmt::format("/proc/{}/task/{}/stat", pid, thread != 0 ? thread : pid));
  if (!file && thread != 0) return look_at_task(pid);
  // Not by the stream's buffer: that throws when the process goes between opening and reading.
  std::string text;
  std::getline(file, text, '\0');
  // The name is in parentheses, and may hold anything.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  TaskLook look;
  std::string skipped;
  std::uint64_t user_ticks = 0, system_ticks = 0;
  fields >> look.state;
  for (int field = 4; field < 14; ++field) fields >> skipped;
  fields >> user_ticks >> system_ticks;
  if (!fields) return std::nullopt;
  const auto ticks_per_s = static_cast<std::uint64_t>(std::max(1L, sysconf(_SC_CLK_TCK)));
  look.cpu = std::chrono::milliseconds((user_ticks + system_ticks) * 1000 / ticks_per_s);
  return look;
}

bool StallClock::is_stalled(std::uint64_t progress, bool waits) noexcept {
  // What has come since the last look may have come just now.
  const bool waited = std::exchange(waited_, waits);
  if (waits && waited && progress == progress_) return true;
  progress_ = progress;
  stalled_ = Duration{0};
  cpu_.reset();
  return false;
}

StallClock::Duration StallClock::add(Duration passed, const TaskLook& task) noexcept {
  if (task.state == 'R') {
    if (cpu_) stalled_ += std::clamp(task.cpu - *cpu_, Duration{0}, passed);
  } else {
    stalled_ += passed;
  }
  cpu_ = task.cpu;
  return stalled_;
}

}  // namespace hb
