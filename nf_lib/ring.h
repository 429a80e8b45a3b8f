// An SPSC rte_ring of mbufs in the region, taken apart into the steps that the ledger orders:
// peek (cons.head), commit (cons.tail), publish (prod.head, slots, prod.tail).
#pragma once

#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>

#include "nf_lib/limits.h"

namespace hb {

/// Packets in hand: between cons.tail and cons.head, in one contiguous segment.
struct Window {
  rte_mbuf** packets = nullptr;  ///< in the ring's own memory
  std::uint32_t n = 0;
  std::uint32_t tail = 0;    ///< cons.tail, which names this burst in the ledger
  std::uint32_t behind = 0;  ///< packets that wait behind it, as far as known
};

/// Packets in the ring, those in the consumer's hands too; 0 if what its indices say can't be.
inline std::uint32_t n_waiting(const rte_ring* ring, std::uint32_t size) noexcept {
  const std::uint32_t tail = __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
  const std::uint32_t n = __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED) - tail;
  return n < size ? n : 0;
}

/// The slots of a ring. Which slot an index names is reckoned with the planned size, here and in
/// all that follows: what a wild write leaves in the ring's header must not lead outside the ring.
inline rte_mbuf** slots_of(rte_ring* ring) noexcept {
  return reinterpret_cast<rte_mbuf**>(ring + 1);
}

/// Takes up to max packets in hand, ending at the ring's end. Consumer's thread only; the whole
/// window must be committed before the next peek of this ring.
/// @param size  slots as planned, a power of two: RegionView::planned_size
inline Window peek(rte_ring* ring, std::uint32_t size, std::uint32_t max = kMaxBurst) noexcept {
  Window window;
  window.tail = __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
  const std::uint32_t at = window.tail & (size - 1);
  window.packets = slots_of(ring) + at;
  // Acquire: pairs with the release store in publish(): the packets are there.
  const std::uint32_t waiting = __atomic_load_n(&ring->prod.tail, __ATOMIC_ACQUIRE) - window.tail;
  if (waiting >= size) return window;  // a wild write
  window.n = std::min({waiting, size - at, max});
  window.behind = waiting - window.n;
  // Release, for the compiler: in hand before any of them is touched. Recovery reads it.
  __atomic_store_n(&ring->cons.head, window.tail + window.n, __ATOMIC_RELEASE);
  return window;
}

/// Brings the lines of an mbuf nearer: its header and its metadata. Any address will do.
inline void prefetch_mbuf(const void* mbuf) noexcept {
  rte_prefetch0(mbuf);
  // As a number: what is no packet may be no address either.
  const std::uintptr_t second = reinterpret_cast<std::uintptr_t>(mbuf) + RTE_CACHE_LINE_MIN_SIZE;
  rte_prefetch0(reinterpret_cast<const void*>(second));
}

/// Likewise, taking the lines away from whichever core wrote them last: for who will write both. A
/// line that was fetched to be read costs a second trip when it is written.
inline void prefetch_mbuf_to_write(const void* mbuf) noexcept {
  const std::uintptr_t second = reinterpret_cast<std::uintptr_t>(mbuf) + RTE_CACHE_LINE_MIN_SIZE;
  __builtin_prefetch(mbuf, 1);
  __builtin_prefetch(reinterpret_cast<const void*>(second), 1);
}

/// What waits behind a window: it is next. What the pointers are worth does not matter here.
class Behind {
 public:
  Behind(const Window& window, std::uint32_t size) noexcept
      : slots_(window.packets - (window.tail & (size - 1))),
        mask_(size - 1),
        at_(window.tail + window.n),
        left_(std::min(window.behind, kMaxBurst)) {}

  /// @param prefetch  prefetch_mbuf, or what the consumer needs of an mbuf
  template <typename F>
  void prefetch_one(F&& prefetch) noexcept {
    if (left_ == 0) return;
    --left_;
    prefetch(slots_[at_++ & mask_]);
  }
  template <typename F>
  void prefetch_rest(F&& prefetch) noexcept {
    while (left_ != 0) prefetch_one(prefetch);
  }

 private:
  rte_mbuf* const* slots_;
  std::uint32_t mask_, at_, left_;
};

/// Brings what waits behind a window nearer.
template <typename F>
void prefetch_behind(const Window& window, std::uint32_t size, F&& prefetch) noexcept {
  Behind(window, size).prefetch_rest(prefetch);
}

/// Gives the window's slots back to the producer: the burst is over.
inline void commit(rte_ring* ring, const Window& window) noexcept {
  // Release: pairs with the producer's load in room(): the slots have been read.
  __atomic_store_n(&ring->cons.tail, window.tail + window.n, __ATOMIC_RELEASE);
}

/// How many packets fit now. For the producer a lower bound that only grows.
inline std::uint32_t room(const rte_ring* ring, std::uint32_t size) noexcept {
  // Acquire: pairs with the release store in commit(): what is overwritten has been read.
  const std::uint32_t taken = __atomic_load_n(&ring->cons.tail, __ATOMIC_ACQUIRE);
  const std::uint32_t used = ring->prod.tail - taken;
  return used < size - 1 ? size - 1 - used : 0;
}

/// prod.tail once n more packets are published.
inline std::uint32_t tail_after(const rte_ring* ring, std::uint32_t n) noexcept {
  return ring->prod.tail + n;
}

/// Puts all n packets in; the caller has seen by room() that they fit.
inline void publish(rte_ring* ring, std::uint32_t size, rte_mbuf* const* packets,
                    std::uint32_t n) noexcept {
  const std::uint32_t tail = ring->prod.tail;
  __atomic_store_n(&ring->prod.head, tail + n, __ATOMIC_RELAXED);
  const std::uint32_t at = tail & (size - 1);
  const std::uint32_t first = std::min(n, size - at);
  std::memcpy(slots_of(ring) + at, packets, first * sizeof(*packets));
  std::memcpy(slots_of(ring), packets + first, (n - first) * sizeof(*packets));
  // Release: pairs with the acquire load in peek().
  __atomic_store_n(&ring->prod.tail, tail + n, __ATOMIC_RELEASE);
}

/// Whether anything waits; cheaper than a peek.
inline bool has_packets(const rte_ring* ring) noexcept {
  return __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED) != ring->cons.tail;
}

}  // namespace hb
