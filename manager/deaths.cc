// Controller: processes that have died, what they leave behind, and who comes after them.
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "manager/controller.h"
#include "nf_lib/copy_queue.h"

namespace hb {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

/// A supervisor says at once what it does about a death; one that is silent for so long is stuck.
constexpr milliseconds kWordLimit{1000};
/// A successor that takes longer to be ready is done without until it is.
constexpr milliseconds kStartLimit{5000};
/// How often processes are looked at that might be hung.
constexpr milliseconds kLookPeriod{50};

}  // namespace

void Controller::on_nf_death(Instance& instance) {
  if (!instance.alive()) return;  // its last message has brought this about already
  close(instance.pidfd);
  instance.pidfd = -1;
  p_.control->registry().instances[instance.id].pid = 0;
  if (!instance.in_use()) return;
  if (instance.state == InstanceState::kFailed && !instance.slice_failed) return;  // given up
  if (instance.state == InstanceState::kStarting) {
    on_death_while_starting(instance);
    return;
  }
  const bool gpu = instance.service->compute == Compute::kGpu;
  const bool ended_well = instance.said_bye;
  const bool waits = is_restarted(instance);
  if (!ended_well && instance.failure.empty())
    instance.failure = fmt::format("process {} ended without being asked to", instance.pid);
  DeadContext dead{.context = instance.context,
                   .page = instance.page ? &instance.page->page() : nullptr,
                   .endpoints = {},
                   .rings = {},
                   .work_groups = {},
                   .keep_windows = waits && instance.idempotent};
  if (!gpu) dead.endpoints = instance.endpoints;
  const std::uint64_t n = recovery_.recover(
      dead, instance.id, ended_well ? DropReason::kHeldAtExit : DropReason::kLostInCrash);
  if (ended_well)
    spdlog::info("{} has stopped", instance.name());
  else
    spdlog::warn("{} (pid {}) died; {} packets in its hands are lost, {}", instance.name(),
                 instance.pid, n,
                 waits                                       ? "others wait for its successor"
                 : p_.options.missing_nf == MissingNf::kSkip ? "others skip it"
                                                             : "others are dropped");
  if (!waits) {
    give_up(instance, ended_well ? InstanceState::kStopped : InstanceState::kFailed);
    return;
  }
  if (instance.page) instance.counters.fold(instance.page->page());
  instance.page.reset();
  instance.leaving = instance.stop_sent = false;
  instance.wait_until = Clock::now() + kWordLimit;
  set_state(instance, InstanceState::kRestarting);
}

/// It has taken no packet yet. In the place of a dead one, packets may wait for the next.
void Controller::on_death_while_starting(Instance& instance) {
  spdlog::info("{} ended before it was running", instance.name());
  if (instance.offers && is_restarted(instance)) {
    instance.page.reset();
    instance.wait_until = std::max(instance.wait_until, Clock::now() + kWordLimit);
    set_state(instance, InstanceState::kRestarting);
    return;
  }
  // One that ran on a gpu_host that has died, and waited for the next, has counts to keep.
  if (instance.restarts == 0 && !instance.said_ready) {
    instance.start_order = 0;
    if (std::ranges::none_of(instance.service->instances, &Instance::start_order))
      instance.service->start_order = 0;
  }
  give_up(instance, InstanceState::kStopped);
}

/// A place that nobody is to have again: its packets are the manager's until nobody sends there and
/// its rings are empty. A GPU NF's are gpu_host's, if that lives, until its slice is given back.
void Controller::give_up(Instance& instance, InstanceState state) {
  set_state(instance, state);
  instance.offers = false;
  instance.handing_over = false;
  instance.orphaned =
      instance.service->compute == Compute::kCpu || instance.slice_removed || !gpu_.alive();
  instance.leaving = true;
  instance.stop_sent = true;
  routes_dirty_ = true;
}

/// Whether its supervisor is going to start the process again, as far as is known.
bool Controller::is_restarted(const Instance& instance) const {
  if (ending_ || instance.service->compute == Compute::kGpu) return false;
  const SupervisorLink* const supervisor = supervisor_of(instance);
  if (supervisor == nullptr) return false;
  return instance.handing_over || (supervisor->restarts && !instance.leaving && !instance.said_bye);
}

