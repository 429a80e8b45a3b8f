// This program, run again in a process of its own that inherits no descriptor but stdout and
// stderr.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "nf_lib/result.h"

namespace hb {

/// One child. Killed, if it still runs, when this object goes.
class ChildProcess {
 public:
  /// @param args  without the program's name
  static Result<ChildProcess> start(const std::string& program,
                                    const std::vector<std::string>& args);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess();

  /// Waits for its end and collects what it printed to either stream.
  /// @return an Error holding that text if it failed or was still running at the deadline
  Result<std::string> wait(std::chrono::milliseconds limit);

 private:
  ChildProcess(pid_t pid, int output) : pid_(pid), output_(output) {}

  pid_t pid_;
  int output_;  ///< reading end of its stdout and stderr
};

}  // namespace hb
