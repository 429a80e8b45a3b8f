#include "tools/supervisor/supervisor.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "nf_lib/attachment.h"
#include "nf_lib/supervision.h"

namespace hb::supervisor {
namespace {

using nlohmann::json;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

/// The manager answers at once; one that does not within this time is no manager.
constexpr milliseconds kAnswerTimeout{10'000};
/// What a shell reports of a program that can't be run.
constexpr int kCantRun = 127;

int exit_status(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

Supervisor::~Supervisor() {
  if (signal_fd_ >= 0) close(signal_fd_);
}

Result<void> Supervisor::start() {
  Result<ControlSocket> socket = ControlSocket::connect(options_.prefix);
  if (!socket) return socket.error();
  manager_ = std::move(*socket);
  json hello = register_message("supervisor");
  hello["service"] = options_.service;
  hello["restarts"] = options_.restart != RestartPolicy::kNever;
  if (const Result<void> sent = manager_.send(hello); !sent) return sent.error();
  auto received = manager_.receive(kAnswerTimeout);
  if (!received) return received.error();
  if (!*received)
    return Error{fmt::format("the manager of prefix '{}' does not answer", options_.prefix),
                 "look at what it printed"};
  const json& reply = **received;
  if (!reply.value("ok", false))
    return Error{reply.value("what", "the manager refused without a reason"),
                 reply.value("fix", "")};

  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&signals, signal);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  for (std::uint32_t i = 0; i < options_.n_instances; ++i) start_process(add_place());
  return {};
}

int Supervisor::run() {
  while (!places_.empty()) {
    pollfd polled[] = {{signal_fd_, POLLIN, 0}, {manager_.fd(), POLLIN, 0}};
    poll(polled, 2, timeout_ms());
    // The manager's word first: it says that it is about to end a process before it does.
    if (manager_.open()) on_manager();
    on_signal();
    reap();
    start_those_due();
  }
  return status_;
}

Supervisor::Place& Supervisor::add_place() {
  return places_.emplace_back(RestartBackoff(options_.restart_wait, options_.restart_limit));
}

void Supervisor::start_process(Place& place) {
  place.started = Clock::now();
  place.restart_at.reset();
  place.again = false;
  std::vector<char*> argv = {options_.program.data()};
  for (std::string& arg : options_.args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    spdlog::error("no process can be started: {}", std::strerror(errno));
    on_end(place, kCantRun << 8);
    return;
  }
  if (pid != 0) {
    place.pid = place.known_as = pid;
    return;
  }
  // NFs of a supervisor that dies end like after Ctrl-C: nobody would start them again.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  setpgid(0, 0);  // Ctrl-C in the terminal is for the supervisor, which passes it on
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setenv(kSupervisorVariable, std::to_string(parent).c_str(), 1);
  if (place.replaces != 0) setenv(kReplacesVariable, std::to_string(place.replaces).c_str(), 1);
  execv(options_.program.c_str(), argv.data());
  spdlog::error("'{}' can't be run: {}; build it again", options_.program, std::strerror(errno));
  _exit(kCantRun);
}

void Supervisor::on_signal() {
  signalfd_siginfo info{};
  while (read(signal_fd_, &info, sizeof(info)) == sizeof(info))
    if (info.ssi_signo != SIGCHLD) end_all(static_cast<int>(info.ssi_signo));
}

/// Passes the signal on, oldest first; a process that gets a second one ends at once.
void Supervisor::end_all(int signal) {
  ending_ = true;
  for (const Place& place : places_)
    if (place.pid != 0) kill(place.pid, signal);
  std::erase_if(places_, [](const Place& place) { return place.pid == 0; });
}

void Supervisor::on_manager() {
  for (;;) {
    auto received = manager_.receive(milliseconds(0));
    if (!received) {  // it is gone, and says nothing more; the NFs see it as well and end
      manager_.close();
      ending_ = true;
      std::erase_if(places_, [](const Place& place) { return place.pid == 0; });
      return;
    }
    if (!*received) return;
    try {
      on_message(**received);
    } catch (const json::exception& error) {
      spdlog::warn("the manager's message makes no sense: {}", error.what());
    }
  }
}

void Supervisor::on_message(const json& message) {
  const std::string op = message.value("op", "");
  Place* const place = find(message.value("pid", 0));
  if (op == "running" && place != nullptr) {
    place->ran = true;
    place->replaces = 0;
  } else if (op == "stopping" && place != nullptr) {
    place->ending = true;
    if (place->pid == 0) places_.remove_if([place](const Place& other) { return &other == place; });
  } else if (op == "again" && place != nullptr) {
    place->again = true;
  } else if (op == "start") {
    if (ending_) return;
    Place& added = add_place();
    added.replaces = message.value("replaces", 0);
    start_process(added);
  } else if (op == "stop") {
    ending_ = true;
    std::erase_if(places_, [](const Place& other) { return other.pid == 0; });
  }
}

Supervisor::Place* Supervisor::find(int pid) {
  const auto at = std::ranges::find_if(
      places_, [pid](const Place& place) { return pid != 0 && place.known_as == pid; });
  return at == places_.end() ? nullptr : &*at;
}

void Supervisor::reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (Place* const place = find(pid); place != nullptr) on_end(*place, status);
  }
}

bool Supervisor::is_to_restart(const Place& place, int status) const {
  if (ending_ || place.ending) return false;
  if (place.again) return true;
  // What fails before it has ever worked fails for a reason that a restart does not mend.
  if (!place.ran || options_.restart == RestartPolicy::kNever) return false;
  return options_.restart == RestartPolicy::kAlways || exit_status(status) != 0;
}

void Supervisor::on_end(Place& place, int status) {
  const Clock::time_point now = Clock::now();
  json report = {{"op", "child_ended"}, {"pid", place.known_as}};
  if (WIFSIGNALED(status))
    report["signal"] = WTERMSIG(status);
  else
    report["exit_status"] = WEXITSTATUS(status);
  if (place.replaces != 0) report["replaces"] = place.replaces;
  place.pid = 0;
  if (is_to_restart(place, status)) {
    const auto lived = duration_cast<milliseconds>(now - place.started);
    const auto delay = place.again ? milliseconds(0) : place.backoff.on_death(lived);
    if (delay) {
      place.restart_at = now + *delay;
      report["restart_in_ms"] = delay->count();
    } else {
      report["crash_loop"] = true;
      spdlog::error("{} dies again and again soon after its start: it is not started any more",
                    options_.service);
    }
  }
  if (manager_.open()) (void)manager_.send(report).ok();
  if (place.restart_at) return;
  // A process that was to replace another and never ran leaves the other as it is.
  if (status_ == 0 && place.replaces == 0) status_ = exit_status(status);
  places_.remove_if([&place](const Place& other) { return &other == &place; });
}

void Supervisor::start_those_due() {
  const Clock::time_point now = Clock::now();
  for (auto at = places_.begin(); at != places_.end();) {
    Place& place = *at++;  // one that can't be started is gone from the list
    if (place.restart_at && *place.restart_at <= now) start_process(place);
  }
}

int Supervisor::timeout_ms() const {
  std::optional<Clock::time_point> next;
  for (const Place& place : places_)
    if (place.restart_at && (!next || *place.restart_at < *next)) next = place.restart_at;
  if (!next) return -1;
  const auto left = duration_cast<milliseconds>(*next - Clock::now()).count();
  return static_cast<int>(std::max<long>(0, left + 1));
}

}  // namespace hb::supervisor
