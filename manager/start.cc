#include "manager/start.h"

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>
#include <rte_pdump.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "manager/cpu_plan.h"
#include "manager/flow_config.h"
#include "nf_lib/copy_queue.h"

namespace hb {
namespace {

constexpr std::uint32_t kPoolCache = 256;
/// Longest record that libpcap reads from a file.
constexpr std::uint32_t kMaxRecordBytes = 262144;
/// What the manager's EAL took at most: the pool's ring and caches, devices, tables.
constexpr std::uint64_t kEalHugepageBytes = 32u << 20;

/// EAL's command line.
std::vector<std::string> eal_args(const ManagerOptions& o, const std::vector<PortSpec>& specs,
                                  const CpuPlan& cpu_plan) {
  std::vector<std::string> args = {"manager",
                                   "--file-prefix=hummingbird-" + o.prefix,
                                   "--proc-type=primary",
                                   "--no-telemetry",
                                   "--log-level=*:critical",
                                   "--lcores=" + cpu_plan.lcores()};
  const std::vector<std::string> ports = port_eal_args(specs);
  args.insert(args.end(), ports.begin(), ports.end());
  return args;
}

Result<void> start_eal(const std::vector<std::string>& args, const ManagerOptions& o) {
  // EAL keeps the pointers.
  static std::vector<std::string> kept;
  kept = args;
  std::vector<char*> argv;
  for (std::string& arg : kept) argv.push_back(arg.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0) return {};
  // EAL does not say which device it was.
  std::string ports;
  for (const std::string& port : o.ports) ports += (ports.empty() ? "" : ", ") + port;
  return Error{
      fmt::format("DPDK can't be started with --port {}: {}", ports, rte_strerror(rte_errno)),
      "check the driver's name and arguments, and that the device is free"};
}

RegionDemand demand_of(const ManagerOptions& o, const HugepageMount& hugepages) {
  RegionDemand demand;
  demand.n_contexts = o.max_contexts;
  demand.n_endpoints =
      std::min(kMaxEndpoints, 1 + static_cast<std::uint32_t>(o.ports.size()) + o.max_contexts +
                                  (o.gpu == GpuChoice::kNone ? 0 : kMaxSlices * (o.n_syncers + 1)));
  demand.pool_size = o.pool_size;
  demand.page_bytes = hugepages.page_bytes;
  demand.packet_bytes = packet_part_bytes(o.pool_size, o.mbuf_bytes, hugepages.page_bytes);
  demand.n_work_groups = o.gpu == GpuChoice::kNone ? 0 : o.n_work_groups;
  demand.work_group_size = o.work_group_size;
  demand.n_copy_queues = o.gpu == GpuChoice::kNone ? 0 : kMaxSlices * o.n_syncers;
  // A copy is whole, whatever headroom the GPU NF has used up.
  demand.copy_bytes =
      (o.mbuf_bytes + RTE_PKTMBUF_HEADROOM + static_cast<std::uint32_t>(sizeof(CopyRecord)) + 63) /
      64 * 64;
  return demand;
}

/// Hugepages for the region, and for what DPDK itself takes of them.
Result<void> check_hugepages(const ManagerOptions& o, const HugepageMount& mount) {
  const std::uint64_t needed =
      plan_region(demand_of(o, mount)).total_bytes +
      (kEalHugepageBytes + mount.page_bytes - 1) / mount.page_bytes * mount.page_bytes;
  const std::uint64_t free = free_hugepages(mount.page_bytes) * mount.page_bytes;
  if (free >= needed) return {};
  return Error{
      fmt::format("{} MB of hugepages are free, {} MB are needed", free >> 20, needed >> 20),
      "reserve more with scripts/setup.sh --pages N, or use a smaller --pool"};
}

/// Packets that a port's device may keep.
std::uint64_t descriptors_of(const Port& port) {
  return std::uint64_t{port.n_rx_queues} * port.n_rx_desc +
         std::uint64_t{port.n_tx_queues} * port.n_tx_desc;
}

/// Packets that the caches of the control thread, TX and RX threads may keep.
std::uint64_t in_caches(const ManagerOptions& options) {
  return (1 + options.n_tx_threads + options.n_rx_threads) * std::uint64_t{kPoolCache} * 3 / 2;
}

/// A lossless port must never fail to get a packet: everything that can hold one must fit the pool.
Result<void> check_pool(const Platform& p, bool lossless) {
  if (!lossless) return {};
  const RegionLayout& layout = p.view.region.layout();
  std::uint64_t descriptors = 0;
  for (const Port& port : p.ports)
    if (!port.spec.lossless) descriptors += descriptors_of(port);
  const std::uint64_t caches = in_caches(p.options);
  // A captured packet that is larger than a packet of the pool takes several for a moment.
  const std::uint64_t chained =
      std::uint64_t{kMaxBurst} * (kMaxRecordBytes / p.options.mbuf_bytes + 1);
  const std::uint64_t held = std::uint64_t{p.options.n_rx_threads} * p.options.hold_queue;
  const std::uint64_t needed =
      layout.ring_size + kHeldSlots + held + descriptors + caches + chained;
  if (needed > p.options.pool_size)
    return Error{fmt::format("--pool {} is too small for file ports, which must not lose a packet",
                             p.options.pool_size),
                 fmt::format("use at least --pool {}", needed)};
  return {};
}

void fill_registry(Platform& p, bool lossless, const CpuPlan& cpu_plan) {
  Registry& registry = p.control->registry();
  registry.region = p.view.region.layout();
  registry.pool = p.pool->layout();
  registry.packet_meta_offset = packet_meta_offset;
  registry.carried_word_offset = carried_word_offset;
  registry.manager_pid = getpid();
  registry.busy_polling = p.options.busy;
  registry.lossless = lossless;
  registry.n_ports = static_cast<std::uint32_t>(p.ports.size());
  registry.n_syncers = p.options.gpu == GpuChoice::kNone ? 0 : p.options.n_syncers;
  p.region->path().copy(registry.region_path, sizeof(registry.region_path) - 1);
  publish_type_names(registry, p.types);
  for (std::uint32_t c = 0; c < kMaxContexts; ++c) registry.contexts[c].cpu = cpu_plan.cpu_of(c);
  for (std::size_t i = 0; i < p.ports.size(); ++i) {
    PortEntry& entry = registry.ports[i];
    entry.used = 1;
    entry.endpoint = 1 + static_cast<std::uint32_t>(i);
    entry.lossless = p.ports[i].spec.lossless;
    entry.dpdk_port = p.ports[i].id;
    std::memcpy(entry.mac, p.ports[i].mac.addr_bytes, sizeof(entry.mac));
    p.ports[i].spec.text.copy(entry.name, sizeof(entry.name) - 1);
  }
}

/// Both classifiers, now: at run time nothing is taken from EAL's heap.
Result<void> make_classifiers(Platform& p) {
  auto memory = FlowMemory::create(std::size_t{p.options.flow_memory_mib} << 20);
  if (!memory) return memory.error();
  p.flow_memory = std::move(*memory);
  for (auto& made : p.classifiers) {
    auto classifier = Classifier::create(p.flow_memory->socket_id(), kMaxFlowRules);
    if (!classifier) return classifier.error();
    made = std::move(*classifier);
  }
  return p.flows ? p.classifiers[p.classifier]->compile(*p.flows, p.types) : Result<void>{};
}

/// A lossless path must find room for every packet: half of what it holds is for fresh ones, the
/// other half for RX's. Without one a full ring drops, and half of the packets that no device and
/// no cache keeps are for fresh ones.
std::uint32_t fresh_bound(const Platform& p, bool lossless) {
  if (lossless) return p.view.region.layout().ring_size / 2;
  std::uint64_t kept = in_caches(p.options);
  for (const Port& port : p.ports) kept += descriptors_of(port);
  const std::uint64_t rest = p.options.pool_size > kept ? p.options.pool_size - kept : 0;
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(rest / 2, kMaxBurst));
}

void make_threads(Platform& p, bool lossless) {
  p.flow.n_rx_threads = p.options.n_rx_threads;
  p.flow.n_tx_threads = p.options.n_tx_threads;
  // Half a ring, since originated packets may fill the other; less a burst, which an NF may have
  // passed on before it gives the slots of its input ring back.
  p.flow.lossless_bound = p.view.region.layout().ring_size / 2 - 1 - kMaxBurst;
  p.flow.fresh_bound = fresh_bound(p, lossless);
  int timestamp = -1;
  std::uint64_t flag = 0;
  // Drivers that know when a packet was captured registered the field when they were opened.
  timestamp = rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, nullptr);
  if (const int bit = rte_mbuf_dynflag_lookup(RTE_MBUF_DYNFLAG_RX_TIMESTAMP_NAME, nullptr);
      bit >= 0)
    flag = std::uint64_t{1} << bit;
  for (std::uint32_t i = 0; i < p.options.n_tx_threads; ++i) {
    p.tx_threads.push_back(std::make_unique<TxThread>(TxSetup{.thread = i,
                                                              .view = p.view,
                                                              .ports = &p.ports,
                                                              .pool = p.pool.get(),
                                                              .book = p.book.get(),
                                                              .flow = &p.flow,
                                                              .busy = p.options.busy}));
  }
  for (std::uint32_t i = 0; i < p.options.n_rx_threads; ++i) {
    p.rx_threads.push_back(
        std::make_unique<RxThread>(RxSetup{.thread = i,
                                           .context = ContextId(kManagerContext.value + 1 + i),
                                           .view = p.view,
                                           .ports = &p.ports,
                                           .pool = p.pool.get(),
                                           .book = p.book.get(),
                                           .flow = &p.flow,
                                           .endpoint_service = p.endpoint_service.data(),
                                           .hold_capacity = p.options.hold_queue,
                                           .busy = p.options.busy,
                                           .overload_early = p.options.overload_early,
                                           .timestamp_offset = timestamp,
                                           .timestamp_flag = flag}));
  }
  for (const Port& port : p.ports)
    if (lossless && port.spec.lossless)
      p.n_lossless_queues += std::min<std::uint32_t>(port.n_rx_queues, p.options.n_rx_threads);
}

}  // namespace

