// From the producers' rings into rounds.
#include <rte_cycles.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <array>
#include <bit>

#include "gpu_host/slice_answers.h"
#include "gpu_host/slice_share.h"
#include "nf_lib/burst_scope.h"
#include "nf_lib/fault_point.h"

namespace hb {

/// A window's packets, checked.
struct SliceShare::Taken {
  std::array<rte_mbuf*, kMaxBurst> packets;  ///< the good ones, one behind the other
  std::array<u64, kMaxBurst> slots;          ///< likewise
  std::uint64_t good = 0;                    ///< which of the window they are
  std::uint64_t refused = 0;                 ///< those that the reclaimer got
};

bool SliceShare::fill(SyncerCommon& syncer) noexcept {
  if (paused_) return false;
  const EndpointEntry& endpoint = syncer.view.registry->endpoints[spec_.endpoint.value];
  const std::uint32_t own = syncer.publisher.context().value;
  const std::uint32_t first = first_producer_;
  bool moved = false;
  bool more_waits = false;
  // What comes from another NF of this CPUSyncer, first and all of it: a round has been spent on
  // it, and every poll brings a burst from each of the others to the NF before. Acquire: pairs with
  // the manager's release store when it lets a context produce.
  if ((endpoint.producers[own / 64].load(std::memory_order_acquire) >> own % 64 & 1) != 0)
    while (serve(syncer, ContextId(own), more_waits)) moved = true;
  // From the producer after the last one served, so that none starves where room is scarce.
  for (std::uint32_t pass = 0; pass < 2; ++pass) {
    for (std::uint32_t word = 0; word < kMaxContexts / 64; ++word) {
      // Acquire: likewise.
      std::uint64_t active = endpoint.producers[word].load(std::memory_order_acquire);
      for (; active != 0; active &= active - 1) {
        const std::uint32_t from = word * 64 + static_cast<std::uint32_t>(std::countr_zero(active));
        if ((from >= first) != (pass == 0) || from == own) continue;
        if (!serve(syncer, ContextId(from), more_waits)) continue;
        first_producer_ = (from + 1) % kMaxContexts;
        moved = true;
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

/// Takes a burst from a producer if it has one and there is room.
/// @param more_waits  set if the producer has more
bool SliceShare::serve(SyncerCommon& syncer, ContextId from, bool& more_waits) noexcept {
  const rte_ring* const ring =
      syncer.view.region.ring(syncer.view.region.ring_id(spec_.endpoint, from));
  if (!has_packets(ring)) return false;
  const std::uint32_t room = total_room();
  if (room == 0 || !take_burst(syncer, from, std::min(room, kMaxBurst))) return false;
  more_waits |= has_packets(ring);
  return true;
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
  Taken taken;
  check_packets(syncer, id, window, taken);
  // What the reclaimer got is done already; pointers to nothing are nobody's.
  std::uint64_t done = taken.refused;
  const auto n_good = static_cast<std::uint32_t>(std::popcount(taken.good));
  for (std::uint32_t at = 0; at < n_good;) {
    WorkQueue& queue = open_queue();
    const std::uint32_t n = std::min(n_good - at, queue.open_room());
    const std::uint64_t rest = taken.good & ~done;
    const std::uint64_t part = n == n_good - at ? rest : lowest_bits(rest, n);
    std::array<HbSlotWords, kMaxBurst> words;
    if (spec_.has_words) ask_hook(syncer, &taken.packets[at], &taken.slots[at], n, words.data());
    syncer.publisher.ledger().write({.source = Place::ring(id.value),
                                     .source_tail = window.tail,
                                     .destination = Place::queue(queue.work_group()),
                                     .destination_tail = queue.filled_after(n),
                                     .done = done,
                                     .mask = part});
    queue.fill(&taken.slots[at], n, spec_.has_words ? words.data() : nullptr);
    done |= part;
    at += n;
    if (queue.open_room() == 0) publish_open();
  }
  fault_point("all_filled");
  commit(ring, window);
  fault_point("committed");
  return true;
}

/// Checks a window's pointers and headers; packets with bad headers go to the reclaimer.
void SliceShare::check_packets(SyncerCommon& syncer, RingId id, const Window& window,
                               Taken& out) noexcept {
  const PlatformView& view = syncer.view;
  const std::uint32_t mbuf_bytes = view.check.pool().mbuf_bytes;
  std::byte* const base = view.region.base();
  std::array<rte_mbuf*, kMaxBurst> refused;
  std::uint64_t n_unknown = 0;
  std::uint32_t n_good = 0;
  for (std::uint32_t i = 0; i < window.n; ++i) {
    rte_mbuf* const mbuf = window.packets[i];  // once: its producer could still change it
    if (!view.check.is_packet(mbuf)) {
      ++n_unknown;
      continue;
    }
    const auto at = static_cast<std::uint64_t>(reinterpret_cast<std::byte*>(mbuf) - base);
    const std::uint32_t data_off = mbuf->data_off;
    const std::uint32_t length = mbuf->data_len;
    if (view.check.data_ok(data_off, length, mbuf->pkt_len) && at % 64 == 0) {
      out.packets[n_good] = mbuf;
      out.slots[n_good] = HB_SLOT(at / 64, length, mbuf_bytes + data_off);
      ++n_good;
      out.good |= std::uint64_t{1} << i;
      if (spec_.hook != nullptr)
        rte_prefetch0(reinterpret_cast<std::byte*>(mbuf) + mbuf_bytes + data_off);
    } else {
      refused[i] = mbuf;
      out.refused |= std::uint64_t{1} << i;
      drop_packet(mbuf, DropReason::kBadPacket, spec_.service.value);
    }
  }
  add(syncer.page->counters.bad_pointers, n_unknown);
  if (out.refused != 0) {
    syncer.publisher.move(Place::ring(id.value), window.tail, 0,
                          view.region.ring_id(kReclaimer, syncer.publisher.context()),
                          refused.data(), out.refused);
  }
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

}  // namespace hb
