// A TX thread: sends what its share of the contexts has for ports, keeps packets in their fill
// rings.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "manager/ports.h"
#include "manager/returns.h"
#include "nf_lib/idle.h"

namespace hb {

struct alignas(kFalseSharingRange) TxPortCounters {
  std::atomic<std::uint64_t> packets{0};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> dropped{0};  ///< the device did not take them
};

struct TxSetup {
  std::uint32_t thread = 0;  ///< number of the thread, its queue on every port that has so many
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
  /// One pass over its rings.
  /// @return true if there was anything to do
  bool poll_once() noexcept;

  [[nodiscard]] const TxPortCounters& counters(std::size_t port) const { return counters_[port]; }
  [[nodiscard]] const DropCounters& drops() const noexcept { return drops_; }

  /// Returns what lies in the share's fill rings to the pool. After run() has ended.
  void empty_fill_rings() noexcept;

 private:
  void send(std::size_t port, rte_mbuf** packets, std::uint32_t n) noexcept;
  /// The context has been given to an NF.
  void begin_filling(ContextId context) noexcept;
  void empty_fill_ring(ContextId context) noexcept;
  void follow(std::uint32_t word, std::uint64_t wanted) noexcept;
  bool fill(ContextId context) noexcept;
  [[nodiscard]] std::uint32_t n_to_fill(ContextId context, const rte_ring* ring,
                                        std::uint32_t size) noexcept;
  [[nodiscard]] std::uint64_t fresh_out(ContextId context) const noexcept;

  /// What a context has of fresh packets.
  struct Fresh {
    std::uint64_t filled = 0;      ///< that were ever put into its fill ring
    std::uint32_t first_tail = 0;  ///< of its fill ring's consumer, when the context was given away
    bool originates = false;       ///< it has taken some
  };

  TxSetup setup_;
  Idle idle_;
  ReturnWords& words_;
  std::array<std::uint64_t, kMaxContexts / 64>
      filling_{};  ///< the share's fill_contexts, last seen
  std::array<Fresh, kMaxContexts> fresh_;
  std::vector<TxPortCounters> counters_;
  DropCounters drops_;
  Returns returns_;
  ContextShare own_;  ///< contexts whose fill rings are this thread's
  std::array<std::uint64_t, kMaxContexts / 64> own_bits_{};
};

}  // namespace hb