void publish_type_names(Registry& registry, const TypeNames& types) {
  const std::uint32_t known = registry.n_types.load(std::memory_order_relaxed);
  for (std::size_t i = known; i < types.size(); ++i)
    types.name(static_cast<std::uint8_t>(i)).copy(registry.types[i], kNameBytes - 1);
  // Release: pairs with the readers' acquire loads: the names are there.
  registry.n_types.store(static_cast<std::uint32_t>(types.size()), std::memory_order_release);
}

Result<void> make_platform(Platform& p) {
  const ManagerOptions& o = p.options;
  const Result<std::vector<PortSpec>> specs = parse_port_specs(o.ports, o.mbuf_bytes);
  if (!specs) return specs.error();
  const bool lossless = std::ranges::any_of(*specs, &PortSpec::lossless);
  if (o.exit_when_drained && !lossless)
    return Error{"--exit-when-drained: no port reads a file that could end",
                 "add --port pcap:rx=FILE, or leave the option out"};
  if (!o.routes.empty()) {
    auto routes = load_route_config(o.routes, static_cast<unsigned>(specs->size()));
    if (!routes) return routes.error();
    for (const std::string& name : routes->unreachable)
      spdlog::warn("{}: '{}' can't be reached from rx", o.routes, name);
    if (const std::size_t n = routes->services.size() + routes->unreachable.size();
        n > kMaxServices)
      return Error{fmt::format("{}: {} services are named, {} can be", o.routes, n, kMaxServices),
                   "name fewer"};
    p.routes = std::move(*routes);
  }
  if (!o.flows.empty()) {
    auto loaded = load_flow_config(o.flows);
    if (!loaded) return loaded.error();
    p.flows = std::move(*loaded);
  }
  if (const auto interned =
          p.types.intern_all(p.flows ? &*p.flows : nullptr, p.routes ? &*p.routes : nullptr);
      !interned)
    return interned.error();
  if (!o.stats_path.empty()) {
    const std::filesystem::path parent = std::filesystem::absolute(o.stats_path).parent_path();
    if (access(parent.c_str(), W_OK) != 0 || std::filesystem::is_directory(o.stats_path))
      return Error{fmt::format("--stats '{}' can't be written", o.stats_path),
                   "name a file in a folder that exists"};
  }
  const Result<CpuPlan> cpu_plan = CpuPlan::make(o, *specs);
  if (!cpu_plan) return cpu_plan.error();
  const Result<HugepageMount> hugepages = find_hugepages();
  if (!hugepages) return hugepages.error();

  if (const Result<void> enough = check_hugepages(o, *hugepages); !enough) return enough;

  auto control = ControlArea::create(o.prefix, hugepages->directory);
  if (!control) return control.error();
  p.control = std::move(*control);
  if (const Result<void> started = start_eal(eal_args(o, *specs, *cpu_plan), o); !started)
    return started;
  packet_meta_offset = rte_mbuf_dynfield_register(&kPacketMetaField);
  carried_word_offset = rte_mbuf_dynfield_register(&kCarriedWordField);
  if (packet_meta_offset < 0 || carried_word_offset < 0)
    return Error{"no room in the mbuf for the packet's metadata",
                 "use fewer drivers with fields of their own"};
  if (const Result<void> made = make_classifiers(p); !made) return made;
  auto region =
      Region::create(p.control->region_path(), demand_of(o, *hugepages), node_of_ports(*specs));
  if (!region) return region.error();
  p.region = std::move(*region);
  auto pool = PacketPool::create(p.region->view(), o.pool_size, o.mbuf_bytes, kPoolCache);
  if (!pool) return pool.error();
  p.pool = std::move(*pool);
  p.book = std::make_unique<PacketBook>(o.pool_size);
  p.endpoint_service = p.control->registry().endpoint_service;
  for (auto& service : p.endpoint_service) service.store(kMaxServices, std::memory_order_relaxed);
  PortOptions port_options;
  port_options.n_rx_queues = static_cast<std::uint16_t>(o.n_rx_threads);
  port_options.n_tx_queues = static_cast<std::uint16_t>(o.n_tx_threads);
  port_options.max_packet_bytes = o.mbuf_bytes;
  port_options.pool = p.pool->mempool();
  port_options.packets = p.pool.get();
  auto ports = open_ports(*specs, port_options);
  if (!ports) return ports.error();
  p.ports = std::move(*ports);
  p.view = PlatformView{.region = p.region->view(),
                        .registry = &p.control->registry(),
                        .routes = &p.control->routes(),
                        .check = PacketCheck(p.region->view().layout(), p.pool->layout())};
  if (const Result<void> fits = check_pool(p, lossless); !fits) return fits;
  fill_registry(p, lossless, *cpu_plan);
  p.totals = std::make_unique<RingTotals>(p.view.region);
  make_threads(p, lossless);
  if (rte_pdump_init() != 0) spdlog::warn("packets can't be captured by DPDK's tools");
  return {};
}

void unmake_platform(Platform& p) {
  rte_pdump_uninit();
  for (auto& classifier : p.classifiers) classifier.reset();
  p.flow_memory.reset();
  p.pool.reset();
  rte_eal_cleanup();
  p.region.reset();
}

}  // namespace hb
