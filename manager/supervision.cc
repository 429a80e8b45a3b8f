// Controller: supervisors, which start and restart NF processes, and what hbctl asks of them: how
// many instances, and all of them anew.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>

#include "manager/controller.h"

namespace hb {
namespace {

using nlohmann::json;

/// Counts as one of the service's: it lives or is about to again, and nobody has told it to end.
bool stays(const Instance* instance) {
  return !instance->leaving && instance->in_use() &&
         (instance->alive() || instance->state == InstanceState::kRestarting);
}

}  // namespace

std::string signal_name(int signal) {
  const char* const name = signal > 0 && signal < NSIG ? sigabbrev_np(signal) : nullptr;
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

void Controller::on_supervise(int connection, const json& message) {
  if (ending_) {
    server_.send(connection, refusal(Error{"the manager is ending", ""}));
    return;
  }
  const int pid = server_.peer_pid(connection);
  std::erase_if(supervisors_, [&](const SupervisorLink& s) { return s.connection == connection; });
  supervisors_.push_back({.connection = connection,
                          .pid = pid,
                          .service = message.value("service", ""),
                          .restarts = message.value("restarts", false)});
  server_.send(connection, {{"ok", true}});
}

SupervisorLink* Controller::supervisor_by_connection(int connection) {
  const auto at = std::ranges::find(supervisors_, connection, &SupervisorLink::connection);
  return at == supervisors_.end() ? nullptr : &*at;
}

SupervisorLink* Controller::supervisor_by_pid(int pid) {
  const auto at = std::ranges::find(supervisors_, pid, &SupervisorLink::pid);
  return at == supervisors_.end() ? nullptr : &*at;
}

const SupervisorLink* Controller::supervisor_of(const Instance& instance) const {
  if (instance.supervisor == 0) return nullptr;
  const auto at = std::ranges::find(supervisors_, instance.supervisor, &SupervisorLink::pid);
  return at == supervisors_.end() ? nullptr : &*at;
}

void Controller::tell_supervisor(const Instance& instance, const char* op) {
  if (const SupervisorLink* const supervisor = supervisor_of(instance); supervisor != nullptr)
    server_.send(supervisor->connection, {{"op", op}, {"pid", instance.pid}});
}

/// Nobody starts its processes again: those that live end by themselves, for the dead there is no
/// use waiting.
void Controller::on_supervisor_gone(const SupervisorLink& supervisor) {
  if (rolling_ && rolling_->old != nullptr && rolling_->old->supervisor == supervisor.pid)
    end_rolling(rolling_->old_pid, "its supervisor is gone");
  for (const auto& instance : p_.instances) {
    if (instance->supervisor != supervisor.pid) continue;
    if (instance->state != InstanceState::kRestarting) continue;
    spdlog::warn("{} is not started again: its supervisor is gone", instance->name());
    give_up(*instance, InstanceState::kFailed);
  }
}

json Controller::on_scale(const json& message) {
  const std::string name = message.value("service", "");
  const std::uint32_t wanted = message.value("instances", 0u);
  const Service* const service = find_service(name);
  if (service == nullptr || !service->in_use())
    return refusal(
        Error{fmt::format("no NF '{}' is running", name), "hbctl nfs shows those that are"});
  if (wanted == 0 || wanted > kMaxTargets)
    return refusal(Error{fmt::format("{} instances are out of range", wanted),
                         fmt::format("ask for 1 to {}, or stop it with hbctl stop", kMaxTargets)});
  if (service->choice == InstanceChoice::kSingle && wanted > 1)
    return refusal(Error{fmt::format("there can be only one '{}'", name), ""});
  std::vector<Instance*> now;
  std::ranges::copy_if(service->instances, std::back_inserter(now), stays);
  std::ranges::sort(now, std::ranges::greater{}, &Instance::start_order);
  std::uint32_t coming = 0;
  SupervisorLink* newest = nullptr;
  for (SupervisorLink& supervisor : supervisors_) {
    if (supervisor.service != name) continue;
    coming += supervisor.n_asked;
    newest = &supervisor;
  }
  const auto have = static_cast<std::uint32_t>(now.size()) + coming;
  if (wanted > have) {
    if (newest == nullptr)
      return refusal(Error{fmt::format("'{}' was not started by start_nf.sh", name),
                           "only a supervisor can start more of it"});
    for (std::uint32_t i = have; i < wanted; ++i) {
      ++newest->n_asked;
      server_.send(newest->connection, {{"op", "start"}});
    }
  }
  for (std::uint32_t i = 0; i < now.size() && have - i > wanted && have > wanted; ++i)
    leave(*now[i]);
  return {{"ok", true}, {"before", have}, {"instances", wanted}};
}

void Controller::on_restart(int connection, const json& message) {
  const std::string name = message.value("service", "");
  const auto refuse = [&](const Error& error) { server_.send(connection, refusal(error)); };
  if (rolling_) {
    refuse(Error{fmt::format("'{}' is being restarted", rolling_->service),
                 "wait until that is done"});
    return;
  }
  std::vector<Instance*> order;
  for (Instance* const instance : find_instances(name))
    if (instance->state == InstanceState::kRunning && !instance->leaving) order.push_back(instance);
  if (order.empty()) {
    refuse(Error{fmt::format("no NF '{}' is running", name), "hbctl nfs shows those that are"});
    return;
  }
  for (const Instance* const instance : order) {
    if (supervisor_of(*instance) != nullptr) continue;
    refuse(Error{fmt::format("{} was not started by start_nf.sh", instance->name()),
                 "only a supervisor can start it again: stop it, and start it with start_nf.sh"});
    return;
  }
  std::ranges::sort(order, std::ranges::greater{}, &Instance::start_order);
  rolling_ = Rolling{.service = name, .connection = connection, .left = {}, .old = nullptr};
  for (Instance* const instance : order) rolling_->left.push_back({instance, instance->pid});
}

void Controller::advance_rolling() {
  if (!rolling_) return;
  if (Instance* const old = rolling_->old; old != nullptr) {
    if (old->service->choice == InstanceChoice::kSingle) {
      if (old->state == InstanceState::kFailed || old->state == InstanceState::kStopped) {
        end_rolling(rolling_->old_pid, "the new process did not start");
        return;
      }
      if (old->state != InstanceState::kRunning || old->pid == rolling_->old_pid) return;
    } else if (old->pid == rolling_->old_pid && (old->alive() || old->in_use())) {
      return;
    }
    rolling_->old = nullptr;
    ++rolling_->n_done;
  }
  while (!rolling_->left.empty()) {
    const auto [instance, pid] = rolling_->left.back();
    rolling_->left.pop_back();
    if (!instance->alive() || instance->pid != pid || instance->leaving) continue;
    rolling_->old = instance;
    rolling_->old_pid = pid;
    begin_replacement(*instance);
    return;
  }
  server_.send(rolling_->connection, {{"ok", true}, {"restarted", rolling_->n_done}});
  spdlog::info("{}: {} instances have been restarted", rolling_->service, rolling_->n_done);
  rolling_.reset();
}

/// Of most services the new process joins, then the old one leaves; both change the routes at once.
/// Where there can be only one, the old one stops at a burst's end and its rings wait.
void Controller::begin_replacement(Instance& old) {
  const SupervisorLink* const supervisor = supervisor_of(old);
  if (supervisor == nullptr) {  // it was there when the restart began
    end_rolling(old.pid, "its supervisor is gone");
    return;
  }
  if (old.service->choice != InstanceChoice::kSingle) {
    server_.send(supervisor->connection, {{"op", "start"}, {"replaces", old.pid}});
    return;
  }
  tell_supervisor(old, "again");
  old.handing_over = true;
  // Release: pairs with the acquire load in NfSession::should_stop.
  p_.control->registry().instances[old.id].stop.store(1, std::memory_order_release);
  server_.send(old.connection, {{"op", "stop"}});
}

void Controller::end_rolling(int old_pid, const std::string& why) {
  if (!rolling_ || rolling_->old == nullptr || rolling_->old_pid != old_pid) return;
  const Error error{fmt::format("{}: {}; {} instances were restarted before", rolling_->old->name(),
                                why, rolling_->n_done),
                    "see what it printed; the old process goes on if it lives"};
  spdlog::error("{}", error.line());
  server_.send(rolling_->connection, refusal(error));
  rolling_.reset();
}

}  // namespace hb
