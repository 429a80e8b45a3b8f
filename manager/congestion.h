// Which services cannot keep up, as far as an RX thread can see from the outside: for --overload
// early. After NFVnice (Kulkarni et al., SIGCOMM 2017), section 3.3: high and low watermarks.
#pragma once

#include <rte_cycles.h>

#include <bit>
#include <cstdint>

#include "manager/flow_control.h"
#include "nf_lib/platform_view.h"

namespace hb {

/// One RX thread's own look at the rings in front of NFs: nobody else pays for it, and between two
/// looks it costs that thread a read of the clock for each burst.
class CongestionWatch {
 public:
  /// A ring fuller than this is congested, until all of its service's are emptier than the other.
  static constexpr std::uint32_t kHighPercent = 75;
  static constexpr std::uint32_t kLowPercent = 50;
  static constexpr std::uint64_t kPeriodUs = 100;

  explicit CongestionWatch(const PlatformView& view)
      : view_(view), period_(rte_get_tsc_hz() * kPeriodUs / 1'000'000) {}

  /// @return bit s: a ring of service s is congested
  std::uint64_t look(const RxPlan& plan) noexcept {
    const std::uint64_t now = rte_rdtsc();
    if (now < next_) return congested_;
    next_ = now + period_;
    std::uint64_t services = 0;
    for (const std::uint64_t path : plan.path) services |= path;
    congested_ &= services;
    const RouteTable& table = view_.routes->table[plan.version & 1];
    for (; services != 0; services &= services - 1) {
      const auto service = static_cast<std::uint32_t>(std::countr_zero(services));
      const std::uint32_t fill = fullest(table.targets[service]);
      const std::uint64_t size = view_.region.layout().ring_size;
      if (std::uint64_t{fill} * 100 > size * kHighPercent) congested_ |= 1ULL << service;
      if (std::uint64_t{fill} * 100 < size * kLowPercent) congested_ &= ~(1ULL << service);
    }
    return congested_;
  }

 private:
  /// Packets in the fullest ring in front of a service.
  [[nodiscard]] std::uint32_t fullest(const ServiceTargets& targets) const noexcept {
    std::uint32_t most = 0;
    for (std::uint32_t i = 0; i < targets.n && i < kMaxTargets; ++i) {
      const EndpointId endpoint(targets.endpoint[i]);
      const EndpointEntry& entry = view_.registry->endpoints[endpoint.value];
      for (std::uint32_t word = 0; word < kMaxContexts / 64; ++word) {
        // Acquire: pairs with the control thread's release store when it lets a context produce.
        std::uint64_t active = entry.producers[word].load(std::memory_order_acquire);
        for (; active != 0; active &= active - 1) {
          const ContextId from(word * 64 + static_cast<std::uint32_t>(std::countr_zero(active)));
          const rte_ring* const ring = view_.region.ring(endpoint, from);
          // Relaxed, in this order: a hint, which may not come out above the ring's size.
          const std::uint32_t tail = __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED);
          const std::uint32_t used = tail - __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
          if (used < view_.region.layout().ring_size && used > most) most = used;
        }
      }
    }
    return most;
  }

  PlatformView view_;
  std::uint64_t period_;
  std::uint64_t next_ = 0;
  std::uint64_t congested_ = 0;
};

}  // namespace hb
