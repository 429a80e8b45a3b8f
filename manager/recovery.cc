#include "manager/recovery.h"

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_set>

#include "manager/ring_check.h"

namespace hb {

struct Recovery::Findings {
  LedgerRecord record{};
  bool has_record = false;
  bool arrived = false;            ///< the record's publish took place
  std::vector<rte_mbuf*> in_hand;  ///< held packets too
  std::unordered_set<const rte_mbuf*> known;

  /// Once for every packet: a held one is in the burst's window as well until that is committed,
  /// and one may be there twice while the window is rid of bad pointers.
  void take(rte_mbuf* mbuf) {
    if (known.insert(mbuf).second) in_hand.push_back(mbuf);
  }

  /// Bits of the burst named by (source, tail) that have moved.
  [[nodiscard]] std::uint64_t moved(Place source, std::uint32_t tail) const noexcept {
    if (!has_record || !(record.source == source) || record.source_tail != tail) return 0;
    return record.done | (arrived ? record.mask : 0);
  }
};

Recovery::Recovery(Platform& platform)
    : platform_(platform),
      region_(platform.view.region),
      publisher_(region_, kManagerContext, &ledger_, platform.endpoint_service.data()) {}

std::uint64_t Recovery::recover(const DeadContext& dead, std::uint32_t instance,
                                DropReason reason) {
  Findings found;
  if (dead.page != nullptr) found.has_record = dead.page->ledger.read(found.record);
  if (found.has_record) {
    const Place to = found.record.destination;
    if (to.kind() == PlaceKind::kRing && to.index() < region_.n_rings())
      found.arrived = region_.ring(RingId(to.index()))->prod.tail == found.record.destination_tail;
    else if (to.kind() == PlaceKind::kQueue && to.index() < region_.layout().n_work_groups)
      found.arrived =
          region_.queue_control(to.index())->filled.value == found.record.destination_tail;
  }
  collect_held(dead, found);
  for (const EndpointId endpoint : dead.endpoints)
    for (std::uint32_t from = 0; from < region_.layout().n_contexts; ++from)
      collect_window(region_.ring_id(endpoint, ContextId(from)),
                     dead.keep_windows ? WindowRule::kCompact : WindowRule::kTake, found);
  for (const RingId ring : dead.rings) collect_window(ring, WindowRule::kTake, found);
  collect_window(region_.fill_ring_id(dead.context), WindowRule::kKeepUnused, found);
  for (const std::uint32_t work_group : dead.work_groups) collect_queue(work_group, found);

  // A publish that died half-way has moved prod.head only; nothing of it can be seen.
  for (std::uint32_t to = 0; to < region_.layout().n_endpoints; ++to) {
    rte_ring* const ring = region_.ring(EndpointId(to), dead.context);
    ring->prod.head = ring->prod.tail;
  }
  send_away(found.in_hand, instance, reason);
  return found.in_hand.size();
}

void Recovery::collect_held(const DeadContext& dead, Findings& found) const {
  if (dead.page == nullptr) return;
  std::array<bool, kHeldSlots> released{};
  const Ledger& ledger = dead.page->ledger;
  const std::uint64_t moved = found.moved(Place::held(), ledger.held_generation());
  for (std::uint64_t rest = moved; rest != 0; rest &= rest - 1)
    released[ledger.release_slots[static_cast<std::size_t>(std::countr_zero(rest))] % kHeldSlots] =
        true;
  for (std::uint32_t slot = 0; slot < kHeldSlots; ++slot) {
    // Acquire: pairs with the release stores in HeldArea.
    const std::uint64_t address = dead.page->held[slot].load(std::memory_order_acquire);
    auto* const mbuf = reinterpret_cast<rte_mbuf*>(address);
    if (!released[slot] && platform_.view.check.is_packet(mbuf)) found.take(mbuf);
  }
}

void Recovery::collect_window(RingId id, WindowRule rule, Findings& found) const {
  rte_ring* const ring = region_.ring(id);
  const std::uint32_t size = region_.planned_size(id);
  if (!ring_is_usable(ring, size)) return;
  const std::uint32_t tail = ring->cons.tail;
  const std::uint32_t head = ring->cons.head;
  const std::uint32_t n = head - tail;
  if (n == 0) return;
  if (n > size || n > ring->prod.tail - tail) {  // no peek leaves that: a wild write
    ring->cons.head = tail;
    return;
  }
  const std::uint64_t moved = found.moved(Place::ring(id.value), tail);
  auto** const packets = reinterpret_cast<rte_mbuf**>(ring + 1);
  std::unordered_set<const rte_mbuf*> in_window;
  for (std::uint32_t i = 0; i < n; ++i) {
    rte_mbuf* const mbuf = packets[(tail + i) & (size - 1)];
    if (platform_.view.check.is_packet(mbuf)) in_window.insert(mbuf);
  }
  const bool any_held = std::ranges::any_of(
      in_window, [&](const rte_mbuf* mbuf) { return found.known.contains(mbuf); });
  if (rule == WindowRule::kKeepUnused && moved == 0 && !any_held && in_window.size() == n) {
    // None of them has been originated: they stay for the next owner. But not those of a window
    // that has bad pointers, or is half rid of them and so has a packet twice.
    ring->cons.head = tail;
    return;
  }
  std::vector<rte_mbuf*> kept;
  for (std::uint32_t i = 0; i < n; ++i) {
    if (i < 64 && (moved >> i & 1) != 0) continue;
    rte_mbuf* const mbuf = packets[(tail + i) & (size - 1)];
    if (!platform_.view.check.is_packet(mbuf)) continue;
    if (rule != WindowRule::kCompact)
      found.take(mbuf);
    else if (found.known.insert(mbuf).second)
      kept.push_back(mbuf);
  }
  // The window's end is what is left of it: unread again, behind it what was never read.
  std::uint32_t at = head;
  for (std::size_t i = kept.size(); i-- > 0;) packets[--at & (size - 1)] = kept[i];
  ring->cons.head = at;
  // Release: pairs with the producer's acquire load of cons.tail: the slots are free to reuse.
  __atomic_store_n(&ring->cons.tail, at, __ATOMIC_RELEASE);
}

void Recovery::collect_queue(std::uint32_t work_group, Findings& found) const {
  HbQueueControl* const control = region_.queue_control(work_group);
  const std::uint32_t n_slots = region_.slots_per_queue();
  const std::uint32_t drained = control->drained.value;
  const std::uint32_t n = control->filled.value - drained;
  if (n <= n_slots) {
    const std::uint64_t moved = found.moved(Place::queue(work_group), drained);
    const u64* const slots = region_.slots(work_group);
    for (std::uint32_t i = 0; i < n; ++i) {
      const u64 slot = slots[(drained + i) % n_slots];
      if (slot == 0 || (i < 64 && (moved >> i & 1) != 0)) continue;
      auto* const mbuf = reinterpret_cast<rte_mbuf*>(region_.base() + HB_SLOT_BASE(slot));
      if (platform_.view.check.is_packet(mbuf)) found.take(mbuf);
    }
  }
  // Nobody reads the queue any more; the next owner starts from nothing.
  *control = HbQueueControl{};
  std::fill_n(region_.slots(work_group), n_slots, 0);
}

void Recovery::send_away(const std::vector<rte_mbuf*>& packets, std::uint32_t instance,
                         DropReason reason) {
  std::array<Destination, kMaxBurst> to;
  for (std::size_t at = 0; at < packets.size(); at += kMaxBurst) {
    const auto n =
        static_cast<std::uint32_t>(std::min<std::size_t>(kMaxBurst, packets.size() - at));
    for (std::uint32_t i = 0; i < n; ++i) to[i] = drop_packet(packets[at + i], reason, instance);
    publisher_.publish_burst(Place{}, 0, packets.data() + at, to.data(),
                             n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1);
  }
}

/// @param destination_of  where a packet goes
/// @return packets taken
template <typename DestinationOf>
std::uint64_t Recovery::take_all(EndpointId endpoint, const DestinationOf& destination_of) {
  std::uint64_t taken = 0;
  for (std::uint32_t from = 0; from < region_.layout().n_contexts; ++from) {
    const RingId id = region_.ring_id(endpoint, ContextId(from));
    rte_ring* const ring = region_.ring(id);
    // No more than waits there now: a producer may fill it faster than it is served, and the
    // control thread has others to look after.
    std::uint32_t left = n_waiting(ring, region_.planned_size(id));
    while (left != 0 && ring_is_usable(ring, region_.planned_size(id))) {
      const Window window = peek(ring, region_.planned_size(id), std::min(left, kMaxBurst));
      if (window.n == 0) break;
      left -= window.n;
      std::array<rte_mbuf*, kMaxBurst> packets;
      std::array<Destination, kMaxBurst> to;
      std::uint64_t live = 0;
      for (std::uint32_t i = 0; i < window.n; ++i) {
        packets[i] = window.packets[i];
        if (!platform_.view.check.is_packet(packets[i])) continue;
        to[i] = destination_of(packets[i]);
        live |= std::uint64_t{1} << i;
      }
      publisher_.publish_burst(Place{}, 0, packets.data(), to.data(), live);
      commit(ring, window);
      taken += window.n;
    }
  }
  return taken;
}

std::uint64_t Recovery::serve(EndpointId endpoint, std::uint32_t service) {
  RouteReader routes(platform_.view.routes, platform_.view.registry, service);
  return take_all(endpoint, [&](rte_mbuf* mbuf) {
    return platform_.options.missing_nf == MissingNf::kSkip
               ? routes.resolve(mbuf, Verdict::next())
               : drop_packet(mbuf, DropReason::kMissingNf, service);
  });
}

void Recovery::drop_unjudged(EndpointId waiting_room, std::uint32_t instance) {
  take_all(waiting_room, [instance](rte_mbuf* mbuf) {
    return drop_packet(mbuf, DropReason::kUnjudged, instance);
  });
}

bool Recovery::is_empty(EndpointId endpoint) const {
  for (std::uint32_t from = 0; from < region_.layout().n_contexts; ++from) {
    const RingId id = region_.ring_id(endpoint, ContextId(from));
    const rte_ring* const ring = region_.ring(id);
    // Of one that a wild write broke nobody can take anything: it must not be waited for.
    if (has_packets(ring) && ring_is_usable(ring, region_.planned_size(id))) return false;
  }
  return true;
}

}  // namespace hb
