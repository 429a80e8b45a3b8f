#include "manager/audit.h"

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <vector>

namespace hb {
namespace {

/// Attempts to find all packets at rest before the audit settles for a moving picture.
constexpr int kAttempts = 5;

enum class Found : std::uint8_t { kNowhere, kRing, kBurst, kHeld, kSlot, kFillRing, kWaits };

class Walk {
 public:
  explicit Walk(const Platform& platform)
      : platform_(platform), region_(platform.view.region), found_(platform.book->size()) {}

  AuditReport run(bool ports_closed) {
    const std::uint64_t before = fingerprint();
    const std::vector<const ContextPage*> pages = live_pages();
    // Held first: a packet both in a slot and in a burst's window is held.
    for (const ContextPage* const page : pages) place_held(*page);
    for (std::uint32_t id = 0; id < region_.n_rings(); ++id) place_ring(RingId(id));
    for (std::uint32_t group = 0; group < region_.layout().n_work_groups; ++group)
      place_queue(group);
    place_waiting();
    check_against_book(ports_closed);
    // Pairs with the fence of a ReturnBurst: of one that was seen, the count is.
    std::atomic_thread_fence(std::memory_order_acquire);
    // Inside a burst a packet may be in its old and in its new place; outside, in one.
    report_.quiesced = fingerprint() == before && platform_.flow.returns_rest() &&
                       std::ranges::none_of(pages, [](const ContextPage* page) {
                         return page->bursts.load(std::memory_order_acquire) % 2 != 0;
                       });
    report_.ok = report_.lost == 0 && report_.duplicate == 0 && report_.foreign == 0;
    if (!report_.quiesced && !ports_closed) report_.ok = report_.foreign == 0;
    return report_;
  }

 private:
  /// Pages of contexts whose processes live; what the dead held has been recovered.
  [[nodiscard]] std::vector<const ContextPage*> live_pages() const {
    std::vector<const ContextPage*> pages;
    for (const auto& instance : platform_.instances)
      if (instance->page != nullptr && instance->alive()) pages.push_back(&instance->page->page());
    for (const SyncerContext& syncer : platform_.syncers) pages.push_back(&syncer.page->page());
    return pages;
  }

  /// Changes whenever a packet changes its place.
  [[nodiscard]] std::uint64_t fingerprint() const {
    std::uint64_t sum = platform_.flow.return_bursts();
    for (std::uint32_t id = 0; id < region_.n_rings(); ++id) {
      const rte_ring* const ring = region_.ring(RingId(id));
      sum = sum * 31 + __atomic_load_n(&ring->cons.tail, __ATOMIC_ACQUIRE);
      sum = sum * 31 + __atomic_load_n(&ring->cons.head, __ATOMIC_ACQUIRE);
      sum = sum * 31 + __atomic_load_n(&ring->prod.tail, __ATOMIC_ACQUIRE);
    }
    for (std::uint32_t group = 0; group < region_.layout().n_work_groups; ++group) {
      const HbQueueControl* const control = region_.queue_control(group);
      sum = sum * 31 + __atomic_load_n(&control->filled.value, __ATOMIC_ACQUIRE);
      sum = sum * 31 + __atomic_load_n(&control->drained.value, __ATOMIC_ACQUIRE);
    }
    return sum;
  }

  void place(const rte_mbuf* mbuf, Found where) {
    const std::uint32_t number = platform_.view.check.number(mbuf);
    if (number == PacketCheck::kNotAPacket) {
      ++report_.foreign;
      return;
    }
    Found& found = found_[number];
    if (found == Found::kHeld && where == Found::kBurst) return;
    if (found != Found::kNowhere) {
      ++report_.duplicate;
      return;
    }
    found = where;
    switch (where) {
      case Found::kRing:
        ++report_.ring;
        break;
      case Found::kBurst:
        ++report_.burst;
        break;
      case Found::kHeld:
        ++report_.held;
        break;
      case Found::kSlot:
        ++report_.slot;
        break;
      case Found::kWaits:
        ++report_.waits;
        break;
      case Found::kFillRing:  // waits to be originated: nobody's yet
      case Found::kNowhere:
        break;
    }
  }

