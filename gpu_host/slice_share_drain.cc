// What comes back from the device: answers, checked, and packets on to where they say.
#include <rte_prefetch.h>

#include <array>
#include <bit>

#include "gpu_host/answer_check.h"
#include "gpu_host/next_hops.h"
#include "gpu_host/slice_answers.h"
#include "gpu_host/slice_share.h"
#include "nf_lib/burst_scope.h"
#include "nf_lib/fault_point.h"

namespace hb {

bool SliceShare::drain(SyncerCommon& syncer) noexcept {
  if (spec_.copy_queue != ShareSpec::kNoCopyQueue) {
    copies_.collect([this](std::uint32_t number, std::uint64_t result) {
      if (waiting_.exists()) waiting_.on_answer(number, result);
    });
  }
  bool moved = false;
  while (let_go(syncer)) moved = true;
  for (std::uint32_t n = 0; order_tail_ != order_head_ && n < most_drained_; n += most_slots_) {
    WorkQueue& queue = queues_[order_[order_tail_ & (order_.size() - 1)].queue];
    if (!queue.round_done() || !drain_burst(syncer, queue)) break;
    moved = true;
  }
  return moved;
}

bool SliceShare::drain_burst(SyncerCommon& syncer, WorkQueue& queue) noexcept {
  const BurstScope scope(syncer.page);
  const std::uint32_t n = queue.next_burst(most_slots_);
  Answers answers;
  read_answers(syncer, queue, answers);
  answers.version =
      spec_.versions != nullptr ? spec_.versions->of(queue.work_group(), queue.first_round()) : 1;
  fault_point("answers_read");
  if (!copy_to_control(syncer, answers)) return false;
  fault_point("copied_to_control");
  if (spec_.hook != nullptr) settle(syncer, queue, answers);

  std::array<Destination, kMaxBurst> destinations;
  Tally tally;
  NextHops next(*syncer.view.routes, routes_, spec_.service.value);
  // Nobody else takes from there, so it does not grow meanwhile.
  std::uint32_t waiting_room = waiting_.room();
  const std::uint64_t odd = answers.bad | answers.unasked;
  const bool any_may_wait = waiting_.exists();
  for (std::uint64_t rest = answers.live; rest != 0; rest &= rest - 1) {
    const int i = std::countr_zero(rest);
    if (any_may_wait && must_wait(answers, i)) {
      if (waiting_room == 0) {
        destinations[i] =
            drop_packet(answers.packets[i], DropReason::kHeldFull, spec_.instance.value);
      } else {
        --waiting_room;
        destinations[i] = enter_waiting_room(answers, i);
      }
    } else if ((odd >> i & 1) == 0 && answers.verdicts[i].kind() == HB_VERDICT_NEXT) {
      ++tally.passed;
      destinations[i] = next.of(answers.packets[i]);
    } else {
      destinations[i] = destination_of(answers, i, tally);
    }
  }
  syncer.publisher.publish_burst(Place::queue(queue.work_group()), queue.drained(),
                                 answers.packets.data(), destinations.data(), answers.live);
  fault_point("all_published");
  if (queue.drain(n)) count_round(syncer, order_[order_tail_++ & (order_.size() - 1)]);
  add(syncer.page->counters.slice_filled[spec_.slice],
      static_cast<std::uint64_t>(std::popcount(answers.live)));
  copied_ = 0;
  count_verdicts(syncer, tally);
  return true;
}

/// Reads each answer once.
void SliceShare::read_answers(const SyncerCommon& syncer, const WorkQueue& queue,
                              Answers& out) noexcept {
  const std::uint32_t n = queue.next_burst(most_slots_);
  prefetch_answered(syncer, queue, n);
  const PoolLayout& pool = syncer.view.check.pool();
  const std::uint32_t mbuf_bytes = pool.mbuf_bytes;
  const std::uint32_t buffer = pool.headroom + pool.data_room;
  std::byte* const base = syncer.view.region.base();
  const u64* const slots = queue.slots();
  const u64* const results = queue.results();
  resizes_ = false;
  for (std::uint32_t i = 0; i < n; ++i) {
    const u64 slot = slots[i];
    if (slot == 0) continue;
    out.live |= std::uint64_t{1} << i;
    out.packets[i] = reinterpret_cast<rte_mbuf*>(base + HB_SLOT_BASE(slot));
    const u64 result = results[i];
    const std::uint32_t length = HB_RESULT_LENGTH(result);
    const std::uint32_t offset = HB_RESULT_DATA_OFFSET(result) - mbuf_bytes;  // wraps: too big
    if (offset > buffer || length > buffer - offset) {
      out.bad |= std::uint64_t{1} << i;
      continue;
    }
    out.data_off[i] = static_cast<std::uint16_t>(offset);
    out.length[i] = static_cast<std::uint16_t>(length);
    out.verdicts[i] = Verdict::next();
    constexpr u64 kShape = HB_RESULT(0, 0, 0xffff, 0xffff, 0, 0);
    if ((result & ~kShape) != 0 && !read_verdict(result, i, out)) continue;
    // An NF that leaves packets as long as they were spares the CPUSyncer the mbuf's first line.
    if (length == HB_SLOT_LENGTH(slot) &&
        HB_RESULT_DATA_OFFSET(result) == HB_SLOT_DATA_OFFSET(slot))
      continue;
    out.packets[i]->data_off = out.data_off[i];
    out.packets[i]->data_len = out.length[i];
    out.packets[i]->pkt_len = length;
    resizes_ = true;
  }
}

/// Fetches the lines that the packets' way needs: of this burst unless the one before has asked,
/// and of the next.
void SliceShare::prefetch_answered(const SyncerCommon& syncer, const WorkQueue& queue,
                                   std::uint32_t n) const noexcept {
  constexpr std::uint32_t kAnswersInLine = RTE_CACHE_LINE_MIN_SIZE / sizeof(u64);
  std::byte* const base = syncer.view.region.base();
  const u64* const slots = queue.slots();
  const std::uint32_t first = queue.is_round_start() ? 0 : n;
  const std::uint32_t ahead = queue.next_burst(2 * most_slots_);
  for (std::uint32_t i = first; i < ahead; i += kAnswersInLine) rte_prefetch0(queue.results() + i);
  for (std::uint32_t i = first; i < ahead; ++i)
    rte_prefetch0(base + HB_SLOT_BASE(slots[i]) + RTE_CACHE_LINE_MIN_SIZE);  // the metadata
  if (!resizes_) return;
  for (std::uint32_t i = first; i < ahead; ++i)
    __builtin_prefetch(base + HB_SLOT_BASE(slots[i]), 1);
}

/// Reads an answer that is not just "next".
/// @return false if it makes no sense
bool SliceShare::read_verdict(u64 result, std::uint32_t i, Answers& out) noexcept {
  const std::uint64_t bit = std::uint64_t{1} << i;
  const std::uint32_t flags_allowed =
      HB_RESULT_NEW_TYPE | HB_RESULT_COPY_TO_CPU | (waiting_.exists() ? HB_RESULT_ASK_CPU : 0);
  if (!answer_makes_sense(result, *registry_, n_reasons_, flags_allowed)) {
    out.bad |= bit;
    return false;
  }
  const std::uint32_t flags = HB_RESULT_FLAGS(result);
  if ((flags & HB_RESULT_NEW_TYPE) != 0)
    packet_meta(out.packets[i]).type = static_cast<std::uint8_t>(HB_RESULT_TYPE(result));
  out.verdicts[i] = Verdict(HB_RESULT_VERDICT(result), HB_RESULT_ARGUMENT(result));
  if ((flags & HB_RESULT_ASK_CPU) != 0)
    out.ask |= bit;
  else if ((flags & HB_RESULT_COPY_TO_CPU) != 0)
    out.copy |= bit;
  return true;
}

/// One that does not wait.
Destination SliceShare::destination_of(const Answers& answers, int i, Tally& tally) noexcept {
  rte_mbuf* const mbuf = answers.packets[i];
  if ((answers.bad >> i & 1) != 0)
    return drop_packet(mbuf, DropReason::kBadVerdict, spec_.instance.value);
  if ((answers.unasked >> i & 1) != 0)
    return drop_packet(mbuf, DropReason::kUnjudged, spec_.instance.value);
  ++(answers.verdicts[i].kind() == HB_VERDICT_DROP ? tally.dropped : tally.passed);
  return routes_.resolve(mbuf, answers.verdicts[i]);
}

}  // namespace hb
