#include "nf_lib/burst_loop.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "nf_lib/burst_scope.h"
#include "nf_lib/clock.h"

namespace hb {

BurstLoop::BurstLoop(const PlatformView& view, ContextPage* page, ContextId context,
                     EndpointId endpoint, ServiceId service, InstanceId instance,
                     std::span<std::byte> surviving)
    : view_(view),
      page_(page),
      endpoint_(endpoint),
      instance_(instance),
      surviving_(surviving),
      routes_(view.routes, view.registry, service.value, instance),
      publisher_(view.region, context, &page->ledger, view.registry->endpoint_service),
      held_(page, view.check),
      fill_ring_(view.region.fill_ring_id(context)) {}

void BurstLoop::runs_on_this_thread() noexcept {
  page_->loop_thread.store(gettid(), std::memory_order_relaxed);
}

std::uint32_t BurstLoop::poll(NetworkFunction& nf) noexcept {
  std::uint32_t bursts = 0;
  const EndpointEntry& endpoint = view_.registry->endpoints[endpoint_.value];
  for (std::uint32_t word = 0; word < kMaxContexts / 64; ++word) {
    // Acquire: pairs with the manager's release store when it lets a context produce.
    std::uint64_t active = endpoint.producers[word].load(std::memory_order_acquire);
    for (; active != 0; active &= active - 1) {
      const ContextId from(word * 64 + static_cast<std::uint32_t>(std::countr_zero(active)));
      rte_ring* const ring = view_.region.ring(endpoint_, from);
      if (!has_packets(ring)) continue;
      take_burst(nf, view_.region.ring_id(endpoint_, from), ring);
      ++bursts;
    }
  }
  return bursts;
}

void BurstLoop::take_burst(NetworkFunction& nf, RingId id, rte_ring* ring) noexcept {
  const BurstScope scope(page_);
  const Window window = peek(ring, view_.region.planned_size(id));
  if (window.n == 0) return;
  fault_point("peeked");
  prefetch_behind(window, view_.region.planned_size(id), prefetch_mbuf);
  std::array<rte_mbuf*, kMaxBurst> packets;
  const std::uint32_t n = take_window(window, packets.data());
  std::array<Verdict, kMaxBurst> verdicts;
  std::array<Destination, kMaxBurst> destinations;
  std::uint64_t live = 0;
  if (n != 0) nf.process_burst(std::span(packets.data(), n), std::span(verdicts.data(), n));
  fault_point("processed");
  for (std::uint32_t i = 0; i < n; ++i) {
    if (verdicts[i].is_hold()) {
      if (!held_.full()) {
        held_.hold(packets[i]);
        continue;
      }
      destinations[i] = drop_packet(packets[i], DropReason::kHeldFull, instance_.value);
    } else {
      destinations[i] = routes_.resolve(packets[i], verdicts[i]);
    }
    live |= std::uint64_t{1} << i;
  }
  publisher_.publish_burst(Place::ring(id.value), window.tail, packets.data(), destinations.data(),
                           live);
  fault_point("all_published");
  commit(ring, window);
  fault_point("committed");
}

/// Copies the window's packets out: what lies in the ring may be overwritten by its producer.
/// @return packets; pointers that name none are counted and left out
std::uint32_t BurstLoop::take_window(const Window& window, rte_mbuf** packets) noexcept {
  std::uint32_t n = 0;
  for (std::uint32_t i = 0; i < window.n; ++i) {
    packets[n] = window.packets[i];
    if (view_.check.is_packet(packets[n])) {
      prefetch_mbuf(packets[n]);
      ++n;
    }
  }
  if (n == window.n) return n;
  page_->counters.bad_pointers.fetch_add(window.n - n, std::memory_order_relaxed);
  // Bits of a record name places in the window: close the gaps there too. Each store, in order,
  // overwrites what has been moved down before, so that a process that dies on the way leaves every
  // packet in the window, some of them twice. Release keeps the compiler from another order.
  for (std::uint32_t i = 0; i < window.n; ++i)
    __atomic_store_n(&window.packets[i], i < n ? packets[i] : nullptr, __ATOMIC_RELEASE);
  return n;
}

void BurstLoop::tick(NetworkFunction& nf, std::uint64_t now_ns) noexcept {
  const BurstScope scope(page_);
  nf.tick(now_ns);
}

void BurstLoop::flush(NetworkFunction& nf, std::uint32_t request) noexcept {
  const BurstScope scope(page_);
  nf.flush();
  fault_point("flushed");
  // Release: pairs with the manager's acquire load, so that what was released has been published.
  page_->flushed.store(request, std::memory_order_release);
}

void BurstLoop::release(std::span<rte_mbuf* const> packets,
                        std::span<const Verdict> verdicts) noexcept {
  for (std::size_t at = 0; at < packets.size(); at += kMaxBurst) {
    const std::size_t n = std::min<std::size_t>(kMaxBurst, packets.size() - at);
    release_chunk(packets.data() + at, verdicts.data() + at, static_cast<std::uint32_t>(n));
  }
}

void BurstLoop::release_chunk(rte_mbuf* const* packets, const Verdict* verdicts,
                              std::uint32_t n) noexcept {
  std::array<rte_mbuf*, kMaxBurst> chosen;
  std::array<Destination, kMaxBurst> destinations;
  Ledger& ledger = publisher_.ledger();
  std::uint32_t n_chosen = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    if (verdicts[i].is_hold()) continue;
    const std::uint16_t slot = held_.begin_release(packets[i]);
    if (slot == HeldArea::kNone) continue;
    // Held packets are judged by the table of now: the one of their arrival may be gone.
    packet_meta(packets[i]).route_version = static_cast<std::uint8_t>(routes_.current_version());
    chosen[n_chosen] = packets[i];
    ledger.release_slots[n_chosen] = slot;
    fault_point("release_chosen");
    destinations[n_chosen] = routes_.resolve(packets[i], verdicts[i]);
    ++n_chosen;
  }
  if (n_chosen == 0) return;
  const std::uint64_t live =
      n_chosen == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n_chosen) - 1;
  publisher_.publish_burst(Place::held(), ledger.held_generation(), chosen.data(),
                           destinations.data(), live);
  fault_point("release_published");
  for (std::uint32_t i = 0; i < n_chosen; ++i) held_.clear(ledger.release_slots[i]);
  ledger.bump_held_generation();
  fault_point("release_over");
}

