// Moves the packets of one burst to where they go, ledger first. What does not fit goes to the
// reclaimer, whose rings are as large as the pool.
#pragma once

#include <rte_mbuf.h>

#include <atomic>
#include <bit>
#include <cstdint>

#include "nf_lib/ledger.h"
#include "nf_lib/ring.h"
#include "nf_lib/route_reader.h"

namespace hb {

/// The lowest n bits that are set in a mask; all of them if there are fewer.
inline std::uint64_t lowest_bits(std::uint64_t mask, std::uint32_t n) noexcept {
  std::uint64_t kept = 0;
  for (; n != 0 && mask != 0; --n, mask &= mask - 1) kept |= mask & (~mask + 1);
  return kept;
}

/// The publishing side of one context. One thread, the context's own.
class Publisher {
 public:
  Publisher() = default;
  /// @param endpoint_service  Registry's: whom ring_full is counted for; may be null
  Publisher(const RegionView& region, ContextId context, Ledger* ledger,
            const std::atomic<std::uint8_t>* endpoint_service = nullptr)
      : region_(region), context_(context), ledger_(ledger), endpoint_service_(endpoint_service) {}

  /// Publishes the packets named by `live` and returns when all of them have moved. The caller
  /// commits the source next, with nothing published in between: one open burst.
  /// @param source, source_tail  name the burst in the ledger
  /// @param packets              packets[n], n <= kMaxBurst, a copy of the window
  /// @param destinations         endpoints, same length; entries outside `live` are ignored
  void publish_burst(Place source, std::uint32_t source_tail, rte_mbuf* const* packets,
                     const Destination* destinations, std::uint64_t live) noexcept {
    const std::uint64_t rest = publish_forward(source, source_tail, packets, destinations, live);
    if (rest != 0)
      move(source, source_tail, live & ~rest, region_.ring_id(kReclaimer, context_), packets, rest);
  }

  /// The same, but what is to be dropped stays the caller's, with its reason: for threads of the
  /// manager, which may free packets.
  /// @return packets for the reclaimer, and those that did not fit
  [[nodiscard]] std::uint64_t publish_forward(Place source, std::uint32_t source_tail,
                                              rte_mbuf* const* packets,
                                              const Destination* destinations,
                                              std::uint64_t live) noexcept {
    std::uint64_t done = 0;
    std::uint64_t overflow = 0;
    std::uint64_t left = live;
    while (left != 0) {
      const Destination to = destinations[std::countr_zero(left)];
      std::uint64_t mask = same_destination(destinations, to, left);
      left &= ~mask;
      if (to == kReclaimer.value) {
        overflow |= mask;
        continue;
      }
      const RingId id = region_.ring_id(EndpointId(to), context_);
      const std::uint32_t fits = room(region_.ring(id), region_.planned_size(id));
      if (static_cast<std::uint32_t>(std::popcount(mask)) > fits) {
        const std::uint64_t kept = lowest_bits(mask, fits);
        mark_full(packets, mask & ~kept, to);
        overflow |= mask & ~kept;
        mask = kept;
        if (mask == 0) continue;
      }
      move(source, source_tail, done, id, packets, mask);
      done |= mask;
    }
    return overflow;
  }

  /// One publish: record, then the ring's store.
  void move(Place source, std::uint32_t source_tail, std::uint64_t done, RingId to,
            rte_mbuf* const* packets, std::uint64_t mask) noexcept {
    rte_ring* const ring = region_.ring(to);
    const std::uint32_t size = region_.planned_size(to);
    const auto n = static_cast<std::uint32_t>(std::popcount(mask));
    ledger_->write({.source = source,
                    .source_tail = source_tail,
                    .destination = Place::ring(to.value),
                    .destination_tail = tail_after(ring, n),
                    .done = done,
                    .mask = mask});
    if (mask + 1 == (n == 64 ? 0 : std::uint64_t{1} << n)) {  // the first n, in one piece
      publish(ring, size, packets, n);
      fault_point("published");
      return;
    }
    rte_mbuf* chosen[kMaxBurst];
    std::uint32_t filled = 0;
    for (std::uint64_t rest = mask; rest != 0; rest &= rest - 1)
      chosen[filled++] = packets[std::countr_zero(rest)];
    publish(ring, size, chosen, n);
    fault_point("published");
  }

  [[nodiscard]] Ledger& ledger() noexcept { return *ledger_; }
  [[nodiscard]] const RegionView& region() const noexcept { return region_; }
  [[nodiscard]] ContextId context() const noexcept { return context_; }

 private:
  static std::uint64_t same_destination(const Destination* destinations, Destination to,
                                        std::uint64_t among) noexcept {
    std::uint64_t mask = 0;
    for (std::uint64_t rest = among; rest != 0; rest &= rest - 1) {
      const int i = std::countr_zero(rest);
      mask |= std::uint64_t{destinations[i] == to} << i;
    }
    return mask;
  }
  void mark_full(rte_mbuf* const* packets, std::uint64_t mask, Destination to) const noexcept {
    const std::uint32_t service = endpoint_service_ != nullptr
                                      ? endpoint_service_[to].load(std::memory_order_relaxed)
                                      : kMaxServices;
    for (; mask != 0; mask &= mask - 1)
      drop_packet(packets[std::countr_zero(mask)], DropReason::kRingFull, service);
  }

  RegionView region_;
  ContextId context_;
  Ledger* ledger_ = nullptr;
  const std::atomic<std::uint8_t>* endpoint_service_ = nullptr;
};

}  // namespace hb
