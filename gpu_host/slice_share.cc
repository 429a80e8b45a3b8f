#include "gpu_host/slice_share.h"

#include <rte_cycles.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "gpu_host/slice_answers.h"

namespace hb {
namespace {

/// A part-filled round waits so long after the one before it, unless none is under way. Each costs
/// a CPUSyncer about a microsecond whatever is in it: this is what a packet may wait for company,
/// however long the NF's rounds are.
constexpr std::uint64_t kRoundsPerSecond = 250'000;

}  // namespace

Result<SliceShare> SliceShare::make(const SyncerCommon& syncer, const ShareSpec& spec) {
  std::vector<WorkQueue> queues;
  queues.reserve(std::max<std::size_t>(spec.most_work_groups, spec.work_groups.size()));
  for (const std::uint32_t work_group : spec.work_groups) {
    Result<WorkQueue> queue = WorkQueue::adopt(syncer.view.region, work_group);
    if (!queue) return queue.error();
    queues.push_back(std::move(*queue));
  }
  if (queues.empty()) return Error{"a slice has fewer work-groups than there are CPUSyncers", ""};
  return SliceShare(syncer, spec, std::move(queues));
}

SliceShare::SliceShare(const SyncerCommon& syncer, const ShareSpec& spec,
                       std::vector<WorkQueue> queues)
    : spec_(spec),
      registry_(syncer.view.registry),
      routes_(syncer.view.routes, registry_, spec.service.value, spec.instance),
      most_drained_(std::max(kMaxBurst, syncer.view.region.layout().ring_size / 2)),
      n_reasons_(std::min(registry_->services[spec.service.value].n_reasons, kMaxNfReasons)),
      queues_(std::move(queues)),
      use_(queues_.size(), Use::kActive),
      order_(std::bit_ceil(queues_.capacity() * syncer.view.region.layout().n_rounds)),
      between_rounds_tsc_(rte_get_tsc_hz() / kRoundsPerSecond) {
  use_.reserve(queues_.capacity());
  if (spec.copy_queue == ShareSpec::kNoCopyQueue) return;
  copies_ = CopyQueue(syncer.view.region, spec.copy_queue);
  if (spec.waiting_room)
    waiting_ = WaitingRoom(syncer.view.region, *spec.waiting_room, syncer.publisher.context(),
                           copies_.n_records());
  if (waiting_.exists())
    most_slots_ = std::min({kMaxBurst, waiting_.capacity(), copies_.n_records()});
}

void SliceShare::publish_open() noexcept {
  queues_[open_].publish();
  order_[order_head_++ & (order_.size() - 1)] = {rte_rdtsc(), open_};
  published_ = true;
}

void SliceShare::ring_if_published() noexcept {
  if (std::exchange(published_, false) && spec_.doorbell != nullptr) spec_.doorbell->ring();
}

void SliceShare::count_round(SyncerCommon& syncer, const Flight& flight) noexcept {
  ContextCounters& counters = syncer.page->counters;
  add(counters.slice_rounds[spec_.slice], 1);
  add(counters.slice_latency[spec_.slice][latency_bucket(rte_rdtsc() - flight.published_tsc)], 1);
}

bool SliceShare::finish() noexcept {
  close_open();
  return order_tail_ == order_head_ && waiting_.is_empty();
}

void SliceShare::close_open() noexcept {
  WorkQueue& open = queues_[open_];
  if (open.open_slots() != 0) {
    open.pad();
    publish_open();
  }
  ring_if_published();
}

void SliceShare::begin_change(ShareChange& change) noexcept {
  for (WorkQueue& joining : change.join) {
    const auto gone = std::ranges::find(use_, Use::kGone);
    if (gone != use_.end()) {
      std::swap(queues_[static_cast<std::size_t>(gone - use_.begin())], joining);
      *gone = Use::kActive;
    } else if (queues_.size() < queues_.capacity()) {
      queues_.push_back(std::move(joining));  // reserved, as is use_
      use_.push_back(Use::kActive);
    }
  }
  if (change.pause) {
    close_open();
    paused_ = true;
  }
  if (change.resume) {
    spec_.hook = change.hook;
    paused_ = false;
  }
  for (std::uint32_t i = 0; i < queues_.size(); ++i) {
    if (is_active(i) &&
        std::ranges::find(change.retire, queues_[i].work_group()) != change.retire.end()) {
      if (i == open_) close_open();
      use_[i] = Use::kRetiring;
    }
  }
}

bool SliceShare::finish_change() noexcept {
  bool finished = !paused_ || order_tail_ == order_head_;
  for (std::uint32_t i = 0; i < queues_.size(); ++i) {
    if (use_[i] != Use::kRetiring) continue;
    if (queues_[i].is_empty())
      use_[i] = Use::kGone;
    else
      finished = false;
  }
  return finished;
}

}  // namespace hb