bool BurstLoop::may_wait_for_output() noexcept {
  page_->output_waits.fetch_add(1, std::memory_order_relaxed);
  const InstanceEntry& own = view_.registry->instances[instance_.value];
  // Relaxed: nothing is read because of these.
  return view_.registry->ending.load(std::memory_order_relaxed) == 0 &&
         own.stop.load(std::memory_order_relaxed) == 0 &&
         own.state.load(std::memory_order_relaxed) != InstanceState::kDraining;
}

std::uint32_t BurstLoop::originate(std::span<rte_mbuf*> out) noexcept {
  if (originated_.n != 0) return 0;  // the last ones have not been sent yet
  const auto wanted = static_cast<std::uint32_t>(std::min<std::size_t>(out.size(), kMaxBurst));
  originated_ = peek(view_.region.ring(fill_ring_), view_.region.planned_size(fill_ring_), wanted);
  fault_point("fill_ring_peeked");
  n_fresh_ = take_window(originated_, fresh_.data());
  if (n_fresh_ == 0) {
    commit(view_.region.ring(fill_ring_), originated_);
    originated_ = Window{};
  }
  for (std::uint32_t i = 0; i < n_fresh_; ++i) {
    out[i] = fresh_[i];
    make_fresh(out[i]);
  }
  return n_fresh_;
}

void BurstLoop::make_fresh(rte_mbuf* mbuf) const noexcept {
  PacketMeta& meta = packet_meta(mbuf);
  meta = PacketMeta{};
  meta.capture_ns = wall_clock_ns();
  meta.route_version = kJudgedByCurrent;
}

std::uint32_t BurstLoop::originate_held(std::span<rte_mbuf*> out) noexcept {
  if (originated_.n != 0) return 0;
  const auto wanted = std::min<std::size_t>({out.size(), kMaxBurst, kHeldSlots - held_.size()});
  if (wanted == 0) return 0;
  rte_ring* const ring = view_.region.ring(fill_ring_);
  const Window window =
      peek(ring, view_.region.planned_size(fill_ring_), static_cast<std::uint32_t>(wanted));
  if (window.n == 0) return 0;
  const std::uint32_t n = take_window(window, out.data());
  for (std::uint32_t i = 0; i < n; ++i) {
    make_fresh(out[i]);
    held_.hold(out[i]);
  }
  // All of the window is held: the commit moves nothing, and says that all were originated.
  commit(ring, window);
  return n;
}

void BurstLoop::send_originated(std::span<const Verdict> verdicts) noexcept {
  std::array<Destination, kMaxBurst> destinations;
  std::uint64_t live = 0;
  for (std::uint32_t i = 0; i < n_fresh_; ++i) {
    const Verdict verdict =
        i < verdicts.size() && !verdicts[i].is_hold() ? verdicts[i] : Verdict::next();
    destinations[i] = routes_.resolve(fresh_[i], verdict);
    live |= std::uint64_t{1} << i;
  }
  if (live == 0) return;
  publisher_.publish_burst(Place::ring(fill_ring_.value), originated_.tail, fresh_.data(),
                           destinations.data(), live);
  fault_point("originated_published");
  commit(view_.region.ring(fill_ring_), originated_);
  originated_ = Window{};
  n_fresh_ = 0;
}

std::optional<ServiceId> BurstLoop::find_service(std::string_view name) const {
  if (name.empty()) return std::nullopt;  // what ids without a service are called
  for (std::uint32_t i = 0; i < kMaxServices; ++i)
    if (name == std::string_view(view_.registry->services[i].name)) return ServiceId(i);
  return std::nullopt;
}

std::optional<std::uint8_t> BurstLoop::find_type(std::string_view name) const {
  // Acquire: pairs with the manager's release store once the names are there.
  const std::uint32_t n_types = view_.registry->n_types.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < n_types && i < kMaxTypes; ++i)
    if (name == std::string_view(view_.registry->types[i])) return static_cast<std::uint8_t>(i);
  return std::nullopt;
}

}  // namespace hb
