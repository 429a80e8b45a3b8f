// SliceControl: changes of a slice that runs: its size, its table, its program.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "gpu_host/shared_word.h"
#include "gpu_host/slice_control.h"
#include "nf_lib/fault_point.h"
#include "nf_lib/memory_file.h"

namespace hb {
namespace {

using nlohmann::json;

bool has(const std::vector<std::uint32_t>& groups, std::uint32_t group) {
  return std::ranges::find(groups, group) != groups.end();
}

}  // namespace

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
    return ShareChange{.resume = true, .hook = syncer == only_syncer_ ? hook_.get() : nullptr};
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

}  // namespace hb
