#include "gpu_host/slice_share.h"

#include <rte_cycles.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "gpu_host/answer_check.h"
#include "gpu_host/slice_answers.h"
#include "nf_lib/burst_scope.h"
#include "nf_lib/fault_point.h"

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

void SliceShare::read_answers(const SyncerCommon& syncer, const WorkQueue& queue,
                              Answers& out) noexcept {
  const std::uint32_t n = queue.next_burst(most_slots_);
  const PlatformView& view = syncer.view;
  for (std::uint32_t i = 0; i < n; ++i) {
    const u64 slot = queue.slot(i);
    if (slot == 0) continue;
    out.packets[i] = reinterpret_cast<rte_mbuf*>(view.region.base() + HB_SLOT_BASE(slot));
    out.live |= std::uint64_t{1} << i;
  }
  // Where the metadata are: of this burst unless the one before has asked, and of the next.
  const std::uint32_t ahead = queue.next_burst(2 * most_slots_);
  for (std::uint32_t i = queue.is_round_start() ? 0 : n; i < ahead; ++i) {
    rte_prefetch0(view.region.base() + HB_SLOT_BASE(queue.slot(i)) + RTE_CACHE_LINE_MIN_SIZE);
  }
  const PoolLayout& pool = view.check.pool();
  const std::uint32_t buffer = pool.headroom + pool.data_room;
  const std::uint32_t flags_allowed =
      HB_RESULT_NEW_TYPE | HB_RESULT_COPY_TO_CPU | (waiting_.exists() ? HB_RESULT_ASK_CPU : 0);
  for (std::uint64_t rest = out.live; rest != 0; rest &= rest - 1) {
    const int i = std::countr_zero(rest);
    const u64 result = queue.result(static_cast<std::uint32_t>(i));
    const std::uint32_t flags = HB_RESULT_FLAGS(result);
    const std::uint32_t length = HB_RESULT_LENGTH(result);
    const std::uint32_t offset = HB_RESULT_DATA_OFFSET(result) - pool.mbuf_bytes;  // wraps: too big
    if (!answer_makes_sense(result, *registry_, n_reasons_, flags_allowed) || offset > buffer ||
        length > buffer - offset) {
      out.bad |= std::uint64_t{1} << i;
      continue;
    }
    rte_mbuf* const mbuf = out.packets[i];
    out.data_off[i] = static_cast<std::uint16_t>(offset);
    out.length[i] = static_cast<std::uint16_t>(length);
    // An NF that leaves them as they were spares the CPUSyncer the mbuf's first line.
    const u64 slot = queue.slot(static_cast<std::uint32_t>(i));
    if (length != HB_SLOT_LENGTH(slot) ||
        HB_RESULT_DATA_OFFSET(result) != HB_SLOT_DATA_OFFSET(slot)) {
      mbuf->data_off = out.data_off[i];
      mbuf->data_len = out.length[i];
      mbuf->pkt_len = length;
    }
    if ((flags & HB_RESULT_NEW_TYPE) != 0)
      packet_meta(mbuf).type = static_cast<std::uint8_t>(HB_RESULT_TYPE(result));
    out.verdicts[i] = Verdict(HB_RESULT_VERDICT(result), HB_RESULT_ARGUMENT(result));
    if ((flags & HB_RESULT_ASK_CPU) != 0)
      out.ask |= std::uint64_t{1} << i;
    else if ((flags & HB_RESULT_COPY_TO_CPU) != 0)
      out.copy |= std::uint64_t{1} << i;
  }
}

bool SliceShare::fill(SyncerCommon& syncer) noexcept {
  if (paused_) return false;
  const EndpointEntry& endpoint = syncer.view.registry->endpoints[spec_.endpoint.value];
  const std::uint32_t first = first_producer_;
  bool moved = false;
  bool more_waits = false;
  // From the producer after the last one served, so that none starves where room is scarce.
  for (std::uint32_t pass = 0; pass < 2; ++pass) {
    for (std::uint32_t word = 0; word < kMaxContexts / 64; ++word) {
      // Acquire: pairs with the manager's release store when it lets a context produce.
      std::uint64_t active = endpoint.producers[word].load(std::memory_order_acquire);
      for (; active != 0; active &= active - 1) {
        const std::uint32_t from = word * 64 + static_cast<std::uint32_t>(std::countr_zero(active));
        if ((from >= first) != (pass == 0)) continue;
        const RingId id = syncer.view.region.ring_id(spec_.endpoint, ContextId(from));
        if (!has_packets(syncer.view.region.ring(id))) continue;
        const std::uint32_t room = total_room();
        if (room == 0) break;
        if (take_burst(syncer, ContextId(from), std::min(room, kMaxBurst))) {
          first_producer_ = (from + 1) % kMaxContexts;
          moved = true;
          more_waits |= has_packets(syncer.view.region.ring(id));
        }
      }
    }
  }
  // With more at hand the round is full before the device could have begun it.
  WorkQueue& open = queues_[open_];
  if (open.open_slots() != 0 && !more_waits && is_due() && open.is_idle()) {
    open.pad();
    fault_point("padded");
    publish_open();
  }
  ring_if_published();
  return moved;
}

