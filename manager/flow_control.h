// The words by which the control thread, RX threads and TX threads keep count of packets on
// their way, change what RX does, and see the end of the input.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "nf_lib/control_layout.h"
#include "nf_lib/ids.h"
#include "nf_lib/limits.h"

namespace hb {

class Classifier;

inline constexpr std::uint32_t kMaxRxThreads = 16;
inline constexpr std::uint32_t kMaxTxThreads = 8;

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

/// What one thread has sent or reclaimed. It alone writes them.
struct alignas(kFalseSharingRange) ReturnWords {
  std::atomic<std::uint64_t> received{0};  ///< packets that had come in at a port
  std::atomic<std::uint64_t> filled{0};    ///< packets that had been put into a fill ring
  std::atomic<std::uint64_t> given{0};     ///< packets put into fill rings, less those taken back
  std::atomic<std::uint64_t> double_returns{0};  ///< refused
  std::atomic<std::uint64_t> bad_pointers{0};    ///< ring entries that named no packet
  /// Odd while packets go from a ring to the pool or a port, or from the pool to a ring: the book
  /// says one thing then, the ring another. The audit's.
  std::atomic<std::uint64_t> bursts{0};
  /// Of `received`, by the version that they were stamped with.
  alignas(kFalseSharingRange) std::array<std::atomic<std::uint64_t>, 256> returned{};
  /// Of `filled`, by the context that they were made for.
  std::array<std::atomic<std::uint64_t>, 256> fresh{};
};
static_assert(kMaxContexts <= 256);

/// Written as said at each word; read by all manager threads.
struct FlowControl {
  std::array<RxWords, kMaxRxThreads> rx;
  std::array<ReturnWords, kMaxTxThreads> tx_returns;
  std::array<ReturnWords, kMaxRxThreads> rx_returns;
  /// Bit c: keep packets in context c's fill ring. Control thread writes (release), and changes a
  /// bit only while is_filling() says what it says: so none of its changes is missed.
  std::array<std::atomic<std::uint64_t>, kMaxContexts / 64> fill_contexts{};
  /// What of that the TX threads follow, each for its share of the contexts.
  std::array<std::atomic<std::uint64_t>, kMaxContexts / 64> filling{};
  std::uint32_t n_tx_threads = 1;  ///< constant once threads run
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

  /// A word of all threads that take packets back, added up. Acquire: pairs with their release
  /// stores; what they returned was received, stamped or filled before.
  template <typename F>
  [[nodiscard]] std::uint64_t returned(F&& word) const noexcept {
    std::uint64_t n = 0;
    for (std::uint32_t i = 0; i < n_tx_threads; ++i)
      n += word(tx_returns[i]).load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < n_rx_threads; ++i)
      n += word(rx_returns[i]).load(std::memory_order_acquire);
    return n;
  }
  /// Received packets that are not home. The returned count is read first, so that a packet can't
  /// be missing from both.
  [[nodiscard]] std::uint64_t in_flight() const noexcept {
    const std::uint64_t back =
        returned([](const ReturnWords& words) -> const auto& { return words.received; });
    std::uint64_t admitted = 0;
    for (std::uint32_t i = 0; i < n_rx_threads; ++i)
      admitted += rx[i].admitted.load(std::memory_order_acquire);
    return admitted - back;
  }
  /// Packets put into fill rings that are not home. In the same order.
  [[nodiscard]] std::uint64_t filled_out() const noexcept {
    const std::uint64_t back = filled_back();
    return returned([](const ReturnWords& words) -> const auto& { return words.given; }) - back;
  }
  [[nodiscard]] std::uint64_t filled_back() const noexcept {
    return returned([](const ReturnWords& words) -> const auto& { return words.filled; });
  }
  /// Whether a TX thread fills the context's fill ring. Once none does, what lay there is home: the
  /// context may be another NF's. Control thread.
  [[nodiscard]] bool is_filling(ContextId context) const noexcept {
    // Acquire: pairs with the TX thread's release: the ring has been emptied.
    return (filling[context.value / 64].load(std::memory_order_acquire) >> context.value % 64 &
            1) != 0;
  }
  /// Each thread that takes packets back is between two bursts. Acquire: pairs with its release
  /// store.
  [[nodiscard]] bool returns_rest() const noexcept {
    const auto rests = [](const ReturnWords& words) {
      return words.bursts.load(std::memory_order_acquire) % 2 == 0;
    };
    return std::all_of(tx_returns.begin(), tx_returns.begin() + n_tx_threads, rests) &&
           std::all_of(rx_returns.begin(), rx_returns.begin() + n_rx_threads, rests);
  }
  /// Changes with each burst of any of them.
  [[nodiscard]] std::uint64_t return_bursts() const noexcept {
    return returned([](const ReturnWords& words) -> const auto& { return words.bursts; });
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
    // Read first: as in in_flight().
    const std::uint64_t back = returned([version](const ReturnWords& words) -> const auto& {
      return words.returned[version];
    });
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
