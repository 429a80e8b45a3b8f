// What the device says about a burst of slots, once it is checked. For slice_share*.cc alone.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "gpu_host/slice_share.h"

namespace hb {

struct SliceShare::Answers {
  std::array<rte_mbuf*, kMaxBurst> packets;
  std::array<Verdict, kMaxBurst> verdicts;
  std::array<std::uint16_t, kMaxBurst> data_off;  ///< rte_mbuf::data_off; checked, as is the length
  std::array<std::uint16_t, kMaxBurst> length;
  std::uint64_t live = 0;     ///< not dummies
  std::uint64_t copy = 0;     ///< the control process wants a copy
  std::uint64_t ask = 0;      ///< likewise, and the packet waits for its word
  std::uint64_t unasked = 0;  ///< of those, the ones that it will never see
  std::uint64_t bad = 0;      ///< answers that make no sense
  std::uint32_t version = 1;
};

/// For counters that one thread writes: readers want a whole number, not an order.
inline void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
  if (n != 0) counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

}  // namespace hb
