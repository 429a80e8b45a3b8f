// Whether a process is hung: it makes no progress though packets wait for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace hb {

/// What the kernel says of a thread.
struct TaskLook {
  char state = '?';                  ///< as in proc(5): R, S, D, T, t, Z
  std::chrono::milliseconds cpu{0};  ///< CPU time that it has ever used

  /// By a signal, or by a debugger.
  [[nodiscard]] bool is_stopped() const noexcept { return state == 'T' || state == 't'; }
};
/// @param thread  the kernel's number of it; the main thread if the process has none of that number
/// @return nullopt if there is no such process
std::optional<TaskLook> look_at_task(int pid, int thread = 0);

/// Adds up the time in which a process could have made progress and did not. Only such time counts:
/// a looker that comes late counts one period, and a process that wants the CPU and does not get it
/// is not hung.
class StallClock {
 public:
  using Duration = std::chrono::milliseconds;
  /// @return true if nothing has moved since the last look, and packets waited then and wait now
  bool is_stalled(std::uint64_t progress, bool waits) noexcept;
  /// @param passed  since the last look, at most the period between two
  /// @param task    now
  /// @return for how long it has been stalled
  Duration add(Duration passed, const TaskLook& task) noexcept;
  void reset() noexcept { *this = StallClock{}; }

 private:
  std::uint64_t progress_ = 0;
  bool waited_ = false;  ///< at the last look
  Duration stalled_{0};
  std::optional<Duration> cpu_;  ///< at the look before, while it is stalled
};

}  // namespace hb
