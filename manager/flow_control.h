// The words by which the control thread, RX threads and the TX thread keep count of packets on
// their way, change what RX does, and see the end of the input.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "nf_lib/control_layout.h"
#include "nf_lib/limits.h"

namespace hb {

class Classifier;

inline constexpr std::uint32_t kMaxRxThreads = 16;

/// What an RX thread does with packets. The control thread makes one for each change; an RX thread
/// takes up a new one between two bursts.
struct RxPlan {
  bool paused = true;
  std::uint8_t version = 0;                ///< stamped on every packet that is let in
  std::uint64_t affected = 0;              ///< bit t: packets of type t are held
  const Classifier* classifier = nullptr;  ///< null: every packet is of type 0
  /// While flows change: what packets were classified by before. One whose type differs is held.
  const Classifier* classifier_before = nullptr;
  bool flows_change = false;
  /// By type: bit s: its packets pass service s, as long as no NF changes their type.
  std::array<std::uint64_t, kMaxTypes> path{};
};

struct alignas(kFalseSharingRange) RxWords {
  /// Packets received, less those that the thread dropped itself; counted before they are published
  /// or held. The RX thread's.
  std::atomic<std::uint64_t> admitted{0};
  /// Packets in the thread's hold queue, lowered before they are published. The RX thread's.
  std::atomic<std::uint64_t> holding{0};
  /// The last FlowControl::command that the thread has seen.
  std::atomic<std::uint32_t> seen{~0u};
  /// By version: packets stamped with it, less those that the thread then dropped itself; counted
  /// before they are published. The RX thread's.
  alignas(kFalseSharingRange) std::array<std::atomic<std::uint64_t>, 256> stamped{};
};

struct alignas(kFalseSharingRange) TxWords {
  std::atomic<std::uint64_t> returned_rx{0};      ///< received packets sent or reclaimed
  std::atomic<std::uint64_t> returned_filled{0};  ///< originated packets sent or reclaimed
  std::atomic<std::uint64_t> filled{0};  ///< packets put into fill rings, less those taken back
  std::atomic<std::uint64_t> double_returns{0};  ///< refused
  std::atomic<std::uint64_t> bad_pointers{0};    ///< ring entries that named no packet
  /// Odd while packets go from a ring to the pool or a port, or from the pool to a ring: the book
  /// says one thing then, the ring another. The audit's.
  std::atomic<std::uint64_t> bursts{0};
  /// By version: received packets sent or reclaimed.
  alignas(kFalseSharingRange) std::array<std::atomic<std::uint64_t>, 256> returned{};
};

/// Written as said at each word; read by all manager threads.
struct FlowControl {
  std::array<RxWords, kMaxRxThreads> rx;
  TxWords tx;
  std::uint32_t n_rx_threads = 1;  ///< constant once threads run
  /// Bound of packets on their way that a lossless port's RX keeps; constant once threads run.
  std::uint32_t lossless_bound = 0;
  /// Bound of fresh packets out of the pool, of all contexts together; constant once threads run.
  std::uint32_t fresh_bound = 0;

  /// plans[command & 1] counts. The control thread fills the other one in, once all RX threads have
  /// seen this one, and bumps (release); RX threads copy it to `seen`.
  alignas(kFalseSharingRange) std::atomic<std::uint32_t> command{0};
  std::array<RxPlan, 2> plans;
  /// Packets in held areas, which count neither as on their way nor against the bound.
  std::atomic<std::uint64_t> held{0};
  std::atomic<bool> quit{false};
  /// NF instances that there have been, by id. Control thread; the reclaimer attributes drops.
  std::atomic<std::uint32_t> n_instances{0};
  /// A file port found no packet to read into. RX threads set it; the platform then ends in error.
  std::atomic<bool> lost_a_record{false};
  /// Files that were read to their end, of all lossless (port, queue) pairs.
  std::atomic<std::uint32_t> files_ended{0};

  /// Received packets that are not home. The returned count is read first, so that a packet can't
  /// be missing from both.
  [[nodiscard]] std::uint64_t in_flight() const noexcept {
    // Acquire: pairs with the TX thread's release store; what it returned was received before.
    const std::uint64_t back = tx.returned_rx.load(std::memory_order_acquire);
    std::uint64_t admitted = 0;
    for (std::uint32_t i = 0; i < n_rx_threads; ++i)
      admitted += rx[i].admitted.load(std::memory_order_acquire);
    return admitted - back;
  }
  /// The TX thread is between two bursts. Acquire: pairs with its release store.
  [[nodiscard]] bool tx_rests() const noexcept {
    return tx.bursts.load(std::memory_order_acquire) % 2 == 0;
  }
  /// Packets in hold queues.
  [[nodiscard]] std::uint64_t holding() const noexcept {
    std::uint64_t n = 0;
    for (std::uint32_t i = 0; i < n_rx_threads; ++i)
      n += rx[i].holding.load(std::memory_order_acquire);
    return n;
  }
  /// Received packets in rings, bursts and slots.
  [[nodiscard]] std::uint64_t on_the_way() const noexcept {
    // What waits is read first: it has been admitted, and what another thread lets go meanwhile is
    // that thread's to keep within the bound.
    const std::uint64_t kept = holding() + held.load(std::memory_order_relaxed);
    const std::uint64_t all = in_flight();
    return all > kept ? all - kept : 0;
  }
  /// The same with those in hold queues.
  [[nodiscard]] std::uint64_t unfinished() const noexcept {
    const std::uint64_t kept = held.load(std::memory_order_relaxed);
    const std::uint64_t all = in_flight();
    return all > kept ? all - kept : 0;
  }

  /// Received packets that were stamped with this version and are not home.
  [[nodiscard]] std::uint64_t outstanding(std::uint8_t version) const noexcept {
    // Acquire: pairs with the TX thread's release store. Read first: as in in_flight().
    const std::uint64_t back = tx.returned[version].load(std::memory_order_acquire);
    std::uint64_t stamped = 0;
    for (std::uint32_t i = 0; i < n_rx_threads; ++i)
      stamped += rx[i].stamped[version].load(std::memory_order_acquire);
    return stamped - back;
  }
  /// The same for all versions but this one: what the table before it may still have to judge.
  [[nodiscard]] std::uint64_t outstanding_but(std::uint8_t version) const noexcept {
    std::uint64_t n = 0;
    for (std::uint32_t v = 0; v < kRouteVersions; ++v)
      if (v != version) n += outstanding(static_cast<std::uint8_t>(v));
    return n;
  }
};

}  // namespace hb
