// An SPSC rte_ring of mbufs in the region, taken apart into the steps that the ledger orders:
// peek (cons.head), commit (cons.tail), publish (prod.head, slots, prod.tail).
#pragma once

#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

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

/// @return true if the ring's constants are as planned; a wild write may have changed them
inline bool ring_is_sane(const rte_ring* ring, std::uint32_t planned_size) noexcept {
  // As numbers: what a wild write left there need not be a value of the enumeration.
  std::uint32_t sync[2];
  std::memcpy(&sync[0], &ring->prod.sync_type, sizeof(sync[0]));
  std::memcpy(&sync[1], &ring->cons.sync_type, sizeof(sync[1]));
  return ring->size == planned_size && ring->mask == planned_size - 1 &&
         ring->capacity == planned_size - 1 && sync[0] == RTE_RING_SYNC_ST &&
         sync[1] == RTE_RING_SYNC_ST;
}

/// Takes up to max packets in hand, ending at the ring's end. Consumer's thread only; the whole
/// window must be committed before the next peek of this ring.
inline Window peek(rte_ring* ring, std::uint32_t max = kMaxBurst) noexcept {
  Window window;
  window.tail = ring->cons.tail;
  const std::uint32_t to_end = ring->size - (window.tail & ring->mask);
  rte_ring_zc_data zc{};
  unsigned available = 0;
  window.n = rte_ring_dequeue_zc_burst_start(ring, max < to_end ? max : to_end, &zc, &available);
  window.packets = static_cast<rte_mbuf**>(zc.ptr1);
  window.behind = available;
  return window;
}

/// Brings the lines of an mbuf nearer: its header and its metadata. Any address will do.
inline void prefetch_mbuf(const void* mbuf) noexcept {
  rte_prefetch0(mbuf);
  rte_prefetch0(static_cast<const char*>(mbuf) + RTE_CACHE_LINE_MIN_SIZE);
}

/// Brings what waits behind a window nearer: it is next. What the pointers are worth does not
/// matter here.
/// @param prefetch  prefetch_mbuf, or what the consumer needs of an mbuf
template <typename F>
void prefetch_behind(const rte_ring* ring, const Window& window, F&& prefetch) noexcept {
  rte_mbuf* const* const slots = window.packets - (window.tail & ring->mask);
  const std::uint32_t n = window.behind < kMaxBurst ? window.behind : kMaxBurst;
  for (std::uint32_t i = 0; i < n; ++i) prefetch(slots[(window.tail + window.n + i) & ring->mask]);
}

/// Gives the window's slots back to the producer: the burst is over.
inline void commit(rte_ring* ring, const Window& window) noexcept {
  rte_ring_dequeue_zc_finish(ring, window.n);
}

/// How many packets fit now. For the producer a lower bound that only grows.
inline std::uint32_t room(const rte_ring* ring) noexcept {
  // Relaxed: the enqueue that follows looks again, with acquire. Not rte_ring_free_count, which
  // reads the consumer's index with a plain load.
  const std::uint32_t taken = __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
  const std::uint32_t used = ring->prod.tail - taken;
  return used < ring->capacity ? ring->capacity - used : 0;
}

/// prod.tail once n more packets are published.
inline std::uint32_t tail_after(const rte_ring* ring, std::uint32_t n) noexcept {
  return ring->prod.tail + n;
}

/// Puts all n packets in; the caller has made sure that they fit.
inline void publish(rte_ring* ring, rte_mbuf* const* packets, std::uint32_t n) noexcept {
  rte_ring_sp_enqueue_bulk(ring, reinterpret_cast<void* const*>(packets), n, nullptr);
}

/// Whether anything waits; cheaper than a peek.
inline bool has_packets(const rte_ring* ring) noexcept {
  return __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED) != ring->cons.tail;
}

}  // namespace hb