void Controller::on_child_ended(const SupervisorLink& supervisor, const json& message) {
  const int pid = message.value("pid", 0);
  const int signal = message.value("signal", 0);
  const std::string how = signal == 0
                              ? fmt::format("exit status {}", message.value("exit_status", 0))
                              : fmt::format("killed by {}", signal_name(signal));
  if (const int replaced = message.value("replaces", 0); replaced != 0)
    end_rolling(replaced, fmt::format("the new process ended ({}) before it was running", how));
  bool registered = false;
  // An OpenNetVM NF's process can have several. By index: what the dead have said last is handled
  // meanwhile, and may be another registration.
  const int supervisor_pid = supervisor.pid;
  for (std::size_t i = 0; i < p_.instances.size(); ++i) {
    Instance& instance = *p_.instances[i];
    if (instance.pid != pid || instance.supervisor != supervisor_pid) continue;
    registered = true;
    on_process_end(instance, message, how);
  }
  if (registered) return;
  if (SupervisorLink* const asked = supervisor_by_pid(supervisor_pid);
      asked != nullptr && asked->n_asked != 0 && !message.contains("replaces"))
    --asked->n_asked;
}

/// @param how  the end, for people
void Controller::on_process_end(Instance& instance, const json& message, const std::string& how) {
  if (instance.alive()) {  // its supervisor saw it first
    pollfd dead{instance.pidfd, POLLIN, 0};
    if (poll(&dead, 1, 0) != 1) return;
    server_.drain(instance.connection);
    on_nf_death(instance);
  }
  const bool well = message.value("signal", 0) == 0 && message.value("exit_status", 0) == 0;
  instance.last_end = instance.hung ? fmt::format("hung, {}", how) : how;
  if (!well && !instance.hung) instance.failure = how;
  if (message.value("crash_loop", false)) {
    instance.failure = "crash loop: " + instance.last_end;
    spdlog::error("{} is in a crash loop ({}): it is not started again", instance.name(), how);
  }
  if (instance.state != InstanceState::kRestarting) return;
  if (message.contains("restart_in_ms")) {
    const milliseconds delay(std::clamp(message.value("restart_in_ms", 0), 0, 60'000));
    instance.wait_until = Clock::now() + delay + kStartLimit;
  } else {
    give_up(instance, well ? InstanceState::kStopped : InstanceState::kFailed);
  }
}

/// Ends waits that have been too long.
void Controller::check_waits() {
  const Clock::time_point now = Clock::now();
  for (const auto& instance : p_.instances) {
    if (!instance->is_waiting() || !instance->offers || now < instance->wait_until) continue;
    if (instance->state == InstanceState::kRestarting) {
      spdlog::warn("{} is not started again by its supervisor", instance->name());
      give_up(*instance, InstanceState::kFailed);
    } else {
      spdlog::warn("{} takes long to start: packets do not wait for it any longer",
                   instance->name());
      instance->offers = false;
      routes_dirty_ = true;
    }
  }
}

void Controller::check_hangs() {
  const Clock::time_point now = Clock::now();
  if (now < next_look_) return;
  // However late this look comes, it counts as one: the manager's own delay is nobody's fault.
  next_look_ = now + kLookPeriod;
  const milliseconds nf_limit(p_.options.nf_timeout_ms);
  const milliseconds drain_limit(p_.options.drain_timeout_ms);
  for (const auto& instance : p_.instances) {
    if (!instance->alive() || !instance->in_use() || instance->hung) continue;
    if (instance->state != InstanceState::kRunning && instance->state != InstanceState::kDraining &&
        !instance->stop_sent)
      continue;
    const Load load = load_of(*instance);
    // What a GPU NF has is in gpu_host's hands; its control process can't let go of it.
    const bool keeps_change =
        instance->service->compute == Compute::kCpu && switch_.is_kept_by(*instance);
    const bool waits = load.waits || keeps_change;
    const bool owes = owes_an_answer(*instance);
    if (!instance->stall.is_stalled(load.progress, waits || owes)) continue;
    const milliseconds limit = keeps_change ? std::min(nf_limit, drain_limit) : nf_limit;
    const std::optional<TaskLook> task = look_at_task(
        instance->pid,
        instance->page ? instance->page->page().loop_thread.load(std::memory_order_relaxed) : 0);
    if (!task) continue;
    if (!task->is_stopped() && (!waits || instance->sets_up)) {
      instance->stall.reset();  // it is at work on what it owes
      continue;
    }
    if (p_.options.debug_nf && task->is_stopped()) {
      if (!std::exchange(instance->said_stopped, true))
        spdlog::info("{} (pid {}) is stopped or in a debugger: it is left alone (--debug-nf)",
                     instance->name(), instance->pid);
      continue;
    }
    if (instance->stall.add(kLookPeriod, *task) < limit) continue;
    spdlog::error("{} (pid {}) is hung: {} and nothing has moved for {} ms; killing it",
                  instance->name(), instance->pid, waits ? "packets wait" : "it is to end",
                  limit.count());
    instance->hung = true;
    instance->failure = fmt::format("hung: no progress for {} ms", limit.count());
    syscall(SYS_pidfd_send_signal, instance->pidfd, SIGKILL, nullptr, 0);
  }
  check_gpu_host_hangs();
}

/// Whether others wait for it though no packet does: for its end, its flush, or its set-up.
bool Controller::owes_an_answer(const Instance& instance) {
  if (instance.stop_sent || instance.handing_over || instance.sets_up) return true;
  // Acquire: pairs with the release store in BurstLoop::flush.
  return instance.page && instance.flush_request != 0 &&
         instance.page->page().flushed.load(std::memory_order_acquire) != instance.flush_request;
}

Controller::Load Controller::load_of(const Instance& instance) const {
  Load load;
  if (instance.page)
    load.progress = instance.page->page().output_waits.load(std::memory_order_relaxed);
  if (instance.service->compute == Compute::kCpu) {
    if (instance.page)
      load.progress += instance.page->page().bursts.load(std::memory_order_relaxed);
    load.waits = std::ranges::any_of(instance.endpoints,
                                     [this](EndpointId e) { return !recovery_.is_empty(e); });
    return load;
  }
  for (std::uint32_t s = 0; s < p_.options.n_syncers; ++s) {
    CopyQueue copies(p_.view.region, instance.slice * p_.options.n_syncers + s);
    load.progress += copies.taken();
    load.waits |= copies.waits();
  }
  return load;
}

void Controller::check_gpu_host_hangs() {
  if (!gpu_.alive() || p_.options.debug_nf) return;
  const std::optional<TaskLook> task = look_at_task(gpu_.pid());
  if (!task) return;
  Load load;
  load.waits = task->is_stopped();  // whoever asks it for something waits for its answer
  for (const SyncerContext& syncer : p_.syncers)
    load.progress += syncer.page->page().bursts.load(std::memory_order_relaxed);
  for (const auto& instance : p_.instances) {
    if (instance->service->compute == Compute::kCpu || instance->slice_removed) continue;
    load.waits |= std::ranges::any_of(instance->endpoints,
                                      [this](EndpointId e) { return !recovery_.is_empty(e); });
  }
  if (!gpu_stall_.is_stalled(load.progress, load.waits)) return;
  // One that runs finds out by itself which kernel it is that hangs, and says so: it goes first.
  const milliseconds limit = task->is_stopped() ? milliseconds(p_.options.nf_timeout_ms)
                                                : GpuSupervisor::round_limit(p_.options) * 2;
  // Its main thread only listens; the others are as many as the device wants.
  if (gpu_stall_.add(kLookPeriod, TaskLook{.state = 'S', .cpu = {}}) < limit) return;
  gpu_stall_.reset();
  spdlog::error("gpu_host (pid {}) is hung: {} and nothing has moved for {} ms; killing it",
                gpu_.pid(), task->is_stopped() ? "it is stopped" : "packets wait", limit.count());
  gpu_.kill();
}

void Controller::on_gpu_host_death() {
  gpu_stall_.reset();
  const std::string how = gpu_.on_death(ending_);
  const std::optional<milliseconds> restart_in = gpu_.restart_delay(ending_);
  if (ending_) {
    spdlog::info("gpu_host has stopped");
  } else if (!gpu_.was_ready()) {
    const bool required = p_.options.gpu != GpuChoice::kAuto;
    spdlog::log(required ? spdlog::level::err : spdlog::level::warn, "--gpu {}: {}",
                to_string(p_.options.gpu), p_.gpu.why);
    fatal_ = ending_ = required;
  } else if (restart_in) {
    spdlog::error("gpu_host died ({}); it is started again in {} ms", how, restart_in->count());
    gpu_restart_at_ = Clock::now() + *restart_in;
  } else {
    p_.gpu.why = fmt::format("gpu_host is in a crash loop: {}", how);
    spdlog::error("{}; it is not started again", p_.gpu.why);
  }
  for (const auto& instance : p_.instances) {
    if (instance->service->compute != Compute::kGpu || instance->slice == kMaxSlices) continue;
    std::uint64_t lost = 0;
    for (std::size_t i = 0; i < p_.syncers.size(); ++i) {
      DeadContext dead{
          .context = p_.syncers[i].context,
          .page = &p_.syncers[i].page->page(),
          .endpoints = {instance->endpoints[i]},
          .rings = {p_.view.region.ring_id(*instance->waiting_room, p_.syncers[i].context)},
          .work_groups = {},
          .keep_windows = false};
      for (const std::uint32_t group : instance->work_groups)
        if (group % p_.syncers.size() == i) dead.work_groups.push_back(group);
      lost += recovery_.recover(dead, instance->id, DropReason::kLostInCrash);
    }
    instance->slice_removed = true;
    // The next gpu_host counts from 0.
    instance->unevaluated_before = count_unevaluated(p_, *instance);
    instance->slice_base = SliceCounts{};
    if (instance->resize.at_work) on_slice_resized(*instance, {{"what", "gpu_host died"}});
    if (ending_ && instance->said_bye) continue;
    if (!instance->hung) instance->failure = fmt::format("gpu_host died ({})", how);
    spdlog::warn("{} stands still without gpu_host; {} packets on the device are lost",
                 instance->name(), lost);
    lose_slice(*instance, restart_in.has_value() && !instance->hung);
  }
  gpu_.release();
  routes_dirty_ = true;
  if (!restart_in) retry_waiting_registrations();
}

/// @param comes_back  gpu_host is started again, and gets the slice again while the process lives
void Controller::lose_slice(Instance& instance, bool comes_back) {
  const bool was_starting = instance.state == InstanceState::kStarting;
  if (comes_back && instance.alive() && !instance.leaving) {
    // One that waits for its slice goes on waiting; one whose slice ran is done without meanwhile.
    if (!was_starting) set_state(instance, InstanceState::kFailed);
    instance.slice_failed = true;
    instance.offers = false;
    instance.orphaned = true;
    return;
  }
  instance.slice_failed = false;  // it waits for none: however well it ends, it has failed
  give_up(instance, InstanceState::kFailed);
  if (instance.connection >= 0)
    server_.send(instance.connection,
                 {{"op", "stop"}, {"why", instance.failure + ": its GPU NFs can't go on"}});
}

void Controller::restart_gpu_host() {
  if (!gpu_restart_at_ || Clock::now() < *gpu_restart_at_) return;
  gpu_restart_at_.reset();
  if (ending_) return;
  if (const Result<void> started = gpu_.start(); !started) {
    p_.gpu.state = GpuStatus::State::kFailed;
    p_.gpu.why = started.error().line();
    spdlog::error("{}", p_.gpu.why);
    for (const auto& instance : p_.instances) {
      if (!instance->slice_failed || !instance->alive()) continue;
      instance->failure = "gpu_host can't be started again";
      lose_slice(*instance, false);
    }
    retry_waiting_registrations();
  }
}

/// The new gpu_host has nothing: slices of control processes that live are made again.
void Controller::add_slices_again() {
  for (const auto& instance : p_.instances) {
    if (!std::exchange(instance->slice_failed, false) || !instance->alive()) continue;
    if (instance->leaving || instance->table.kernel.empty()) continue;
    set_state(*instance, InstanceState::kStarting);
    add_slice(*instance);
  }
}

}  // namespace hb
