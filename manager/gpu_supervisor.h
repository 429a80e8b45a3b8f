// gpu_host as the manager's child: started, talked to, seen when it dies.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "manager/platform.h"
#include "manager/resources.h"
#include "nf_lib/restart_backoff.h"
#include "nf_lib/result.h"

namespace hb {

/// Control thread only.
class GpuSupervisor {
 public:
  GpuSupervisor(Platform& platform, Resources& resources)
      : platform_(platform), resources_(resources) {}
  ~GpuSupervisor();
  GpuSupervisor(const GpuSupervisor&) = delete;
  GpuSupervisor& operator=(const GpuSupervisor&) = delete;

  /// How long a round may take on the device before gpu_host gives up: it then names the kernel.
  static std::chrono::milliseconds round_limit(const ManagerOptions& options);

  /// Starts the process; it registers over the control socket when it is up.
  Result<void> start();

  /// @return the answer to its registration, with a context and a page for each CPUSyncer
  nlohmann::json on_register(int connection);
  void on_ready(const nlohmann::json& message);

  /// The process is dead: reaps it and says how it ended. Contexts stay until release().
  /// @param expected  it was told to end
  std::string on_death(bool expected);
  /// Gives the syncers' contexts back, once recovery is done with them.
  void release();
  /// Ends the process at once.
  void kill();

  /// After on_death.
  /// @return how long to wait before start(); nullopt: it is not to be started again
  std::optional<std::chrono::milliseconds> restart_delay(bool expected);
  /// It has been ready at least once.
  [[nodiscard]] bool was_ready() const noexcept { return was_ready_; }

  [[nodiscard]] bool alive() const noexcept { return pidfd_ >= 0; }
  [[nodiscard]] int pidfd() const noexcept { return pidfd_; }
  [[nodiscard]] int pid() const noexcept { return pid_; }
  [[nodiscard]] int connection() const noexcept { return connection_; }
  /// Its connection is closed; the next one may get the same number.
  void disconnect() noexcept { connection_ = -1; }

 private:
  Platform& platform_;
  Resources& resources_;
  int pid_ = 0;
  int pidfd_ = -1;
  int connection_ = -1;
  bool was_ready_ = false;
  std::chrono::steady_clock::time_point started_;
  RestartBackoff backoff_;
};

}  // namespace hb
