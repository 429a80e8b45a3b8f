// An RX thread: takes packets from its queue of every port, says what they are, sends them off.
#pragma once

#include <cstdint>
#include <vector>

#include "manager/classifier.h"
#include "manager/flow_control.h"
#include "manager/packet_book.h"
#include "manager/ports.h"
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
  const Classifier* classifier = nullptr;  ///< null without --flows: every packet is of type 0
  PacketBook* book = nullptr;
  FlowControl* flow = nullptr;
  const std::uint8_t* endpoint_service = nullptr;
  bool busy = false;
  int timestamp_offset = -1;  ///< of the drivers' receive time, -1 if none registered one
  std::uint64_t timestamp_flag = 0;
};

class RxThread {
 public:
  explicit RxThread(const RxSetup& setup);

  /// Until FlowControl::quit. Runs on its own lcore.
  void run() noexcept;

  /// By port number.
  [[nodiscard]] const RxPortCounters& counters(std::size_t port) const { return counters_[port]; }

 private:
  bool poll_port(std::size_t port) noexcept;
  [[nodiscard]] bool at_end_of_file(std::size_t port) noexcept;
  [[nodiscard]] bool may_receive(const Port& port) const noexcept;
  void admit(std::size_t port, rte_mbuf** burst, std::uint32_t n) noexcept;

  RxSetup setup_;
  RouteReader routes_;
  Ledger ledger_;  ///< nobody recovers an RX thread: when it dies the platform does
  Publisher publisher_;
  Idle idle_;
  std::vector<RxPortCounters> counters_;
  std::vector<bool> ended_;
};

}  // namespace hb
