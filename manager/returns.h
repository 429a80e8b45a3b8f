// Packets that come back to the manager: out of the rings to ports and to the reclaimer, through
// the book, into the pool. Each thread that takes packets back has one.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "manager/drop_counters.h"
#include "manager/flow_control.h"
#include "manager/packet_book.h"
#include "manager/packet_pool.h"
#include "manager/ring_check.h"
#include "nf_lib/packet_meta.h"
#include "nf_lib/platform_view.h"
#include "nf_lib/ring.h"

namespace hb {

/// Around each burst of a thread that takes packets back, or gives fresh ones out.
class ReturnBurst {
 public:
  explicit ReturnBurst(ReturnWords& words) noexcept : bursts_(words.bursts) {
    bursts_.store(bursts_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    // Pairs with the audit's fence: who sees anything of the burst sees the odd count.
    std::atomic_thread_fence(std::memory_order_release);
  }
  // Release: pairs with FlowControl::returns_rest(): with an even count all of the burst is seen.
  ~ReturnBurst() {
    bursts_.store(bursts_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  ReturnBurst(const ReturnBurst&) = delete;
  ReturnBurst& operator=(const ReturnBurst&) = delete;

 private:
  std::atomic<std::uint64_t>& bursts_;
};

/// Contexts whose rings a thread empties: each ring has one consumer.
struct ContextShare {
  std::uint32_t thread = 0;
  std::uint32_t n_threads = 1;
  [[nodiscard]] bool has(ContextId context) const noexcept {
    return context.value % n_threads == thread;
  }
};

/// One thread's.
class Returns {
 public:
  /// All outlive this. `words` and `drops` are this thread's to write.
  Returns(const PlatformView& view, const PacketPool* pool, PacketBook* book, FlowControl* flow,
          ReturnWords& words, DropCounters& drops)
      : view_(view), pool_(pool), book_(book), flow_(flow), words_(words), drops_(drops) {}

  /// What becomes of the headers of packets that are taken.
  enum class Headers {
    kRebuilt,  ///< a driver, or a cache of the pool, is to believe them
    kLeft,     ///< nobody is: so lines that others have written are not written as well
  };

  /// Takes a burst from each of the share's rings to an endpoint.
  /// @param handle  gets the packets that are really packets and out: (rte_mbuf**, n)
  /// @return true if there were any
  template <typename F>
  bool drain_endpoint(std::uint32_t endpoint, ContextShare share, Headers headers,
                      F&& handle) noexcept {
    bool worked = false;
    const EndpointEntry& entry = view_.registry->endpoints[endpoint];
    const RegionView& region = view_.region;
    for (std::uint32_t word = 0; word < kMaxContexts / 64; ++word) {
      // Acquire: pairs with the control thread's release store when it lets a context produce.
      std::uint64_t active = entry.producers[word].load(std::memory_order_acquire);
      for (; active != 0; active &= active - 1) {
        const ContextId from(word * 64 + static_cast<std::uint32_t>(std::countr_zero(active)));
        if (!share.has(from)) continue;
        const RingId id = region.ring_id(EndpointId(endpoint), from);
        rte_ring* const ring = region.ring(id);
        // An NF can write here; a ring that it broke is left alone, the manager goes on.
        if (!has_packets(ring) || !ring_is_usable(ring, region.planned_size(id))) continue;
        const Window window = peek(ring, region.planned_size(id));
        if (window.n == 0) continue;
        std::array<rte_mbuf*, kMaxBurst> packets;
        const ReturnBurst burst(words_);
        const Taken taken = take(window, region.planned_size(id), headers, packets.data());
        commit(ring, window);
        handle(packets.data(), taken.n());
        count(taken);
        add(words_.filled, taken.filled);
        worked = true;
      }
    }
    return worked;
  }

  /// Takes dropped packets back, and counts why.
  bool reclaim(ContextShare share) noexcept;

  /// What a burst's packets were, to be counted once they have gone where they go: who sees the
  /// count may send packets that must not overtake them.
  struct Taken {
    std::uint32_t received = 0;
    std::uint32_t filled = 0;
    std::array<BookEntry, kMaxBurst> was;  ///< was[received + filled]
    [[nodiscard]] std::uint32_t n() const noexcept { return received + filled; }
  };

  /// Copies the window's packets that are really packets and out; the rest is counted and left.
  /// @param size  of the ring, as planned
  Taken take(const Window& window, std::uint32_t size, Headers headers, rte_mbuf** out) noexcept;
  /// All but ReturnWords::filled and given.
  void count(const Taken& taken) noexcept;
  /// Release: pairs with FlowControl::returned(): what is counted here has been counted as
  /// received, stamped or given.
  static void add(std::atomic<std::uint64_t>& word, std::uint64_t n) noexcept {
    if (n != 0) word.store(word.load(std::memory_order_relaxed) + n, std::memory_order_release);
  }

  /// Into the pool.
  void give_back(rte_mbuf** packets, std::uint32_t n) noexcept;

 private:
  void count_drop(const PacketMeta& meta) noexcept;

  PlatformView view_;
  const PacketPool* pool_;
  PacketBook* book_;
  FlowControl* flow_;
  ReturnWords& words_;
  DropCounters& drops_;
};

}  // namespace hb