bool SliceShare::take_burst(SyncerCommon& syncer, ContextId from, std::uint32_t most) noexcept {
  const BurstScope scope(syncer.page);
  const RegionView& region = syncer.view.region;
  const RingId id = region.ring_id(spec_.endpoint, from);
  rte_ring* const ring = region.ring(id);
  const Window window = peek(ring, region.planned_size(id), most);
  if (window.n == 0) return false;
  fault_point("peeked");
  // Their metadata are read when they come back.
  prefetch_behind(window, region.planned_size(id), [](const void* mbuf) { rte_prefetch0(mbuf); });
  std::array<rte_mbuf*, kMaxBurst> packets;
  std::array<u64, kMaxBurst> slots;
  std::uint64_t good = check_packets(syncer, id, window, packets.data(), slots.data());
  // What the reclaimer got is done already; pointers to nothing are nobody's.
  std::uint64_t done = 0;
  for (std::uint32_t i = 0; i < window.n; ++i) done |= std::uint64_t{packets[i] != nullptr} << i;
  done &= ~good;
  while (good != 0) {
    WorkQueue& queue = open_queue();
    const auto n = std::min(static_cast<std::uint32_t>(std::popcount(good)), queue.open_room());
    std::uint64_t part = 0;
    std::array<u64, kMaxBurst> chosen;
    std::array<rte_mbuf*, kMaxBurst> chosen_packets;
    std::array<HbSlotWords, kMaxBurst> words;
    for (std::uint32_t k = 0; k < n; ++k, good &= good - 1) {
      const int i = std::countr_zero(good);
      part |= std::uint64_t{1} << i;
      chosen[k] = slots[i];
      chosen_packets[k] = packets[i];
    }
    if (spec_.has_words) ask_hook(syncer, chosen_packets.data(), n, words.data());
    syncer.publisher.ledger().write({.source = Place::ring(id.value),
                                     .source_tail = window.tail,
                                     .destination = Place::queue(queue.work_group()),
                                     .destination_tail = queue.filled_after(n),
                                     .done = done,
                                     .mask = part});
    queue.fill(chosen.data(), n, spec_.has_words ? words.data() : nullptr);
    done |= part;
    if (queue.open_room() == 0) publish_open();
  }
  fault_point("all_filled");
  commit(ring, window);
  fault_point("committed");
  return true;
}

/// Checks a window's pointers and headers; packets with bad headers go to the reclaimer.
/// @param packets  packets[window.n], null where there is none
/// @param slots    slots[window.n], set where the result has a bit
std::uint64_t SliceShare::check_packets(SyncerCommon& syncer, RingId id, const Window& window,
                                        rte_mbuf** packets, u64* slots) noexcept {
  const PlatformView& view = syncer.view;
  const std::uint32_t mbuf_bytes = view.check.pool().mbuf_bytes;
  std::uint64_t n_unknown = 0;
  for (std::uint32_t i = 0; i < window.n; ++i) {
    packets[i] = window.packets[i];  // once: its producer could still change it
    if (view.check.is_packet(packets[i])) {
      rte_prefetch0(packets[i]);
    } else {
      packets[i] = nullptr;
      ++n_unknown;
    }
  }
  std::uint64_t good = 0;
  std::uint64_t inconsistent = 0;
  for (std::uint32_t i = 0; i < window.n; ++i) {
    rte_mbuf* const mbuf = packets[i];
    if (mbuf == nullptr) continue;
    const auto base =
        static_cast<std::uint64_t>(reinterpret_cast<std::byte*>(mbuf) - view.region.base());
    if (view.check.data_ok(mbuf) && base % 64 == 0) {
      good |= std::uint64_t{1} << i;
      slots[i] = HB_SLOT(base / 64, mbuf->data_len, mbuf_bytes + mbuf->data_off);
    } else {
      inconsistent |= std::uint64_t{1} << i;
      drop_packet(mbuf, DropReason::kBadPacket, spec_.service.value);
    }
  }
  add(syncer.page->counters.bad_pointers, n_unknown);
  if (inconsistent != 0) {
    syncer.publisher.move(Place::ring(id.value), window.tail, 0,
                          view.region.ring_id(kReclaimer, syncer.publisher.context()), packets,
                          inconsistent);
  }
  return good;
}

std::uint32_t SliceShare::total_room() const noexcept {
  std::uint32_t room = queues_[open_].open_slots() != 0 ? queues_[open_].open_room() : 0;
  const std::uint32_t round = queues_[open_].open_room() + queues_[open_].open_slots();
  for (std::uint32_t i = 0; i < queues_.size() && room < kMaxBurst; ++i) {
    if (is_active(i)) room += queues_[i].free_rounds() * round;
  }
  return room;
}

/// The queue whose round takes the next slot. One round is open at a time: two would be answered in
/// another order than their packets came. Only while total_room() is not 0.
WorkQueue& SliceShare::open_queue() noexcept {
  if (queues_[open_].open_slots() != 0) return queues_[open_];
  // The one that was served longest ago is the first to be idle. Asking each for its state instead
  // would fetch a line that the device writes for every one of them.
  const auto n = static_cast<std::uint32_t>(queues_.size());
  for (std::uint32_t step = 0; step < n; ++step) {
    if (++open_ == n) open_ = 0;
    if (is_active(open_) && queues_[open_].free_rounds() != 0) break;
  }
  return queues_[open_];
}

/// Whether a part-filled round may be handed over.
bool SliceShare::is_due() const noexcept {
  if (order_head_ == order_tail_) return true;
  const Flight& last = order_[(order_head_ - 1) & (order_.size() - 1)];
  return rte_rdtsc() - last.published_tsc >= between_rounds_tsc_;
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
