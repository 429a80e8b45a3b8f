#include "manager/controller.h"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>
#include <utility>

#include "manager/generator_control.h"
#include "manager/statistics.h"

namespace hb {
namespace {

using nlohmann::json;
using std::chrono::microseconds;
using std::chrono::milliseconds;

/// How often the control thread looks around when nothing happens, and when something is pending.
constexpr milliseconds kQuietPoll{50};
constexpr milliseconds kBusyPoll{1};
constexpr microseconds kUrgentPoll{50};
constexpr milliseconds kUrgentFor{20};
constexpr milliseconds kSamplePeriod{200};
/// Requests that may wait: changes in all, reloads for one NF.
constexpr std::size_t kMostChanges = 64;
constexpr std::size_t kMostReloads = 16;

}  // namespace

Controller::Controller(Platform& platform)
    : p_(platform),
      resources_(platform.control->registry(), static_cast<std::uint32_t>(platform.ports.size())),
      recovery_(platform),
      switch_(platform),
      gpu_(platform, resources_),
      server_([this](int c, const json& m, std::vector<int>& fds) { on_message(c, m, fds); },
              [this](int c) { on_close(c); }) {}

Controller::~Controller() {
  if (signal_fd_ >= 0) close(signal_fd_);
  for (const Waiting& waiting : waiting_) close(waiting.pidfd);
}

Result<void> Controller::start() {
  resources_.take_context(ContextRole::kManager, getpid(), 0);
  for (std::uint32_t i = 0; i < p_.flow.n_rx_threads; ++i)
    resources_.take_context(ContextRole::kRx, getpid(), 0);
  if (p_.routes) {
    for (const RouteRule& rule : p_.routes->rules) {
      unsigned port = 0;
      if (rule.current != "rx") service_record(rule.current);
      if (next_kind(rule.next, port) == NextKind::kService) service_record(rule.next);
    }
  }
  RouteInputs inputs;
  fill_route_inputs(inputs);
  switch_.publish_first(build_route_table(inputs),
                        p_.flows ? p_.classifiers[p_.classifier].get() : nullptr);

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  // Release: pairs with Attachment::open: the registry is whole.
  p_.control->registry().ready.store(1, std::memory_order_release);
  if (const Result<void> listening = server_.listen(p_.options.prefix); !listening)
    return listening.error();
  if (p_.options.gpu != GpuChoice::kNone) {
    if (const Result<void> started = gpu_.start(); !started) return started.error();
  }
  return {};
}

int Controller::run() {
  if (p_.options.exit_when_drained && p_.routes && !p_.routes->services.empty())
    spdlog::info("RX starts once these NFs are running: {}", fmt::join(p_.routes->services, ", "));
  else if (!p_.routes)
    spdlog::info("no --routes: RX starts now; NFs join the chain in the order they are started");
  while (!ending_) {
    const bool pending =
        routes_dirty_ || rolling_ || flow_reload_ || gpu_restart_at_ || switch_.rx_is_paused() ||
        !switch_.idle() || p_.options.exit_when_drained || !closing_.empty() ||
        std::ranges::any_of(p_.instances, [](const auto& i) { return i->leaving || i->orphaned; });
    // A change of routes holds packets back: it is looked at more often while it is young.
    const bool urgent = !switch_.idle() && switch_.age() < kUrgentFor;
    turn(urgent ? kUrgentPoll : pending ? kBusyPoll : kQuietPoll);
    console_.tick(p_);
    if (!rx_started_ && (!p_.options.exit_when_drained || all_required_running())) {
      rx_started_ = true;
      if (p_.options.exit_when_drained && p_.routes)
        spdlog::info("all NFs of the routes are running: RX starts");
      resume_rx();
    }
    report_unreadable();
    if (p_.flow.lost_a_record.load(std::memory_order_relaxed)) {
      spdlog::error("a file port had no free packet and lost a record: raise --pool");
      fatal_ = ending_ = true;
    }
    if (p_.options.exit_when_drained && rx_started_ && input_is_drained()) ending_ = true;
  }
  shutdown();
  return fatal_ ? 1 : 0;
}

void Controller::turn(microseconds timeout) {
  poll_once(timeout);
  start_next_change();
  advance_leaving();
  advance_closing();
  if (std::exchange(room_, false)) retry_waiting_registrations();
  advance_rolling();
}

void Controller::poll_once(microseconds timeout) {
  std::vector<pollfd> polled;
  polled.push_back({signal_fd_, POLLIN, 0});
  server_.add_to(polled);
  for (const auto& instance : p_.instances)
    if (instance->alive()) polled.push_back({instance->pidfd, POLLIN, 0});
  if (gpu_.alive()) polled.push_back({gpu_.pidfd(), POLLIN, 0});
  const timespec limit{timeout.count() / 1'000'000, timeout.count() % 1'000'000 * 1000};
  const int ready = ppoll(polled.data(), polled.size(), &limit, nullptr);
  if (ready > 0) {
    const auto is_ready = [&](int fd) {
      return std::ranges::any_of(polled,
                                 [fd](const pollfd& p) { return p.fd == fd && p.revents != 0; });
    };
    // Who has died is noted before messages are handled: those may close descriptors and bring new
    // ones with the same numbers.
    std::vector<std::pair<Instance*, int>> dead;
    for (const auto& instance : p_.instances)
      if (instance->alive() && is_ready(instance->pidfd))
        dead.emplace_back(instance.get(), instance->pid);
    const int dead_gpu_host = gpu_.alive() && is_ready(gpu_.pidfd()) ? gpu_.pid() : 0;
    const bool signalled = is_ready(signal_fd_);
    server_.dispatch(polled);
    // What the dead said last counts: a process that says bye and ends at once has ended well.
    for (const auto& [instance, pid] : dead) {
      // Its supervisor may have said so meanwhile, and even started its successor.
      if (!instance->alive() || instance->pid != pid) continue;
      server_.drain(instance->connection);
      on_nf_death(*instance);
    }
    // A message may have made this poll again, and that have seen to it.
    if (dead_gpu_host != 0 && gpu_.alive() && gpu_.pid() == dead_gpu_host) {
      server_.drain(gpu_.connection());
      on_gpu_host_death();
    }
    if (signalled) on_signal();
  }
  check_waits();
  check_hangs();
  restart_gpu_host();
  serve_orphans();
  update_held();
  advance_change();
  if (const auto now = Clock::now(); now >= next_sample_) {
    p_.totals->sample();
    next_sample_ = now + kSamplePeriod;
  }
}

bool Controller::settle(milliseconds limit, const std::function<bool()>& done) {
  const Clock::time_point deadline = Clock::now() + limit;
  while (!done()) {
    if (Clock::now() >= deadline) return false;
    poll_once(kBusyPoll);
  }
  return true;
}

void Controller::on_signal() {
  signalfd_siginfo info{};
  while (read(signal_fd_, &info, sizeof(info)) == sizeof(info)) ++signals_;
  if (!ending_) spdlog::info("stopping: packets on their way are finished first");
  ending_ = true;
}

void Controller::on_message(int connection, const json& message, std::vector<int>& fds) {
  try {
    const std::string op = message.value("op", "");
    const auto sender = std::ranges::find_if(
        p_.instances, [&](const auto& i) { return i->connection == connection; });
    if (op == "register") {
      on_register(connection, message, fds);
    } else if (connection == gpu_.connection() && gpu_.alive()) {
      on_gpu_message(op, message);
    } else if (SupervisorLink* const supervisor = supervisor_by_connection(connection);
               supervisor != nullptr) {
      if (op == "child_ended") on_child_ended(*supervisor, message);
    } else if (sender != p_.instances.end()) {
      if (op == "ready") on_nf_ready(**sender, message);
      if (op == "set_up") (*sender)->sets_up = false;
      if (op == "stop") leave(**sender);
      if (op == "bye") {
        (*sender)->said_bye = true;
        // One of several instances of a process is done, and will not touch its context again.
        if (message.value("process_goes_on", false) && (*sender)->alive()) on_nf_death(**sender);
      }
      if (op == "replace_table") on_replace_table(**sender, message);
      if (op == "reloaded") {
        if (const auto asker = relay_.take(message.value("id", 0ull), connection))
          server_.send(*asker, message);
      }
    } else if (op == "status") {
      json status = statistics(p_, nullptr);
      status["routes"] = routes_json();
      status["rx_started"] = rx_started_;
      status["gpu"]["nfs_waiting"] = waiting_.size();
      server_.send(connection, {{"ok", true}, {"status", std::move(status)}});
    } else if (op == "audit") {
      audit_askers_.push_back(connection);
      // An audit handles messages until packets have settled: whoever asks meanwhile gets its
      // report.
      if (!audits_) audit();
    } else if (op == "generate") {
      server_.send(connection, generate(p_, message));
    } else if (op == "gpu_resize") {
      on_resize_request(connection, message);
    } else if (op == "reload_nf") {
      on_reload_request(connection, message);
    } else if (op == "change") {
      if (changes_.size() < kMostChanges)
        changes_.push_back({connection, message.dump()});
      else
        server_.send(connection, refusal(Error{fmt::format("{} changes wait already", kMostChanges),
                                               "try again later"}));
    } else if (op == "stop_service") {
      const std::string name = message.value("service", "");
      const std::vector<Instance*> instances = find_instances(name);
      if (instances.empty()) {
        server_.send(connection, refusal(Error{fmt::format("no NF '{}' is running", name),
                                               "hbctl nfs shows those that are"}));
      } else {
        for (Instance* const instance : instances) leave(*instance);
        server_.send(connection, {{"ok", true}});
      }
    } else if (op == "scale") {
      server_.send(connection, on_scale(message));
    } else if (op == "restart") {
      on_restart(connection, message);
    } else {
      server_.send(connection, refusal(Error{fmt::format("'{}' is not a command", op), ""}));
    }
  } catch (const json::exception& error) {
    server_.send(connection,
                 refusal(Error{"a field of the message has the wrong type", error.what()}));
  }
  for (const int fd : fds) close(fd);
  fds.clear();
}

void Controller::on_reload_request(int connection, const json& message) {
  const std::string name = message.value("service", "");
  std::vector<Instance*> running = find_instances(name);
  std::erase_if(running, [](const Instance* i) {
    return i->state != InstanceState::kRunning || i->connection < 0;
  });
  if (running.size() != 1) {
    const Error error =
        running.empty()
            ? Error{fmt::format("no NF '{}' is running", name), "hbctl nfs shows those that are"}
            : Error{fmt::format("{} instances of '{}' are running", running.size(), name),
                    fmt::format("name one of them, like {}", running[0]->name())};
    server_.send(connection, refusal(error));
    return;
  }
  const int nf = running[0]->connection;
  if (relay_.n_waiting(nf) >= kMostReloads) {
    server_.send(connection,
                 refusal(Error{fmt::format("{} reloads of '{}' wait already", kMostReloads, name),
                               "try again later"}));
    return;
  }
  const auto args = message.value("args", std::vector<std::string>{});
  server_.send(nf, {{"op", "reload"}, {"id", relay_.add(connection, nf)}, {"args", args}});
}

void Controller::on_close(int connection) {
  // The asker is hbctl, which wants an answer, or an NF, which wants to know what is answered.
  for (const int asker : relay_.on_close(connection)) {
    json answer = refusal(Error{"the other end ended before it answered", "see what it printed"});
    answer["op"] = "table_replaced";
    server_.send(asker, answer);
  }
  for (const auto& instance : p_.instances)
    if (instance->resize.asker == connection) instance->resize.asker = -1;
  for (const auto& instance : p_.instances)
    if (instance->connection == connection) instance->connection = -1;
  // Its end is told by its pidfd, a moment later: until then nobody else may pass for gpu_host.
  if (gpu_.connection() == connection) gpu_.disconnect();
  if (rolling_ && rolling_->connection == connection) rolling_->connection = -1;
  if (const SupervisorLink* const gone = supervisor_by_connection(connection); gone != nullptr) {
    const SupervisorLink copy = *gone;
    std::erase_if(supervisors_,
                  [&](const SupervisorLink& s) { return s.connection == connection; });
    on_supervisor_gone(copy);
  }
  std::erase_if(waiting_, [&](const Waiting& w) {
    if (w.connection == connection) close(w.pidfd);
    return w.connection == connection;
  });
  // What it asked for is done all the same.
  for (Change& change : changes_)
    if (change.connection == connection) change.connection = -1;
  std::erase(audit_askers_, connection);
  if (flow_reload_ && flow_reload_->connection == connection) flow_reload_->connection = -1;
  if (answer_to_ == connection) answer_to_ = -1;
}

void Controller::report_unreadable() {
  for (std::size_t port = 0; port < p_.ports.size(); ++port) {
    std::uint64_t n = 0;
    for (const auto& rx : p_.rx_threads)
      n += rx->counters(port).unreadable.load(std::memory_order_relaxed);
    if (n == 0 || reported_unreadable_[port]) continue;
    reported_unreadable_[port] = true;
    spdlog::warn(
        "'{}' has a record that can't be read: it is cut short, or not Ethernet; the others "
        "are played",
        p_.ports[port].spec.rx_file);
  }
}

void Controller::audit() {
  audits_ = true;
  const json answer = {{"ok", true}, {"audit", quiesced_audit()}};
  audits_ = false;
  for (const int asker : std::exchange(audit_askers_, {})) server_.send(asker, answer);
}

json Controller::quiesced_audit() {
  const bool was_paused = switch_.rx_is_paused();
  if (!was_paused) pause_rx();
  settle(milliseconds(1000), [this] { return p_.flow.on_the_way() == 0; });
  settle(milliseconds(1000), [this] { return p_.flow.returns_rest(); });
  const AuditReport report = audit_packets(p_, false);
  if (!was_paused) resume_rx();
  json out = to_json(report);
  out["in_flight"] = report.in_flight();
  return out;
}

}  // namespace hb
