// The TX thread: sends what reaches the ports' TX endpoints, takes back what reaches the reclaimer,
// keeps packets in fill rings. It frees what others have had; RX threads free what they drop
// themselves.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "manager/drop_counters.h"
#include "manager/flow_control.h"
#include "manager/packet_book.h"
#include "manager/packet_pool.h"
#include "manager/ports.h"
#include "nf_lib/idle.h"
#include "nf_lib/packet_meta.h"
#include "nf_lib/platform_view.h"
#include "nf_lib/ring.h"

namespace hb {

struct alignas(kFalseSharingRange) TxPortCounters {
  std::atomic<std::uint64_t> packets{0};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> dropped{0};  ///< the device did not take them
};

struct TxSetup {
  PlatformView view;
  const std::vector<Port>* ports = nullptr;
  const PacketPool* pool = nullptr;
  PacketBook* book = nullptr;
  FlowControl* flow = nullptr;
  bool busy = false;
};

class TxThread {
 public:
  explicit TxThread(const TxSetup& setup);

  /// Until FlowControl::quit and nothing is left in its rings. Runs on its own lcore.
  void run() noexcept;

  [[nodiscard]] const TxPortCounters& counters(std::size_t port) const { return counters_[port]; }
  [[nodiscard]] const DropCounters& drops() const noexcept { return drops_; }

  /// Bit c: keep packets in context c's fill ring. Control thread writes (release), and changes a
  /// bit only while filling() says what it says: so none of its changes is missed.
  std::array<std::atomic<std::uint64_t>, kMaxContexts / 64> fill_contexts{};

  /// Whether the fill ring is this thread's to fill. Once it is not, what lay there is home: the
  /// context may be another NF's. Control thread.
  [[nodiscard]] bool filling(ContextId context) const noexcept {
    // Acquire: pairs with the release store in poll_once(): the ring has been emptied.
    return (filling_[context.value / 64].load(std::memory_order_acquire) >> context.value % 64 &
            1) != 0;
  }

  /// Returns what lies in the fill rings to the pool. After run() has ended.
  void empty_fill_rings() noexcept;

 private:
  bool poll_once() noexcept;
  struct Taken {
    std::uint32_t n = 0;      ///< packets
    std::uint32_t fresh = 0;  ///< of them by way of a fill ring, to be counted by the caller
  };
  /// Copies the window's packets that are really packets and out; the rest is counted and left.
  Taken take(const Window& window, rte_mbuf** out) noexcept;
  void send(std::size_t port, rte_mbuf** packets, std::uint32_t n) noexcept;
  void reclaim(rte_mbuf** packets, std::uint32_t n) noexcept;
  void count_drop(const PacketMeta& meta) noexcept;
  void give_back(rte_mbuf** packets, std::uint32_t n) noexcept;
  /// The context has been given to an NF.
  void begin_filling(ContextId context) noexcept;
  /// It has been given back, and its process is dead: so is what waited for it there.
  void empty_fill_ring(ContextId context) noexcept;
  bool fill(ContextId context) noexcept;
  [[nodiscard]] std::uint32_t n_to_fill(ContextId context, const rte_ring* ring,
                                        std::uint32_t size) noexcept;
  template <typename F>
  bool drain_endpoint(std::uint32_t endpoint, F&& handle) noexcept;

  /// What a context has of fresh packets.
  struct Fresh {
    std::uint32_t out = 0;         ///< of the pool: in its fill ring, or not yet home
    std::uint32_t first_tail = 0;  ///< of its fill ring's consumer, when the context was given away
    bool originates = false;       ///< it has taken some
  };

  TxSetup setup_;
  Idle idle_;
  std::array<std::atomic<std::uint64_t>, kMaxContexts / 64>
      filling_{};  ///< fill_contexts as last seen
  std::array<Fresh, kMaxContexts> fresh_;
  std::vector<TxPortCounters> counters_;
  DropCounters drops_;
};

}  // namespace hb
