// Everything the manager owns, in the order in which it is made and against which it is taken down.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "manager/classifier.h"
#include "manager/control_area.h"
#include "manager/flow_control.h"
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

struct Platform {
  ManagerOptions options;
  std::optional<RouteConfig> routes;
  TypeNames types;
  std::unique_ptr<Classifier> classifier;
  std::unique_ptr<ControlArea> control;
  std::unique_ptr<Region> region;
  std::unique_ptr<PacketPool> pool;
  std::unique_ptr<PacketBook> book;
  std::vector<Port> ports;
  PlatformView view;
  FlowControl flow;
  std::vector<std::unique_ptr<RxThread>> rx_threads;
  std::unique_ptr<TxThread> tx_thread;
  std::unique_ptr<RingTotals> totals;
  std::vector<std::unique_ptr<Service>> services;    ///< by id
  std::vector<std::unique_ptr<Instance>> instances;  ///< by id
  /// Which service an endpoint belongs to, for ring_full; kMaxServices for the rest.
  std::array<std::uint8_t, kMaxEndpoints> endpoint_service{};
  GpuStatus gpu;
  std::vector<SyncerContext> syncers;   ///< of the gpu_host that lives
  std::uint32_t n_lossless_queues = 0;  ///< (port, queue) pairs that end
};

}  // namespace hb
