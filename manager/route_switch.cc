#include "manager/route_switch.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <time.h>

#include <algorithm>

#include "manager/route_tables.h"
#include "manager/service.h"

namespace hb {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

}  // namespace

RouteSwitch::RouteSwitch(Platform& platform)
    : p_(platform), is_seen_held_(platform.book->size(), false) {}

microseconds RouteSwitch::age() const noexcept {
  return idle() ? microseconds(0) : duration_cast<microseconds>(Clock::now() - began_);
}

bool RouteSwitch::rx_agrees() const noexcept {
  const std::uint32_t command = p_.flow.command.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < p_.flow.n_rx_threads; ++i)
    // Acquire: pairs with the RX thread's release store: what it stamped before is counted.
    if (p_.flow.rx[i].seen.load(std::memory_order_acquire) != command) return false;
  return true;
}

void RouteSwitch::post_plan() {
  // The other plan may be filled in once nobody reads it. RX threads look within a burst or a nap.
  while (!rx_agrees()) {
    const timespec nap{0, 20'000};
    nanosleep(&nap, nullptr);
  }
  const std::uint32_t next = p_.flow.command.load(std::memory_order_relaxed) + 1;
  p_.flow.plans[next & 1] = plan_;
  // Release: pairs with the RX threads' acquire load.
  p_.flow.command.store(next, std::memory_order_release);
}

void RouteSwitch::pause_rx(bool paused) {
  if (plan_.paused == paused) return;
  plan_.paused = paused;
  post_plan();
}

void RouteSwitch::publish_first(const RouteTable& table, const Classifier* classifier) {
  publish_routes(p_.control->routes(), version_, table);
  plan_.classifier = classifier;
  plan_.path = services_on_path(table);
  post_plan();
}

bool RouteSwitch::begin(const RouteTable& table, const Classifier* classifier,
                        std::span<const SteeringNf> nfs) {
  std::uint8_t version = next_version(version_);
  for (std::uint32_t tries = 0; p_.flow.outstanding(version) != 0; ++tries) {
    if (tries == kRouteVersions / 2) return false;
    version = next_version(next_version(version));
  }
  const RouteTable& before = p_.control->routes().table[version_ & 1];
  const auto n_types = static_cast<std::uint32_t>(p_.types.size());
  const std::uint64_t exist = n_types < 64 ? (1ULL << n_types) - 1 : ~std::uint64_t{0};
  plan_.affected = affected_types(before, table, nfs, n_types) & exist;
  plan_.flows_change = classifier != plan_.classifier;
  plan_.classifier_before = plan_.classifier;
  plan_.classifier = classifier;
  plan_.version = version_ = version;
  plan_.path = services_on_path(table);
  held_before_ = held_so_far();
  began_ = Clock::now();
  complain_at_ = began_ + std::chrono::milliseconds(p_.options.drain_timeout_ms);
  publish_routes(p_.control->routes(), version, table);
  p_.last_switch = {.number = p_.last_switch.number + 1,
                    .version = version,
                    .affected = plan_.affected,
                    .flows_changed = plan_.flows_change,
                    .held = {},
                    .hold_us = 0,
                    .total_us = 0};
  post_plan();
  phase_ = Phase::kAnnounced;
  return true;
}

RouteSwitch::Step RouteSwitch::advance() {
  if (phase_ == Phase::kAnnounced && rx_agrees()) {
    begin_grace();
    phase_ = Phase::kGrace;
  }
  if (phase_ == Phase::kGrace && grace_is_over()) phase_ = Phase::kDraining;
  if (phase_ == Phase::kDraining && is_drained()) {
    for (const std::uint32_t number : seen_held_) is_seen_held_[number] = false;
    seen_held_.clear();
    p_.last_switch.hold_us =
        static_cast<std::uint64_t>(duration_cast<microseconds>(Clock::now() - began_).count());
    plan_.affected = 0;
    plan_.flows_change = false;
    plan_.classifier_before = nullptr;
    post_plan();
    phase_ = Phase::kReleasing;
    return Step::kDrained;
  }
  if (phase_ == Phase::kReleasing && rx_agrees() && p_.flow.holding() == 0) {
    phase_ = Phase::kIdle;
    const std::array<std::uint64_t, kMaxTypes> now = held_so_far();
    for (std::uint32_t t = 0; t < kMaxTypes; ++t) p_.last_switch.held[t] = now[t] - held_before_[t];
    p_.last_switch.total_us =
        static_cast<std::uint64_t>(duration_cast<microseconds>(Clock::now() - began_).count());
    p_.longest_hold_us = std::max(p_.longest_hold_us, p_.last_switch.hold_us);
    return Step::kFinished;
  }
  if ((phase_ == Phase::kGrace || phase_ == Phase::kDraining) && Clock::now() >= complain_at_) {
    complain_at_ = Clock::now() + std::chrono::milliseconds(p_.options.drain_timeout_ms);
    name_late();
  }
  return Step::kNothing;
}

void RouteSwitch::begin_grace() {
  std::vector<const ContextFile*> files;
  for (const auto& instance : p_.instances)
    if (instance->alive() && instance->page) files.push_back(instance->page.get());
  for (const SyncerContext& syncer : p_.syncers) files.push_back(syncer.page.get());
  // The new version must be out before the counters are read; pairs with the fence at a burst's
  // start.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  inside_.clear();
  for (const ContextFile* const file : files) {
    const std::uint64_t bursts = file->page().bursts.load(std::memory_order_acquire);
    if (bursts % 2 != 0) inside_.push_back({&file->page(), bursts});
  }
}

bool RouteSwitch::grace_is_over() {
  const auto is_mapped = [this](const ContextPage* page) {
    return std::ranges::any_of(
               p_.instances,
               [&](const auto& i) { return i->alive() && i->page && &i->page->page() == page; }) ||
           std::ranges::any_of(p_.syncers,
                               [&](const SyncerContext& s) { return &s.page->page() == page; });
  };
  std::erase_if(inside_, [&](const Seen& s) {
    return !is_mapped(s.page) || s.page->bursts.load(std::memory_order_acquire) != s.bursts;
  });
  return inside_.empty();
}

bool RouteSwitch::is_old(const rte_mbuf* mbuf) const noexcept {
  const std::uint32_t number = p_.view.check.number(mbuf);
  if (number == PacketCheck::kNotAPacket) return false;
  const BookEntry entry = p_.book->entry(number);
  return entry.state == PacketState::kRx && entry.version != version_;
}

/// All packets of older versions are home or have been seen held. The count is read first: whatever
/// leaves afterwards makes the difference too large, never too small.
bool RouteSwitch::is_drained() {
  const std::uint64_t outstanding = p_.flow.outstanding_but(version_);
  if (outstanding == 0) return true;
  const auto kept =
      static_cast<std::uint64_t>(std::ranges::count_if(seen_held_, [this](std::uint32_t number) {
        const BookEntry entry = p_.book->entry(number);
        return entry.state == PacketState::kRx && entry.version != version_;
      }));
  if (outstanding == kept) return true;
  note_held_packets();
  return false;
}

/// The grace period is over, so whoever releases a packet from now on stamps it with the new
/// version: to have been held once is enough.
void RouteSwitch::note_held_packets() {
  for (const auto& instance : p_.instances) {
    if (!instance->alive() || !instance->page) continue;
    for (const auto& slot : instance->page->page().held) {
      const std::uint64_t address = slot.load(std::memory_order_acquire);  // pairs with HeldArea
      if (address == 0) continue;
      const auto* const mbuf = reinterpret_cast<const rte_mbuf*>(address);
      if (!is_old(mbuf)) continue;
      const std::uint32_t number = p_.view.check.number(mbuf);
      if (is_seen_held_[number]) continue;
      is_seen_held_[number] = true;
      seen_held_.push_back(number);
    }
  }
}

std::uint64_t RouteSwitch::old_packets_of(const Instance& instance) const {
  const RegionView& region = p_.view.region;
  std::uint64_t n = 0;
  for (const EndpointId endpoint : instance.all_endpoints()) {
    for (std::uint32_t from = 0; from < region.layout().n_contexts; ++from) {
      const rte_ring* const ring = region.ring(endpoint, ContextId(from));
      const std::uint32_t size = region.layout().ring_size;
      const std::uint32_t tail = __atomic_load_n(&ring->cons.tail, __ATOMIC_ACQUIRE);
      const std::uint32_t used = __atomic_load_n(&ring->prod.tail, __ATOMIC_ACQUIRE) - tail;
      if (used > size) continue;  // a wild write
      auto* const* const packets = reinterpret_cast<rte_mbuf* const*>(ring + 1);
      for (std::uint32_t i = 0; i < used; ++i) n += is_old(packets[(tail + i) & (size - 1)]);
    }
  }
  for (const std::uint32_t work_group : instance.work_groups) {
    for (std::uint32_t i = 0; i < region.slots_per_queue(); ++i) {
      const u64 slot = region.slots(work_group)[i];
      n += slot != 0 &&
           is_old(reinterpret_cast<const rte_mbuf*>(region.base() + HB_SLOT_BASE(slot)));
    }
  }
  return n;
}

/// In a burst since before the grace period.
bool RouteSwitch::is_inside(const Instance& instance) const {
  return instance.page && std::ranges::any_of(inside_, [&](const Seen& s) {
           return &instance.page->page() == s.page;
         });
}

bool RouteSwitch::is_kept_by(const Instance& instance) const {
  if (phase_ != Phase::kGrace && phase_ != Phase::kDraining) return false;
  if (age() < std::chrono::milliseconds(p_.options.drain_timeout_ms)) return false;
  return is_inside(instance) || old_packets_of(instance) != 0;
}

void RouteSwitch::name_late() {
  std::string names;
  for (const auto& instance : p_.instances) {
    const std::uint64_t n = old_packets_of(*instance);
    if (n == 0 && !is_inside(*instance)) continue;
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", instance->name(), n);
  }
  spdlog::warn("{} packets did not finish within --drain-timeout {} ms; who has them: {}",
               p_.flow.outstanding_but(version_), p_.options.drain_timeout_ms,
               names.empty() ? "no NF" : names);
}

std::array<std::uint64_t, kMaxTypes> RouteSwitch::held_so_far() const {
  std::array<std::uint64_t, kMaxTypes> held{};
  for (const auto& rx : p_.rx_threads)
    for (std::uint32_t type = 0; type < kMaxTypes; ++type) held[type] += rx->held(type);
  return held;
}

}  // namespace hb
