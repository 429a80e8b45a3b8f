// An RX thread: takes packets from its queue of every port, says what they are, sends them off or
// holds them back while routes change; frees what it drops, and what others have dropped. So under
// overload those who bring packets in have less time for it, and the TX thread none the less.
#pragma once

#include <cstdint>
#include <vector>

#include "manager/classifier.h"
#include "manager/congestion.h"
#include "manager/drop_counters.h"
#include "manager/flow_control.h"
#include "manager/hold_queue.h"
#include "manager/packet_book.h"
#include "manager/packet_pool.h"
#include "manager/ports.h"
#include "manager/returns.h"
#include "nf_lib/idle.h"
#include "nf_lib/platform_view.h"
#include "nf_lib/publisher.h"

namespace hb {

/// What a port has brought in; written by one RX thread for its queue.
struct alignas(kFalseSharingRange) RxPortCounters {
  std::atomic<std::uint64_t> packets{0};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> unreadable{0};  ///< records of a file that the driver refused
};

struct RxSetup {
  std::uint32_t thread = 0;  ///< number of the thread, its queue on every port that has so many
  ContextId context;
  PlatformView view;
  const std::vector<Port>* ports = nullptr;
  const PacketPool* pool = nullptr;
  PacketBook* book = nullptr;
  FlowControl* flow = nullptr;
  const std::atomic<std::uint8_t>* endpoint_service = nullptr;
  std::uint32_t hold_capacity = 1024;  ///< packets of the hold queue
  bool busy = false;
  bool overload_early = false;
  int timestamp_offset = -1;  ///< of the drivers' receive time, -1 if none registered one
  std::uint64_t timestamp_flag = 0;
};

class RxThread {
 public:
  explicit RxThread(const RxSetup& setup);

  /// Until FlowControl::quit and nothing is left in its rings to the reclaimer. Runs on its own
  /// lcore.
  void run() noexcept;
  /// One pass over its rings and ports.
  /// @return true if there was anything to do
  bool poll_once() noexcept;

  /// By port number.
  [[nodiscard]] const RxPortCounters& counters(std::size_t port) const { return counters_[port]; }
  [[nodiscard]] const DropCounters& drops() const noexcept { return drops_; }
  /// Packets that were ever held, by type.
  [[nodiscard]] std::uint64_t held(std::uint32_t type) const noexcept {
    return held_[type].load(std::memory_order_relaxed);
  }
  /// For the control thread, while RX is paused or this thread has ended.
  [[nodiscard]] const HoldQueue& hold_queue() const noexcept { return hold_; }

 private:
  bool poll_port(std::size_t port) noexcept;
  [[nodiscard]] bool at_end_of_file(std::size_t port) noexcept;
  [[nodiscard]] bool within_bound() const noexcept;
  [[nodiscard]] bool may_receive(const Port& port) const noexcept;
  void admit(std::size_t port, rte_mbuf** burst, std::uint32_t n) noexcept;
  std::uint64_t classify(rte_mbuf* const* burst, std::uint32_t n, std::uint8_t* types,
                         std::uint32_t* hashes) const noexcept;
  std::uint64_t take_from_driver(rte_mbuf* const* burst, std::uint32_t n) const noexcept;
  [[nodiscard]] std::uint64_t choose_held(const std::uint8_t* types, std::uint32_t n,
                                          std::uint64_t moved_flows) const noexcept;
  void hold(rte_mbuf* const* burst, const std::uint8_t* types, std::uint64_t which) noexcept;
  bool release() noexcept;
  std::uint32_t n_to_release(rte_mbuf** packets, Destination* to) noexcept;
  void send(rte_mbuf* const* packets, const Destination* to, std::uint64_t live) noexcept;
  void drop(rte_mbuf* const* packets, std::uint64_t which) noexcept;
  void drop_held() noexcept;

  RxSetup setup_;
  RouteReader routes_;
  Ledger ledger_;  ///< nobody recovers an RX thread: when it dies the platform does
  Publisher publisher_;
  Idle idle_;
  std::vector<RxPortCounters> counters_;
  std::vector<bool> ended_;
  RxWords& words_;
  ContextShare share_;  ///< contexts whose rings to the reclaimer are this thread's
  DropCounters drops_;
  Returns returns_;

  const RxPlan* plan_ = nullptr;  ///< the current one, from one burst to the next
  HoldQueue hold_;
  std::uint64_t held_types_ = 0;  ///< bit t: a packet of type t may be in the hold queue
  std::uint32_t paced_ = 0;       ///< packets yet to be released only as there is room for them
  std::uint64_t stalled_since_ns_ = 0;  ///< when the release found no room; 0: it gets on
  std::array<std::atomic<std::uint64_t>, kMaxTypes> held_{};
  CongestionWatch congestion_;
};

}  // namespace hb
