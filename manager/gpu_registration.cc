// Controller: how a GPU NF joins: what it gets of the device, and what it waits for.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "manager/controller.h"
#include "manager/gpu_slices.h"
#include "nf_lib/copy_queue.h"

namespace hb {

using nlohmann::json;

/// Whether what it lacks is being given back. An NF's context is, while a TX thread empties its
/// fill ring: for a pass of it.
/// @param message  one that check_description() has found good
bool Controller::waits_for_room(const json& message) {
  return (!ending_ && !closing_.empty() && !resources_.has_free_context()) ||
         waits_for_gpu(message);
}

/// A GPU NF waits while gpu_host starts, and while it lacks only what others are giving back: those
/// that have died or been stopped, or are getting smaller.
/// @param message  one that check_description() has found good
bool Controller::waits_for_gpu(const json& message) {
  if (message.value("compute", "") != "gpu" || ending_) return false;
  if (p_.gpu.state == GpuStatus::State::kStarting) return true;
  if (p_.gpu.state != GpuStatus::State::kReady) return false;
  const bool come_back = std::ranges::any_of(p_.instances, [](const auto& i) {
    return i->slice != kMaxSlices && (!i->alive() || i->leaving || i->resize.at_work);
  });
  if (!come_back) return false;
  const auto slice = resources_.take_slice();
  const auto groups = resources_.take_work_groups(
      work_groups_wanted(message.value("work_groups", 0u)), p_.options.n_syncers);
  if (slice) resources_.free_slice(*slice);
  if (groups) resources_.free_work_groups(*groups);
  return !slice || !groups;
}

/// @param asked  0: a share of the device
std::uint32_t Controller::work_groups_wanted(std::uint32_t asked) const {
  if (asked != 0) return asked;
  return std::max(p_.options.n_syncers, p_.view.region.layout().n_work_groups / 4);
}

void Controller::retry_waiting_registrations() {
  std::vector<Waiting> waiting;
  waiting.swap(waiting_);
  for (Waiting& w : waiting) {
    const json message = json::parse(w.message);
    if (waits_for_room(message)) {
      waiting_.push_back(std::move(w));
      continue;
    }
    const json reply = register_nf(w.connection, message, w.pidfd);
    if (!reply.value("ok", false)) close(w.pidfd);
    server_.send(w.connection, reply);
  }
}

Result<void> Controller::give_gpu_place(Instance& instance, std::uint32_t work_groups) {
  if (p_.gpu.state != GpuStatus::State::kReady)
    return Error{p_.gpu.why.empty() ? "the manager runs without a GPU (--gpu none)"
                                    : fmt::format("there is no GPU: {}", p_.gpu.why),
                 "start the NF without --gpu, or the manager with --gpu auto"};
  const std::uint32_t total = p_.view.region.layout().n_work_groups;
  const std::uint32_t wanted = work_groups_wanted(work_groups);
  if (wanted < p_.options.n_syncers)
    return Error{fmt::format("--workgroups {} is less than one for each CPUSyncer", wanted),
                 fmt::format("give it at least {}", p_.options.n_syncers)};
  const auto slice = resources_.take_slice();
  if (!slice)
    return Error{fmt::format("{} GPU NFs are all there can be", kMaxSlices), "stop another one"};
  const std::uint32_t n_syncers = p_.options.n_syncers;
  auto groups =
      resources_.take_work_groups(wanted, n_syncers, {}, instance.service->only_syncer(n_syncers));
  if (!groups) {
    resources_.free_slice(*slice);
    return Error{
        fmt::format("{} of the GPU's {} work-groups are free, {} are wanted",
                    resources_.n_free_work_groups(), total, wanted),
        "give it fewer with --workgroups, stop or resize another GPU NF, or raise the manager's"};
  }
  instance.slice = *slice;
  instance.slice_base = read_slice(p_, *slice);
  instance.work_groups = std::move(*groups);
  instance.slice_removed = true;
  instance.removal_sent = false;
  for (std::uint32_t s = 0; s < p_.options.n_syncers; ++s)
    CopyQueue(p_.view.region, *slice * p_.options.n_syncers + s).reset();
  return give_cpu_place(instance);
}

/// The table stays here: a gpu_host that is started again gets it without the control process.
void Controller::add_slice(Instance& instance) {
  std::vector<std::uint32_t> endpoints;
  std::vector<std::uint32_t> queues;
  for (std::uint32_t s = 0; s < p_.options.n_syncers; ++s) {
    endpoints.push_back(instance.endpoints[s].value);
    queues.push_back(instance.slice * p_.options.n_syncers + s);
  }
  instance.slice_removed = false;
  instance.removal_sent = false;
  instance.orphaned = false;  // from here on its endpoints are gpu_host's
  json order = {{"op", "add_slice"},
                {"slice", instance.slice},
                {"service", instance.service->id},
                {"instance", instance.id},
                {"endpoints", endpoints},
                {"only_syncer", instance.service->only_syncer(p_.options.n_syncers).value_or(0)},
                {"waiting_room", instance.waiting_room->value},
                {"copy_queues", queues},
                {"version", instance.table_version},
                {"work_groups", instance.work_groups},
                {"surviving", instance.surviving},
                {"surviving_bytes", instance.surviving_bytes}};
  name_files(instance.table, order);
  server_.send(gpu_.connection(), order);
}

void Controller::on_slice_added(const json& message) {
  const std::uint32_t slice = message.value("slice", kMaxSlices);
  for (const auto& instance : p_.instances) {
    if (instance->slice != slice || instance->slice == kMaxSlices) continue;
    if (instance->state != InstanceState::kStarting) {
      // It died meanwhile. A slice that is there serves its endpoints; else the manager does.
      if (!message.value("ok", false)) {
        instance->slice_removed = true;
        instance->orphaned |= !instance->alive();
      }
      continue;
    }
    if (message.value("ok", false)) {
      offer(*instance);
      if (!std::exchange(instance->said_ready, true))
        server_.send(instance->connection, {{"ok", true}});
    } else if (instance->said_ready) {  // it waits for no answer any more
      instance->slice_removed = true;
      instance->failure = message.value("what", "gpu_host refused its slice");
      lose_slice(*instance, false);
    } else {
      instance->slice_removed = true;
      server_.send(instance->connection, refusal(Error{message.value("what", "gpu_host refused"),
                                                       message.value("fix", "")}));
    }
  }
}

}  // namespace hb
