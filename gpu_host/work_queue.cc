#include "gpu_host/work_queue.h"

#include <fmt/format.h>

#include <bit>

namespace hb {

Result<WorkQueue> WorkQueue::adopt(const RegionView& region, std::uint32_t work_group) {
  const RegionLayout& layout = region.layout();
  if (work_group >= layout.n_work_groups)
    return Error{fmt::format("there is no work-group {}: the region has {}", work_group,
                             layout.n_work_groups),
                 ""};
  // Counts of rounds and slots wrap at 2^32, and both must name the same place when they do.
  if (!std::has_single_bit(layout.work_group_size) || !std::has_single_bit(layout.n_rounds))
    return Error{fmt::format("queues of {} rounds by {} slots can't be run", layout.n_rounds,
                             layout.work_group_size),
                 "choose powers of two"};
  WorkQueue queue;
  queue.work_group_ = work_group;
  queue.control_ = region.queue_control(work_group);
  queue.slots_ = region.slots(work_group);
  queue.results_ = region.results(work_group);
  queue.round_slots_ = layout.work_group_size;
  queue.n_rounds_ = layout.n_rounds;
  queue.mask_ = region.slots_per_queue() - 1;
  queue.own_.resize(region.slots_per_queue());
  queue.used_.assign(queue.n_rounds_, queue.round_slots_);
  queue.words_ = region.words(work_group);
  queue.own_words_.resize(region.slots_per_queue());
  HbQueueControl& control = *queue.control_;
  if (control.filled.value != control.drained.value)
    return Error{fmt::format("work-group {}'s queue still holds packets", work_group),
                 "restart the manager"};
  // Counts go on, so that no record of the ledger from an earlier life fits a new burst. A crash
  // may have left rounds that were published and never answered: their packets are gone.
  queue.published_ = queue.rounds_drained_ = queue.completed();
  queue.filled_ = queue.drained_ = queue.published_ * queue.round_slots_;
  store_word(control.published.value, queue.published_);
  store_word(control.filled.value, queue.filled_);
  store_word(control.drained.value, queue.drained_);
  return queue;
}

}  // namespace hb
