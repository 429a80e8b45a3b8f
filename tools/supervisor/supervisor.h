// The parent of a service's NF processes: starts them, starts them again, tells the manager how
// they ended, and does what the manager asks for.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "nf_lib/control_socket.h"
#include "nf_lib/restart_backoff.h"
#include "tools/supervisor/options.h"

namespace hb::supervisor {

/// One thread. SIGINT, SIGTERM and SIGCHLD must be blocked before it is made.
class Supervisor {
 public:
  explicit Supervisor(Options options) : options_(std::move(options)) {}
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Makes itself known to the manager and starts the processes.
  Result<void> start();

  /// Until no process is left and none is to be started again.
  /// @return the exit status: that of the NF; of several the first that was not 0
  int run();

 private:
  using Clock = std::chrono::steady_clock;

  /// A place for a process: the one that runs, or the next.
  struct Place {
    pid_t pid = 0;        ///< 0: none runs
    int known_as = 0;     ///< the process that runs, or ran last: how the manager names the place
    int replaces = 0;     ///< process that this one is to take the place of
    bool ran = false;     ///< a process of this place has been running, by the manager's word
    bool ending = false;  ///< not to be started again
    bool again = false;   ///< to be started again whatever the policy says
    Clock::time_point started;
    std::optional<Clock::time_point> restart_at;
    RestartBackoff backoff;

    explicit Place(const RestartBackoff& fresh) : backoff(fresh) {}
  };

  void start_process(Place& place);
  void on_signal();
  void on_manager();
  void on_message(const nlohmann::json& message);
  void reap();
  void on_end(Place& place, int status);
  [[nodiscard]] bool is_to_restart(const Place& place, int status) const;
  void start_those_due();
  void end_all(int signal);
  Place& add_place();
  Place* find(int pid);
  [[nodiscard]] int timeout_ms() const;

  Options options_;
  ControlSocket manager_;
  int signal_fd_ = -1;
  std::list<Place> places_;
  bool ending_ = false;
  int status_ = 0;
};

}  // namespace hb::supervisor
