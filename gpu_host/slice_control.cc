#include "gpu_host/slice_control.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "gpu_host/shared_word.h"
#include "nf_lib/fault_point.h"
#include "nf_lib/memory_file.h"
#include "nf_lib/ring.h"

namespace hb {
namespace {

using nlohmann::json;

/// The launching thread's last words: its packets are in slots that nobody will answer, so the
/// manager recovers them.
void end_on_failure(const Error& error) {
  spdlog::error("{}", error.line());
  _exit(1);
}

}  // namespace

SliceControl::~SliceControl() = default;

void SliceControl::order(const json& message) { orders_.push_back(message); }

std::vector<json> SliceControl::advance() {
  std::vector<json> answers;
  while (!orders_.empty()) {
    Result<bool> done = true;
    if (!begun_) {
      begun_ = true;
      const json& message = orders_.front();
      answer_ = {{"slice", spec_.slice}, {"id", message.value("id", json())}, {"ok", true}};
      Result<void> begun;
      try {
        begun = begin(message);
      } catch (const json::exception& error) {
        begun = Error{fmt::format("the order makes no sense: {}", error.what()), ""};
      }
      if (!begun) done = begun.error();
    }
    while (done.ok() && *done && !steps_.empty()) {
      done = steps_.front()();
      if (done.ok() && *done) steps_.pop_front();
    }
    if (done.ok() && !*done) break;
    if (!done.ok()) {
      steps_.clear();
      answer_.update({{"ok", false}, {"what", done.error().what}, {"fix", done.error().fix}});
      if (answer_.value("op", "") == "slice_added") gone_ = true;
    }
    answers.push_back(std::exchange(answer_, {}));
    begun_ = false;
    orders_.pop_front();
  }
  return answers;
}

Result<void> SliceControl::begin(const json& message) {
  const std::string op = message.value("op", "");
  if (op == "add_slice") {
    answer_["op"] = "slice_added";
    return runner_ ? Error{fmt::format("slice {} is taken", spec_.slice), ""} : begin_add(message);
  }
  if (op == "remove_slice") {
    answer_["op"] = "slice_removed";
    begin_remove();
    return {};
  }
  answer_["op"] = op == "resize_slice" ? "slice_resized" : "table_replaced";
  if (!runner_ || gone_) return Error{fmt::format("there is no slice {}", spec_.slice), ""};
  return op == "resize_slice" ? begin_resize(message) : begin_replace(message);
}

Result<void> SliceControl::set_work_groups(const json& message, SliceSpec& spec) const {
  const RegionLayout& layout = world_.view.region.layout();
  spec.work_groups = message.at("work_groups").get<std::vector<std::uint32_t>>();
  std::vector<std::uint32_t> sorted = spec.work_groups;
  std::ranges::sort(sorted);
  if (std::ranges::adjacent_find(sorted) != sorted.end() ||
      (!sorted.empty() && sorted.back() >= layout.n_work_groups))
    return Error{"the order names a work-group twice, or one that is not there", ""};
  for (std::size_t i = 0; i < world_.syncers->size(); ++i)
    if (share_of(spec.work_groups, i).empty())
      return Error{fmt::format("{} work-groups can't be shared by {} CPUSyncers",
                               spec.work_groups.size(), world_.syncers->size()),
                   "give the NF more --workgroups, or the manager fewer --syncers"};
  return {};
}

/// A work-group belongs to one CPUSyncer for good, by its number: so a slice that changes its size
/// never moves a flow from one CPUSyncer to another.
std::vector<std::uint32_t> SliceControl::share_of(const std::vector<std::uint32_t>& groups,
                                                  std::size_t syncer) const {
  std::vector<std::uint32_t> share;
  for (const std::uint32_t group : groups)
    if (group % world_.syncers->size() == syncer) share.push_back(group);
  return share;
}

/// @param hook  made for the table if the kernel wants one, before the table goes to the device
Result<void> SliceControl::upload(std::span<std::byte> table, SliceSpec& spec,
                                  std::unique_ptr<RoundHook>& hook) const {
  if (!spec.kernel->table_valid(table))
    return Error{
        fmt::format("the table for '{}' ({} bytes) is malformed", spec.kernel->name, table.size()),
        "build all programs from one tree"};
  if (spec.kernel->make_hook != nullptr) {
    auto made = spec.kernel->make_hook(table, surviving_);
    if (!made) return made.error();
    hook = std::move(*made);
  }
  auto uploaded = world_.backend->upload_table(table);
  if (!uploaded) return uploaded.error();
  spec.table = *uploaded;
  spec.table_bytes = static_cast<std::uint32_t>(table.size());
  fault_point("table_uploaded");
  return {};
}

/// Maps the service's surviving block, once for all its lives here.
Result<void> SliceControl::map_surviving(const json& message) {
  const std::string name = message.value("surviving", "");
  if (name.empty()) return {};
  auto& block = world_.surviving[name];
  if (block.empty()) {
    auto mapped =
        world_.attachment->map_surviving(name, message.value("surviving_bytes", std::uint64_t{0}));
    if (!mapped) return mapped.error();
    block = *mapped;
  }
  surviving_ = block;
  return {};
}

/// Finds the kernel that the order names, or begins to build the one that it brings.
void SliceControl::load_kernel(const json& message, SliceSpec& next) {
  const std::string source_path = message.value("source", "");
  if (source_path.empty()) return;
  const std::string name = message.value("source_name", "user.cl");
  step([this, source_path, name, table_path = message.value("table", "")]() -> Result<bool> {
    Result<std::string> source = read_file(source_path);
    if (!source) return source.error();
    Result<KernelFile> file = parse_kernel_file(name, std::move(*source));
    if (!file) return file.error();
    const Result<std::string> table = read_file(table_path);
    if (!table) return table.error();
    const auto bytes = std::as_bytes(std::span(table->data(), table->size()));
    UserKernel user{std::move(*file), {bytes.begin(), bytes.end()}};
    user_entry_ = std::make_shared<const KernelEntry>(user.entry());
    program_ = std::async(std::launch::async, [this, user = std::move(user)] {
      const std::lock_guard lock(world_.building);
      return world_.backend->load_program(user);
    });
    return true;
  });
  step([this, &next, name]() -> Result<bool> {
    if (program_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
    Result<std::shared_ptr<const DeviceProgram>> program = program_.get();
    if (!program) return program.error();
    next.program = *program;
    next.user_kernel = user_entry_;
    next.kernel = user_entry_.get();
    label_ = name;
    return true;
  });
}

Result<void> SliceControl::begin_add(const json& message) {
  if (const Result<void> set = set_work_groups(message, spec_); !set) return set;
  const PoolLayout& pool = world_.view.check.pool();
  spec_.bounds = {pool.mbuf_bytes, pool.mbuf_bytes + pool.headroom + pool.data_room};
  if (message.value("source", "").empty()) {
    label_ = message.at("kernel").get<std::string>();
    spec_.kernel = find_kernel(label_);
    if (spec_.kernel == nullptr)
      return Error{fmt::format("there is no kernel '{}'", label_), "see kernels/ for their names"};
    const std::uint32_t lanes = world_.view.region.layout().work_group_size;
    if (!spec_.kernel->fits(lanes))
      return Error{fmt::format("'{}' can't run in work-groups of {}", label_, lanes),
                   fmt::format("give the manager a --workgroup-size of {} to {}",
                               spec_.kernel->min_lanes, spec_.kernel->max_lanes)};
  }
  load_kernel(message, spec_);
  step([this, message]() -> Result<bool> {
    if (const Result<void> mapped = map_surviving(message); !mapped) return mapped.error();
    Result<SecretVector<std::byte>> table = read_secret_bytes(message.value("table", ""));
    if (!table) return table.error();
    if (const Result<void> uploaded = upload(*table, spec_, hook_); !uploaded)
      return uploaded.error();
    auto device_slice = world_.backend->make_slice(spec_);
    if (!device_slice) return device_slice.error();
    fault_point("slice_made");
    versions_ = std::make_unique<TableVersions>(world_.view.region.layout().n_work_groups);
    runner_ =
        std::make_unique<SliceRunner>(world_.view.region, spec_, std::move(*device_slice),
                                      *versions_, end_on_failure, message.value("version", 1u));
    if (const Result<void> added = add_to_syncers(message); !added) {
      for (const auto& syncer : *world_.syncers) {
        syncer->begin_remove(spec_.slice);  // nothing was routed there: gone at its next poll
        while (!syncer->is_removed(spec_.slice)) std::this_thread::yield();
      }
      return added.error();
    }
    fault_point("slice_shared");
    runner_->start();
    fault_point("slice_started");
    answer_["version"] = runner_->version();
    spdlog::info("slice {}: {} on work-groups {}", spec_.slice, label_,
                 fmt::join(spec_.work_groups, ", "));
    return true;
  });
  return {};
}

Result<void> SliceControl::add_to_syncers(const json& message) {
  const auto endpoints = message.at("endpoints").get<std::vector<std::uint32_t>>();
  const auto queues = message.value("copy_queues", std::vector<std::uint32_t>{});
  const std::uint32_t waiting_room =
      message.value("waiting_room", world_.view.region.layout().n_endpoints);
  const std::size_t n = world_.syncers->size();
  only_syncer_ = message.value("only_syncer", std::size_t{0});
  if (endpoints.size() != n)
    return Error{fmt::format("{} endpoints for {} CPUSyncers", endpoints.size(), n), ""};
  const RegionLayout& layout = world_.view.region.layout();
  for (std::size_t i = 0; i < n; ++i) {
    ShareSpec share;
    share.slice = spec_.slice;
    share.service = ServiceId(message.at("service").get<std::uint32_t>() % kMaxServices);
    share.instance = InstanceId(message.at("instance").get<std::uint32_t>() % kMaxInstances);
    if (endpoints[i] >= layout.n_endpoints)
      return Error{fmt::format("there is no endpoint {}", endpoints[i]), ""};
    share.endpoint = EndpointId(endpoints[i]);
    endpoints_.push_back(share.endpoint);
    if (i < queues.size() && queues[i] < layout.n_copy_queues) share.copy_queue = queues[i];
    if (waiting_room < layout.n_endpoints) share.waiting_room = EndpointId(waiting_room);
    share.work_groups = share_of(spec_.work_groups, i);
    share.most_work_groups = layout.n_work_groups / static_cast<std::uint32_t>(n) + 1;
    share.doorbell = &runner_->doorbell();
    share.versions = versions_.get();
    share.has_words = spec_.kernel->make_hook != nullptr;
    // One thread has the hook: an NF that has one declares a single instance, whose packets all go
    // to one endpoint.
    if (i == only_syncer_) share.hook = hook_.get();
    if (const Result<void> added = (*world_.syncers)[i]->add(share); !added) return added;
  }
  return {};
}

void SliceControl::begin_remove() {
  if (!runner_ || gone_) return;
  for (const auto& syncer : *world_.syncers) syncer->begin_remove(spec_.slice);
  fault_point("slice_leaving");
  step([this]() -> Result<bool> {
    return std::ranges::all_of(*world_.syncers,
                               [&](const auto& syncer) { return syncer->is_removed(spec_.slice); });
  });
  step([this]() -> Result<bool> {
    runner_->stop();
    hook_.reset();
    gone_ = true;
    fault_point("slice_gone");
    spdlog::info("slice {} is given back after {} launches", spec_.slice, runner_->n_launches());
    return true;
  });
}

void SliceControl::tick(std::uint64_t wall_clock_ns) {
  if (hook_ == nullptr) return;
  for (const std::string& line : hook_->tick(wall_clock_ns)) spdlog::warn("{}: {}", label_, line);
}

std::uint64_t SliceControl::backlog() const noexcept {
  const RegionView& region = world_.view.region;
  std::uint64_t n = 0;
  for (const EndpointId endpoint : endpoints_)
    for (std::uint32_t from = 0; from < region.layout().n_contexts; ++from)
      n += n_waiting(region.ring(endpoint, ContextId(from)), region.layout().ring_size);
  return n;
}

int SliceControl::stuck_work_group(std::uint64_t now_ns, std::uint64_t limit_ns) {
  if (!runner_) return -1;
  progress_.resize(world_.view.region.layout().n_work_groups);
  for (const std::uint32_t group : spec_.work_groups) {
    HbQueueControl* const queue = world_.view.region.queue_control(group);
    const std::uint32_t completed = load_word(queue->completed.value);
    Progress& progress = progress_[group];
    if (completed == load_word(queue->published.value) || completed != progress.completed ||
        progress.since_ns == 0)
      progress = {completed, now_ns};
    else if (now_ns - progress.since_ns >= limit_ns)
      return static_cast<int>(group);
  }
  return -1;
}

}  // namespace hb
