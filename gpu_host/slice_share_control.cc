// SliceShare's dealings with the control process: copies, questions, and packets that wait.
#include <array>
#include <bit>

#include "gpu_host/answer_check.h"
#include "gpu_host/slice_answers.h"
#include "gpu_host/slice_share.h"
#include "nf_lib/burst_scope.h"
#include "nf_lib/fault_point.h"

namespace hb {

void SliceShare::count_verdicts(const SyncerCommon& syncer, const Tally& tally) const noexcept {
  add(syncer.page->counters.slice_drops[spec_.slice], tally.dropped);
  add(syncer.page->counters.slice_tx[spec_.slice], tally.passed);
}

/// Whether it waits for its own answer, or for one of its flow before it. Those that are dropped
/// anyway do not.
bool SliceShare::must_wait(const Answers& answers, int i) const noexcept {
  if (!waiting_.exists() || ((answers.bad | answers.unasked) >> i & 1) != 0) return false;
  if ((answers.ask >> i & 1) != 0) return true;
  return answers.verdicts[i].kind() != HB_VERDICT_DROP &&
         waiting_.has_flow(packet_meta(answers.packets[i]).flow_hash);
}

Destination SliceShare::enter_waiting_room(const Answers& answers, int i) noexcept {
  const std::uint32_t flow = packet_meta(answers.packets[i]).flow_hash;
  if ((answers.ask >> i & 1) != 0)
    waiting_.expect_asking(flow, numbers_[i]);
  else
    waiting_.expect(flow, answers.verdicts[i]);
  return static_cast<Destination>(waiting_.endpoint().value);
}

/// A burst of those whose wait is over, along their routes.
bool SliceShare::let_go(SyncerCommon& syncer) noexcept {
  if (waiting_.is_empty()) return false;
  rte_ring* const ring = waiting_.ring();
  const std::uint32_t n_free = waiting_.n_free(kMaxBurst, control_reads(syncer));
  if (n_free == 0) return false;
  const BurstScope scope(syncer.page);
  const Window window = peek(ring, syncer.view.region.planned_size(waiting_.ring_id()), n_free);
  if (window.n == 0) return false;  // a wild write
  std::array<rte_mbuf*, kMaxBurst> packets;
  std::array<Destination, kMaxBurst> destinations;
  std::uint64_t live = 0;
  Tally tally;
  for (std::uint32_t i = 0; i < window.n; ++i) {
    packets[i] = window.packets[i];
    if (!syncer.view.check.is_packet(packets[i])) continue;  // a wild write
    live |= std::uint64_t{1} << i;
    destinations[i] = judge(packets[i], waiting_.entry(i), tally);
  }
  add(syncer.page->counters.bad_pointers,
      window.n - static_cast<std::uint32_t>(std::popcount(live)));
  syncer.publisher.publish_burst(Place::ring(waiting_.ring_id().value), window.tail, packets.data(),
                                 destinations.data(), live);
  fault_point("let_go");
  waiting_.leave(window.n);
  commit(ring, window);
  count_verdicts(syncer, tally);
  return true;
}

/// What becomes of a packet that has waited.
Destination SliceShare::judge(rte_mbuf* mbuf, const WaitingRoom::Entry& entry,
                              Tally& tally) noexcept {
  Verdict verdict = entry.verdict;
  if (entry.state == WaitingRoom::State::kUnjudged)
    return drop_packet(mbuf, DropReason::kUnjudged, spec_.instance.value);
  if (entry.state == WaitingRoom::State::kToldWhat) {
    if (!answer_makes_sense(entry.result, *registry_, n_reasons_, HB_RESULT_NEW_TYPE))
      return drop_packet(mbuf, DropReason::kBadVerdict, spec_.instance.value);
    verdict = Verdict(HB_RESULT_VERDICT(entry.result), HB_RESULT_ARGUMENT(entry.result));
    if ((HB_RESULT_FLAGS(entry.result) & HB_RESULT_NEW_TYPE) != 0)
      packet_meta(mbuf).type = static_cast<std::uint8_t>(HB_RESULT_TYPE(entry.result));
  }
  ++(verdict.kind() == HB_VERDICT_DROP ? tally.dropped : tally.passed);
  return routes_.resolve(mbuf, verdict);
}

/// The control process takes what is put into its queue, sooner or later.
bool SliceShare::control_reads(const SyncerCommon& syncer) const noexcept {
  const InstanceEntry& instance = syncer.view.registry->instances[spec_.instance.value];
  const InstanceState state = instance.state.load(std::memory_order_acquire);
  return (state == InstanceState::kRunning || state == InstanceState::kDraining) &&
         instance.stop.load(std::memory_order_acquire) == 0;
}

/// Hands over the copies that the burst's packets want, and notes the records of those that ask.
/// Asking packets are all or none: their answers are collected only once they wait.
/// @return false if the burst must wait: a lossless platform's control process is behind
bool SliceShare::copy_to_control(const SyncerCommon& syncer, Answers& answers) noexcept {
  std::uint64_t wanted = (answers.copy | answers.ask) & ~copied_;
  if (wanted == 0 && (waiting_.is_empty() || answers.live == 0)) return true;
  const PlatformView& view = syncer.view;
  const bool has_queue = spec_.copy_queue != ShareSpec::kNoCopyQueue;
  const bool is_read = has_queue && control_reads(syncer);
  const bool may_wait = is_read && view.registry->lossless != 0;
  const auto n_live = static_cast<std::uint32_t>(std::popcount(answers.live));
  const bool any_waits = answers.ask != 0 || !waiting_.is_empty();
  if (may_wait && any_waits && waiting_.room() < n_live) return false;
  if (may_wait && answers.ask != 0 &&
      copies_.room() < static_cast<std::uint32_t>(std::popcount(wanted)))
    return false;
  ContextCounters& counters = syncer.page->counters;
  for (; wanted != 0; wanted &= wanted - 1) {
    const int i = std::countr_zero(wanted);
    const std::uint64_t bit = std::uint64_t{1} << i;
    rte_mbuf* const mbuf = answers.packets[i];
    // Not by the mbuf's own words: a wild write may have changed them.
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(mbuf) + view.check.pool().mbuf_bytes +
                        answers.data_off[i];
    const bool asks = (answers.ask & bit) != 0;
    numbers_[i] = has_queue ? copies_.next() : 0;
    // Without a reader a copy may still lie there for one that comes; a question may not.
    const bool copied =
        (asks ? is_read : has_queue) && copies_.push(packet_meta(mbuf), mbuf->port, bytes,
                                                     answers.length[i], answers.version, asks);
    if (!copied && may_wait) return false;
    if (!copied && asks) answers.unasked |= bit;
    add(copied ? counters.slice_copies[spec_.slice] : counters.slice_unevaluated[spec_.slice], 1);
    copied_ |= bit;
  }
  return true;
}

}  // namespace hb
