// Controller: how NFs leave, and how it all ends.
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "manager/controller.h"
#include "nf_lib/ring.h"

namespace hb {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

/// How long the end of the platform waits: for packets to finish, for held ones to be let go of,
/// for a process to end, before it is ended with SIGKILL.
constexpr milliseconds kFinishLimit{5000};
constexpr milliseconds kFlushLimit{1000};
constexpr milliseconds kEndLimit{3000};
/// The same for a process that says all the time that it waits for its output.
constexpr milliseconds kLongestEnd{70'000};

std::uint32_t count_held(const ContextPage& page) {
  return static_cast<std::uint32_t>(std::ranges::count_if(
      page.held, [](const auto& slot) { return slot.load(std::memory_order_relaxed) != 0; }));
}

}  // namespace

void Controller::set_state(Instance& instance, InstanceState state) {
  instance.state = state;
  p_.control->registry().instances[instance.id].state.store(state, std::memory_order_release);
}

void Controller::leave(Instance& instance) {
  if (instance.leaving) return;
  // First its supervisor, so that it knows why the process ends.
  tell_supervisor(instance, "stopping");
  if (instance.state == InstanceState::kRestarting) give_up(instance, InstanceState::kStopped);
  if (!instance.alive()) return;
  instance.leaving = true;
  // One that still loads its tables is not routed: it only has to be told.
  if (instance.state == InstanceState::kRunning) set_state(instance, InstanceState::kDraining);
  routes_dirty_ = true;
}

void Controller::advance_leaving() {
  for (const auto& instance : p_.instances) {
    if (instance->leaving && !instance->routed) advance_one(*instance);
  }
}

bool Controller::advance_one(Instance& instance) {
  // While the platform ends others may still send to a GPU NF whose slice is gone: once its process
  // has ended too, the manager serves what they do.
  const bool only_process =
      instance.service->compute == Compute::kGpu && instance.slice_removed && !instance.stop_sent;
  const auto is_empty = [this](EndpointId endpoint) { return recovery_.is_empty(endpoint); };
  if (!only_process && !std::ranges::all_of(instance.all_endpoints(), is_empty)) return false;
  if (!instance.slice_removed) {
    if (!instance.removal_sent) {
      instance.removal_sent = true;
      server_.send(gpu_.connection(), {{"op", "remove_slice"}, {"slice", instance.slice}});
    }
    return false;
  }
  if (!instance.stop_sent && instance.service->compute == Compute::kCpu && instance.page) {
    const ContextPage& page = instance.page->page();
    auto& flush = p_.control->registry().instances[instance.id].flush;
    if (instance.flush_request == 0 && count_held(page) != 0) {
      instance.flush_request = flush.load(std::memory_order_relaxed) + 1;
      flush.store(instance.flush_request, std::memory_order_release);  // pairs with flush_count()
    }
    // Acquire: pairs with the release store in BurstLoop::flush.
    if (instance.flush_request != page.flushed.load(std::memory_order_acquire)) return false;
  }
  if (!instance.stop_sent) {
    instance.stop_sent = true;
    // Release: pairs with the acquire load in NfSession::should_stop.
    p_.control->registry().instances[instance.id].stop.store(1, std::memory_order_release);
    server_.send(instance.connection, {{"op", "stop"}});
    return false;
  }
  if (instance.alive()) return false;
  release(instance);
  return true;
}

void Controller::release(Instance& instance) {
  fold_counts(instance);
  if (std::exchange(instance.has_context, false)) {
    close_context(instance.context);
    if (instance.page) instance.counters.fold(instance.page->page());
    instance.page.reset();
  }
  for (const EndpointId endpoint : instance.all_endpoints()) {
    p_.endpoint_service[endpoint.value].store(kMaxServices, std::memory_order_relaxed);
    resources_.free_endpoint(endpoint);
  }
  instance.endpoints.clear();
  instance.waiting_room.reset();
  if (instance.slice != kMaxSlices) {
    instance.unevaluated_before = count_unevaluated(p_, instance);
    resources_.free_slice(instance.slice);
    resources_.free_work_groups(instance.work_groups);
    room_ = true;
    instance.slice = kMaxSlices;
    instance.work_groups.clear();
    instance.resize = {};
  }
  instance.table.reset();
  instance.next_table.reset();
  instance.orphaned = instance.slice_failed = false;
  instance.leaving = instance.offers = instance.handing_over = false;
  if (instance.state != InstanceState::kFailed && instance.state != InstanceState::kStopped)
    set_state(instance, InstanceState::kFree);
}

/// What lies in its fill ring is a TX thread's to take back, before the next owner comes. Nobody
/// else takes any of it: the process is dead, or never had the context, and has been recovered.
void Controller::close_context(ContextId context) {
  closing_.push_back(context);
  advance_closing();
}

void Controller::advance_closing() {
  std::erase_if(closing_, [this](ContextId context) {
    auto& word = p_.flow.fill_contexts[context.value / 64];
    const std::uint64_t bit = std::uint64_t{1} << context.value % 64;
    const bool wanted = (word.load(std::memory_order_relaxed) & bit) != 0;
    if (wanted != p_.flow.is_filling(context)) return false;  // it has not seen the last change
    if (wanted) {
      // Release: pairs with the TX threads' acquire load: recovery is over.
      word.fetch_and(~bit, std::memory_order_release);
      return false;
    }
    resources_.free_context(context);
    room_ = true;
    return true;
  });
}

void Controller::fold_counts(Instance& instance) {
  if (instance.endpoints.empty()) return;
  p_.totals->sample();
  std::uint64_t taken = 0;
  for (const EndpointId endpoint : instance.endpoints) taken += p_.totals->consumed_by(endpoint);
  instance.rx_before += taken - instance.rx_base;
  instance.rx_base = taken;
  if (instance.service->compute != Compute::kCpu) return;
  instance.left_before += p_.totals->produced_by(instance.context) - instance.left_base;
  instance.left_base = p_.totals->produced_by(instance.context);
  instance.originated_before +=
      p_.totals->originated_by(instance.context) - instance.originated_base;
  instance.originated_base = p_.totals->originated_by(instance.context);
}

void Controller::serve_orphans() {
  // While routes change, what is in front of a dead NF can't wait for its successor.
  for (const auto& instance : p_.instances) {
    const bool deserted = instance->is_waiting() && (!instance->offers || !switch_.idle()) &&
                          instance->service->compute == Compute::kCpu;
    if (!instance->orphaned && !deserted) continue;
    for (const EndpointId endpoint : instance->endpoints)
      instance->served_as_orphan += recovery_.serve(endpoint, instance->service->id);
    if (instance->waiting_room) recovery_.drop_unjudged(*instance->waiting_room, instance->id);
  }
}

void Controller::update_held() {
  std::uint64_t held = 0;
  for (const auto& instance : p_.instances)
    if (instance->page && instance->alive()) held += count_held(instance->page->page());
  p_.flow.held.store(held, std::memory_order_relaxed);
}

bool Controller::all_required_running() const {
  if (!p_.routes) return true;
  // With the last one's change of routes over: the first packets would be held for it.
  if (routes_dirty_ || !switch_.idle()) return false;
  return std::ranges::all_of(p_.routes->services, [this](const std::string& name) {
    return std::ranges::any_of(p_.services, [&](const auto& service) {
      return service->name == name && service->routed();
    });
  });
}

std::uint64_t Controller::originated_in_flight() const {
  // What is out of the pool by way of the fill rings, less what still lies in them.
  std::uint64_t out = p_.flow.filled_out();
  for (std::uint32_t c = 0; c < p_.view.region.layout().n_contexts; ++c)
    out -= n_waiting(p_.view.region.ring(p_.view.region.fill_ring_id(ContextId(c))),
                     p_.view.region.layout().fill_size);
  return out;
}

bool Controller::input_is_drained() const {
  // Acquire: pairs with the RX threads' release: what they counted before the end is seen.
  return p_.flow.files_ended.load(std::memory_order_acquire) == p_.n_lossless_queues &&
         p_.flow.unfinished() == 0;
}

void Controller::shutdown() {
  ending_ = true;
  p_.control->registry().ending.store(1, std::memory_order_relaxed);
  retry_waiting_registrations();  // which are refused
  for (const SupervisorLink& supervisor : supervisors_)
    server_.send(supervisor.connection, {{"op", "stop"}});
  for (const auto& instance : p_.instances)
    if (instance->state == InstanceState::kRestarting)
      give_up(*instance, InstanceState::kStopped);
    else if (instance->is_waiting())
      instance->offers = false;  // what waits for it to be ready is not waited for any longer
  // What is held back goes first: afterwards nobody lets it go.
  settle(kFinishLimit, [this] { return switch_.idle() || switch_.rx_is_paused(); });
  if (!switch_.rx_is_paused()) pause_rx();
  if (!settle(kFinishLimit, [this] { return p_.flow.on_the_way() == 0; }))
    spdlog::warn("{} packets did not finish in time", p_.flow.on_the_way());
  // No packet that RX counts is on its way any more, so the routes no longer matter.
  for (const auto& instance : p_.instances) instance->routed = false;
  stop_all_nfs();
  stop_gpu_host();
  // Nobody is left to send: what is in front of NFs that are gone has been served by now.
  settle(kFinishLimit, [this] {
    return p_.flow.in_flight() == p_.flow.holding() && originated_in_flight() == 0;
  });
}

/// Waits for the end of a process; longer while it waits for its output and says so.
bool Controller::settle_end(const Instance& instance, const std::function<bool()>& ended) {
  std::uint64_t progress = 0;
  Clock::time_point deadline = Clock::now() + kEndLimit;
  const auto ended_or_late = [&] {
    if (ended()) return true;
    const Clock::time_point now = Clock::now();
    const std::uint64_t seen =
        instance.page ? instance.page->page().output_waits.load(std::memory_order_relaxed) : 0;
    if (std::exchange(progress, seen) != seen) deadline = now + kEndLimit;
    return now >= deadline;
  };
  return settle(kLongestEnd, ended_or_late) && !instance.alive();
}

void Controller::stop_all_nfs() {
  std::vector<Instance*> order;
  for (const auto& instance : p_.instances)
    if (instance->alive()) order.push_back(instance.get());
  std::ranges::sort(order, {}, &Instance::start_order);
  for (Instance* const instance : order) {
    if (!instance->alive()) continue;
    instance->leaving = true;
    // NFs that send to themselves have to know that it must come to an end.
    if (instance->state == InstanceState::kRunning) set_state(*instance, InstanceState::kDraining);
    // Its place is kept: those that still live may send to it, and the manager serves what they do.
    const auto ended = [this, instance] {
      if (instance->leaving && instance->alive()) advance_one(*instance);
      return !instance->alive();
    };
    if (settle_end(*instance, ended)) continue;
    spdlog::warn("{} (pid {}) does not end: killing it", instance->name(), instance->pid);
    syscall(SYS_pidfd_send_signal, instance->pidfd, SIGKILL, nullptr, 0);
    settle(kEndLimit, [instance] { return !instance->alive(); });
  }
  settle(kFlushLimit, [this] {
    // With --missing-nf skip what is served goes on to the next one's ring: all are empty together.
    for (const auto& instance : p_.instances)
      for (const EndpointId endpoint : instance->all_endpoints())
        if (!recovery_.is_empty(endpoint)) return false;
    advance_leaving();
    return std::ranges::none_of(p_.instances,
                                [](const auto& i) { return i->orphaned || i->leaving; });
  });
}

void Controller::stop_gpu_host() {
  if (!gpu_.alive()) return;
  server_.send(gpu_.connection(), {{"op", "stop"}});
  if (gpu_.connection() < 0 || !settle(kEndLimit, [this] { return !gpu_.alive(); })) {
    gpu_.kill();
    settle(kEndLimit, [this] { return !gpu_.alive(); });
  }
}

}  // namespace hb
