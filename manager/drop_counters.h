// Drops by who dropped and why. Each thread that frees packets has its own; readers add them up.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "nf_lib/drop_reason.h"
#include "nf_lib/limits.h"

namespace hb {

/// Adds to a counter that this thread alone writes; readers want a whole number, not an order.
inline void add_to(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

/// Reasons by which an NF itself lost a packet, counted by instance; the others are the platform's.
constexpr bool is_nf_reason(std::uint32_t reason) noexcept {
  return reason == static_cast<std::uint32_t>(DropReason::kBadVerdict) ||
         reason == static_cast<std::uint32_t>(DropReason::kHeldFull) ||
         reason == static_cast<std::uint32_t>(DropReason::kHeldAtExit) ||
         reason == static_cast<std::uint32_t>(DropReason::kUnjudged) || reason >= kNfReasons;
}

/// By service (kMaxServices: the manager) and reason. One writer.
struct DropCounters {
  static constexpr std::uint32_t kReasons = kNfReasons + kMaxNfReasons;
  std::array<std::array<std::atomic<std::uint64_t>, kReasons>, kMaxServices + 1> count{};

  void add(std::uint32_t service, std::uint32_t reason, std::uint64_t n = 1) noexcept {
    add_to(count[service][reason], n);
  }
  [[nodiscard]] std::uint64_t get(std::uint32_t service, std::uint32_t reason) const noexcept {
    return count[service][reason].load(std::memory_order_relaxed);
  }
};

}  // namespace hb
