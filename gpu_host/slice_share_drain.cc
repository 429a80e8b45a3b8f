// What comes back from the device: answers, checked, and packets on to where they say.
#include <rte_prefetch.h>

#include <array>
#include <bit>

#include "gpu_host/answer_check.h"
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
  while (order_tail_ != order_head_) {
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
  // Nobody else takes from there, so it does not grow meanwhile.
  std::uint32_t waiting_room = waiting_.room();
  for (std::uint64_t rest = answers.live; rest != 0; rest &= rest - 1) {
    const int i = std::countr_zero(rest);
    if (!must_wait(answers, i)) {
      destinations[i] = destination_of(answers, i, tally);
    } else if (waiting_room == 0) {
      destinations[i] =
          drop_packet(answers.packets[i], DropReason::kHeldFull, spec_.instance.value);
    } else {
      --waiting_room;
      destinations[i] = enter_waiting_room(answers, i);
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

/// Reads each answer once. Most change nothing, which one comparison says.
void SliceShare::read_answers(const SyncerCommon& syncer, const WorkQueue& queue,
                              Answers& out) noexcept {
  const std::uint32_t n = queue.next_burst(most_slots_);
  prefetch_answered(syncer, queue, n);
  const std::uint32_t mbuf_bytes = syncer.view.check.pool().mbuf_bytes;
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
    if (result != HB_RESULT_UNCHANGED(slot, 0)) {
      read_answer(syncer, slot, result, i, out);
      continue;
    }
    out.data_off[i] = static_cast<std::uint16_t>(HB_SLOT_DATA_OFFSET(slot) - mbuf_bytes);
    out.length[i] = static_cast<std::uint16_t>(HB_SLOT_LENGTH(slot));
    out.verdicts[i] = Verdict::next();
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
  // An NF that leaves packets as long as they were spares the CPUSyncer the mbuf's first line.
  for (std::uint32_t i = first; i < ahead; ++i)
    __builtin_prefetch(base + HB_SLOT_BASE(slots[i]), 1);
}

/// One that changes something, or makes no sense.
void SliceShare::read_answer(const SyncerCommon& syncer, u64 slot, u64 result, std::uint32_t i,
                             Answers& out) noexcept {
  const std::uint64_t bit = std::uint64_t{1} << i;
  const PoolLayout& pool = syncer.view.check.pool();
  const std::uint32_t buffer = pool.headroom + pool.data_room;
  const std::uint32_t flags_allowed =
      HB_RESULT_NEW_TYPE | HB_RESULT_COPY_TO_CPU | (waiting_.exists() ? HB_RESULT_ASK_CPU : 0);
  const std::uint32_t flags = HB_RESULT_FLAGS(result);
  const std::uint32_t length = HB_RESULT_LENGTH(result);
  const std::uint32_t offset = HB_RESULT_DATA_OFFSET(result) - pool.mbuf_bytes;  // wraps: too big
  if (!answer_makes_sense(result, *registry_, n_reasons_, flags_allowed) || offset > buffer ||
      length > buffer - offset) {
    out.bad |= bit;
    return;
  }
  rte_mbuf* const mbuf = out.packets[i];
  out.data_off[i] = static_cast<std::uint16_t>(offset);
  out.length[i] = static_cast<std::uint16_t>(length);
  if (length != HB_SLOT_LENGTH(slot) ||
      HB_RESULT_DATA_OFFSET(result) != HB_SLOT_DATA_OFFSET(slot)) {
    mbuf->data_off = out.data_off[i];
    mbuf->data_len = out.length[i];
    mbuf->pkt_len = length;
    resizes_ = true;
  }
  if ((flags & HB_RESULT_NEW_TYPE) != 0)
    packet_meta(mbuf).type = static_cast<std::uint8_t>(HB_RESULT_TYPE(result));
  out.verdicts[i] = Verdict(HB_RESULT_VERDICT(result), HB_RESULT_ARGUMENT(result));
  if ((flags & HB_RESULT_ASK_CPU) != 0)
    out.ask |= bit;
  else if ((flags & HB_RESULT_COPY_TO_CPU) != 0)
    out.copy |= bit;
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