  void place_held(const ContextPage& page) {
    for (const auto& slot : page.held) {
      const std::uint64_t address = slot.load(std::memory_order_acquire);  // pairs with HeldArea
      if (address != 0) place(reinterpret_cast<const rte_mbuf*>(address), Found::kHeld);
    }
  }

  void place_ring(RingId id) {
    const rte_ring* const ring = region_.ring(id);
    const std::uint32_t size = region_.planned_size(id);
    const std::uint32_t tail = ring->cons.tail;
    const std::uint32_t in_burst = ring->cons.head - tail;
    const std::uint32_t n = ring->prod.tail - tail;
    if (n > size || in_burst > n) {
      ++report_.foreign;
      return;
    }
    const bool is_fill = id.value >= region_.layout().n_endpoints * region_.layout().n_contexts;
    auto* const* const packets = reinterpret_cast<rte_mbuf* const*>(ring + 1);
    for (std::uint32_t i = 0; i < n; ++i) {
      const Found where = is_fill ? Found::kFillRing : i < in_burst ? Found::kBurst : Found::kRing;
      place(packets[(tail + i) & (size - 1)], where);
    }
  }

  void place_queue(std::uint32_t group) {
    const HbQueueControl* const control = region_.queue_control(group);
    const std::uint32_t n_slots = region_.slots_per_queue();
    const std::uint32_t drained = control->drained.value;
    const std::uint32_t n = control->filled.value - drained;
    if (n > n_slots) {
      ++report_.foreign;
      return;
    }
    for (std::uint32_t i = 0; i < n; ++i) {
      const u64 slot = region_.slots(group)[(drained + i) % n_slots];
      if (slot != 0)
        place(reinterpret_cast<const rte_mbuf*>(region_.base() + HB_SLOT_BASE(slot)), Found::kSlot);
    }
  }

  /// Hold queues. They are the RX threads' own: no NF can put a packet there.
  void place_waiting() {
    for (const auto& rx : platform_.rx_threads)
      for (std::uint32_t i = 0; i < rx->hold_queue().size(); ++i)
        place(rx->hold_queue().at(i), Found::kWaits);
  }

  void check_against_book(bool ports_closed) {
    std::uint32_t home = 0;
    for (std::uint32_t number = 0; number < found_.size(); ++number) {
      const bool is_home = platform_.book->state(number) == PacketState::kHome;
      home += is_home;
      if (is_home && found_[number] != Found::kNowhere) ++report_.duplicate;
      if (!is_home && found_[number] == Found::kNowhere) ++report_.lost;
    }
    report_.pool = platform_.pool->n_free();
    report_.port = home > report_.pool ? home - report_.pool : 0;
    if (report_.pool > home) report_.duplicate += report_.pool - home;
    if (ports_closed) report_.lost += report_.port;
  }

  const Platform& platform_;
  RegionView region_;
  std::vector<Found> found_;
  AuditReport report_;
};

}  // namespace

AuditReport audit_packets(const Platform& platform, bool ports_closed) {
  AuditReport report;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    report = Walk(platform).run(ports_closed);
    if (report.quiesced) break;
  }
  return report;
}

nlohmann::json to_json(const AuditReport& report) {
  return {{"ok", report.ok},
          {"quiesced", report.quiesced},
          {"placed",
           {{"pool", report.pool},
            {"port", report.port},
            {"ring", report.ring},
            {"burst", report.burst},
            {"held", report.held},
            {"slot", report.slot},
            {"waits", report.waits}}},
          {"lost", report.lost},
          {"duplicate", report.duplicate},
          {"foreign", report.foreign}};
}

}  // namespace hb
