// The words by which the control thread, RX threads and the TX thread keep count of packets on
// their way, pause RX, and see the end of the input.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "nf_lib/limits.h"

namespace hb {

inline constexpr std::uint32_t kMaxRxThreads = 16;

struct alignas(kFalseSharingRange) RxWords {
  /// Packets received and not freed by the PMD itself; written by the RX thread before it
  /// publishes.
  std::atomic<std::uint64_t> received{0};
  /// The last FlowControl::rx_command that the thread has seen.
  std::atomic<std::uint32_t> seen{0};
};

struct alignas(kFalseSharingRange) TxWords {
  std::atomic<std::uint64_t> returned_rx{0};      ///< received packets sent or reclaimed
  std::atomic<std::uint64_t> returned_filled{0};  ///< originated packets sent or reclaimed
  std::atomic<std::uint64_t> filled{0};           ///< packets put into fill rings
  std::atomic<std::uint64_t> double_returns{0};   ///< refused
  std::atomic<std::uint64_t> bad_pointers{0};     ///< ring entries that named no packet
};

/// Written as said at each word; read by all manager threads.
struct FlowControl {
  std::array<RxWords, kMaxRxThreads> rx;
  TxWords tx;
  std::uint32_t n_rx_threads = 1;  ///< constant once threads run
  /// Bound of packets on their way that a lossless port's RX keeps; constant once threads run.
  std::uint32_t lossless_bound = 0;

  /// Odd: RX is paused. The control thread bumps it; RX threads copy it to `seen`.
  alignas(kFalseSharingRange) std::atomic<std::uint32_t> rx_command{1};
  /// Packets in held areas, which count neither as on their way nor against the bound.
  std::atomic<std::uint64_t> held{0};
  std::atomic<bool> quit{false};
  /// A file port found no packet to read into. RX threads set it; the platform then ends in error.
  std::atomic<bool> lost_a_record{false};
  /// Files that were read to their end, of all lossless (port, queue) pairs.
  std::atomic<std::uint32_t> files_ended{0};

  /// Received packets that are neither home nor held. The returned count is read first, so that a
  /// packet can't be missing from both.
  [[nodiscard]] std::uint64_t in_flight() const noexcept {
    // Acquire: pairs with the TX thread's release store; what it returned was received before.
    const std::uint64_t back = tx.returned_rx.load(std::memory_order_acquire);
    std::uint64_t received = 0;
    for (std::uint32_t i = 0; i < n_rx_threads; ++i)
      received += rx[i].received.load(std::memory_order_acquire);
    return received - back;
  }
  [[nodiscard]] std::uint64_t on_the_way() const noexcept {
    const std::uint64_t all = in_flight();
    const std::uint64_t kept = held.load(std::memory_order_relaxed);
    return all > kept ? all - kept : 0;
  }
};

}  // namespace hb
