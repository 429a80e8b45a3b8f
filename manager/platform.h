// Everything the manager owns, in the order in which it is made and against which it is taken down.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "manager/classifier.h"
#include "manager/control_area.h"
#include "manager/flow_config.h"
#include "manager/flow_control.h"
#include "manager/flow_memory.h"
#include "manager/options.h"
#include "manager/packet_book.h"
#include "manager/packet_pool.h"
#include "manager/ports.h"
#include "manager/ring_totals.h"
#include "manager/route_config.h"
#include "manager/rx_thread.h"
#include "manager/service.h"
#include "manager/tx_thread.h"
#include "nf_lib/platform_view.h"

namespace hb {

/// Context 0 is the control thread's: recovery publishes with it.
inline constexpr ContextId kManagerContext{0};

/// A CPUSyncer thread's place in the platform.
struct SyncerContext {
  ContextId context;
  std::unique_ptr<ContextFile> page;
};

struct GpuStatus {
  enum class State { kNone, kStarting, kReady, kStopped, kFailed } state = State::kNone;
  std::string backend, device, memory_mode, why;
};

/// What became of the last change of routes or flows.
struct SwitchReport {
  std::uint64_t number = 0;  ///< 0: there was none
  std::uint8_t version = 0;
  std::uint64_t affected = 0;  ///< bit t: packets of type t were held
  bool flows_changed = false;  ///< packets of flows that got another type were held as well
  std::array<std::uint64_t, kMaxTypes> held{};  ///< packets held, by type
  std::uint64_t hold_us = 0;   ///< from the switch until the first held packet could go
  std::uint64_t total_us = 0;  ///< from the switch until none was held any more
};

struct Platform {
  ManagerOptions options;
  std::optional<RouteConfig> routes;
  std::optional<FlowConfig> flows;
  TypeNames types;
  std::unique_ptr<FlowMemory> flow_memory;
  /// One in use, the other for the next reload of flows.
  std::array<std::unique_ptr<Classifier>, 2> classifiers;
  std::uint32_t classifier = 0;  ///< which one is in use, if `flows`
  SwitchReport last_switch;
  std::uint64_t longest_hold_us = 0;
  std::unique_ptr<ControlArea> control;
  std::unique_ptr<Region> region;
  std::unique_ptr<PacketPool> pool;
  std::unique_ptr<PacketBook> book;
  std::vector<Port> ports;
  PlatformView view;
  FlowControl flow;
  std::vector<std::unique_ptr<RxThread>> rx_threads;
  std::vector<std::unique_ptr<TxThread>> tx_threads;
  std::unique_ptr<RingTotals> totals;
  std::vector<std::unique_ptr<Service>> services;    ///< by id
  std::vector<std::unique_ptr<Instance>> instances;  ///< by id
  /// Which service an endpoint belongs to, for ring_full: the registry's, once there is one.
  std::span<std::atomic<std::uint8_t>> endpoint_service;
  GpuStatus gpu;
  std::vector<SyncerContext> syncers;   ///< of the gpu_host that lives
  std::uint32_t n_lossless_queues = 0;  ///< (port, queue) pairs that end
};

}  // namespace hb
