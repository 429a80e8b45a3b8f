#include "gpu_host/slice_control.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "nf_lib/fault_point.h"
#include "nf_lib/memory_file.h"
#include "nf_lib/ring.h"

namespace hb {
namespace {

using nlohmann::json;

bool has(const std::vector<std::uint32_t>& groups, std::uint32_t group) {
  return std::ranges::find(groups, group) != groups.end();
}

std::uint32_t load_word(u32& word) {
  return std::atomic_ref<u32>(word).load(std::memory_order_acquire);
}

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
    // to the first endpoint.
    if (i == 0) share.hook = hook_.get();
    if (const Result<void> added = (*world_.syncers)[i]->add(share); !added) return added;
  }
  return {};
}

bool SliceControl::all_changed() const {
  return std::ranges::all_of(*world_.syncers,
                             [&](const auto& syncer) { return syncer->is_changed(spec_.slice); });
}

void SliceControl::change_shares(std::function<ShareChange(std::size_t syncer)> change) {
  step([this, change = std::move(change)]() -> Result<bool> {
    for (std::size_t i = 0; i < world_.syncers->size(); ++i)
      (*world_.syncers)[i]->begin_change(spec_.slice, change(i));
    return true;
  });
  step([this]() -> Result<bool> { return all_changed(); });
}

/// Steps: another DeviceSlice from the next launch on.
/// @param hook  of the next table; null where the NF has none, or keeps it
void SliceControl::change_over(const std::shared_ptr<SliceSpec>& next, std::uint32_t version,
                               std::shared_ptr<std::unique_ptr<RoundHook>> hook) {
  auto made = std::make_shared<std::unique_ptr<DeviceSlice>>();
  step([this, next, made]() -> Result<bool> {
    auto slice = world_.backend->make_slice(*next);
    if (!slice) return slice.error();
    *made = std::move(*slice);
    return true;
  });
  // What the hook told the kernel is about the hook's own table: with another one, no packet may be
  // on its way. From here on nothing fails.
  if (hook != nullptr) change_shares([](std::size_t) { return ShareChange{.pause = true}; });
  step([this, next, made, version]() -> Result<bool> {
    runner_->begin_replace(*next, std::move(*made), version);
    fault_point("replacing");
    return true;
  });
  step([this, next]() -> Result<bool> {
    if (!runner_->is_replaced()) return false;
    spec_ = *next;
    answer_["pause_us"] = runner_->pause_us();
    fault_point("replaced");
    return true;
  });
  if (hook == nullptr) return;
  step([this, hook]() -> Result<bool> {
    hook_ = std::move(*hook);  // the old one gives back the numbers that it had reserved
    return true;
  });
  change_shares([this](std::size_t syncer) {
    return ShareChange{.resume = true, .hook = syncer == 0 ? hook_.get() : nullptr};
  });
}

Result<void> SliceControl::begin_resize(const json& message) {
  auto next = std::make_shared<SliceSpec>(spec_);
  if (const Result<void> set = set_work_groups(message, *next); !set) return set;
  std::vector<std::uint32_t> kept;
  std::ranges::copy_if(spec_.work_groups, std::back_inserter(kept),
                       [&](std::uint32_t g) { return has(next->work_groups, g); });
  for (std::size_t i = 0; i < world_.syncers->size(); ++i)
    if (share_of(kept, i).empty())
      return Error{"a CPUSyncer's share of the slice would lose all its work-groups at once", ""};
  // Those that leave are emptied first; those that join run before a round is given to them. So no
  // work-group with a round in it is ever without a launch, or in two.
  step([this, next]() -> Result<bool> {
    for (std::size_t i = 0; i < world_.syncers->size(); ++i) {
      ShareChange change;
      for (const std::uint32_t group : share_of(spec_.work_groups, i))
        if (!has(next->work_groups, group)) change.retire.push_back(group);
      if (!change.retire.empty())
        (*world_.syncers)[i]->begin_change(spec_.slice, std::move(change));
    }
    return true;
  });
  step([this]() -> Result<bool> { return all_changed(); });
  auto joining = std::make_shared<std::vector<ShareChange>>(world_.syncers->size());
  step([this, next, joining]() -> Result<bool> {
    for (std::size_t i = 0; i < joining->size(); ++i) {
      for (const std::uint32_t group : share_of(next->work_groups, i)) {
        if (has(spec_.work_groups, group)) continue;
        Result<WorkQueue> queue = WorkQueue::adopt(world_.view.region, group);
        if (!queue) return queue.error();
        (*joining)[i].join.push_back(std::move(*queue));
      }
    }
    return true;
  });
  change_over(next, runner_->version(), nullptr);
  step([this, joining]() -> Result<bool> {
    for (std::size_t i = 0; i < joining->size(); ++i)
      if (!(*joining)[i].join.empty())
        (*world_.syncers)[i]->begin_change(spec_.slice, std::move((*joining)[i]));
    return true;
  });
  step([this]() -> Result<bool> {
    if (!all_changed()) return false;
    answer_["work_groups"] = spec_.work_groups;
    spdlog::info("slice {}: {} on work-groups {} now", spec_.slice, label_,
                 fmt::join(spec_.work_groups, ", "));
    return true;
  });
  return {};
}

/// A round that is answered by the version before may still be in a queue.
bool SliceControl::old_rounds_left() const {
  const RegionView& region = world_.view.region;
  return std::ranges::any_of(spec_.work_groups, [&](std::uint32_t group) {
    const std::uint32_t drained =
        load_word(region.queue_control(group)->drained.value) / region.layout().work_group_size;
    const std::uint32_t rounds = ~std::uint32_t{0} / region.layout().work_group_size;
    // Both count rounds, modulo 2^32 / W.
    const std::uint32_t behind = (versions_->first_round(group) - drained) & rounds;
    return behind != 0 && behind <= region.layout().n_rounds;
  });
}

Result<void> SliceControl::begin_replace(const json& message) {
  auto next = std::make_shared<SliceSpec>(spec_);
  load_kernel(message, *next);
  step([this, next, path = message.value("table", "")]() -> Result<bool> {
    Result<SecretVector<std::byte>> table = read_secret_bytes(path);
    if (!table) return table.error();
    auto hook = std::make_shared<std::unique_ptr<RoundHook>>();
    if (const Result<void> uploaded = upload(*table, *next, *hook); !uploaded)
      return uploaded.error();
    change_over(next, runner_->version() + 1, *hook != nullptr ? hook : nullptr);
    // Versions go up by one, and each waits until the one before has left the queues.
    step([this]() -> Result<bool> {
      if (old_rounds_left()) return false;
      for (const std::uint32_t group : spec_.work_groups)
        versions_->settle(group, runner_->version());
      answer_["version"] = runner_->version();
      spdlog::info("slice {}: {}, version {} of its table", spec_.slice, label_,
                   runner_->version());
      return true;
    });
    return true;
  });
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
