// What a packet costs the manager's own threads: gen: -> RX thread -> ring -> TX thread -> gen:,
// the two threads in turn, a kilopacket each, so that every packet's lines were last written by the
// other core. Needs hugepages and two CPUs.
//   port_bench [--quick] [--port SPEC]
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_mbuf_dyn.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "manager/packet_pool.h"
#include "manager/route_tables.h"
#include "manager/rx_thread.h"
#include "manager/tx_thread.h"

namespace hb::bench {
namespace {

constexpr std::uint32_t kPoolCache = 256;
constexpr std::uint32_t kDataRoom = 2048;
constexpr std::uint32_t kBurstsInTurn = 16;
constexpr ContextId kRxContext{1};

struct Options {
  std::uint32_t turns = 4000;
  std::string port = "gen:size=64,flows=1000";
};

[[noreturn]] void fail(const Error& error) {
  std::fprintf(stderr, "%s: %s\n", error.what.c_str(), error.fix.c_str());
  std::exit(1);
}

/// A manager's data path, without a control thread.
struct World {
  std::unique_ptr<Region> region;
  std::unique_ptr<PacketPool> pool;
  std::unique_ptr<PacketBook> book;
  std::unique_ptr<Registry> registry = std::make_unique<Registry>();
  std::unique_ptr<RouteTables> routes = std::make_unique<RouteTables>();
  std::vector<Port> ports;
  FlowControl flow;
  std::unique_ptr<RxThread> rx;
  std::unique_ptr<TxThread> tx;

  World(const HugepageMount& hugepages, const std::vector<PortSpec>& specs) {
    RegionDemand demand;
    demand.n_work_groups = 0;
    demand.page_bytes = hugepages.page_bytes;
    demand.packet_bytes = packet_part_bytes(demand.pool_size, kDataRoom, demand.page_bytes);
    auto made =
        Region::create(hugepages.directory + "/port_bench." + std::to_string(getpid()), demand, -1);
    if (!made) fail(made.error());
    region = std::move(*made);
    auto packets = PacketPool::create(region->view(), demand.pool_size, kDataRoom, kPoolCache);
    if (!packets) fail(packets.error());
    pool = std::move(*packets);
    book = std::make_unique<PacketBook>(demand.pool_size);
    PortOptions options;
    options.pool = pool->mempool();
    options.packets = pool.get();
    auto opened = open_ports(specs, options);
    if (!opened) fail(opened.error());
    ports = std::move(*opened);
    registry->n_ports = 1;
    registry->ports[0].endpoint = 1;
    registry->endpoints[1].producers[0] = 1u << kRxContext.value;
    auto table = std::make_unique<RouteTable>();
    table->port_endpoint[0] = 1;
    for (auto& row : table->next) row[kRxRow] = make_hop(HopKind::kPort, 0);
    publish_routes(*routes, 0, *table);
    flow.plans[0].paused = false;
    const PlatformView view{.region = region->view(),
                            .registry = registry.get(),
                            .routes = routes.get(),
                            .check = PacketCheck(region->view().layout(), pool->layout())};
    rx = std::make_unique<RxThread>(RxSetup{.context = kRxContext,
                                            .view = view,
                                            .ports = &ports,
                                            .pool = pool.get(),
                                            .book = book.get(),
                                            .flow = &flow});
    tx = std::make_unique<TxThread>(TxSetup{
        .view = view, .ports = &ports, .pool = pool.get(), .book = book.get(), .flow = &flow});
  }
  /// @return whether all packets are home
  [[nodiscard]] bool close() {
    rx.reset();
    tx.reset();
    static_cast<void>(close_ports(ports));
    return pool->n_free() == pool->layout().size;
  }
};

/// Two threads take turns; each says how many cycles its turn took a packet.
class Turns {
 public:
  Turns(std::uint32_t n, std::uint32_t packets) : n_(n), packets_(packets) {}

  template <typename F>
  void take(std::uint32_t who, F&& work) {
    for (std::uint32_t turn = who; turn < 2 * n_; turn += 2) {
      while (turn_.load(std::memory_order_acquire) != turn) sched_yield();
      const std::uint64_t start = rte_rdtsc_precise();
      work();
      cycles_[who].push_back(static_cast<double>(rte_rdtsc_precise() - start) / packets_);
      turn_.store(turn + 1, std::memory_order_release);
    }
  }
  void print(const char* name, std::uint32_t who) {
    std::vector<double>& all = cycles_[who];
    all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 4));  // warm-up
    std::ranges::sort(all);
    const double ns = 1e9 / static_cast<double>(rte_get_tsc_hz());
    const auto at = [&](double part) {
      return all[static_cast<std::size_t>(part * static_cast<double>(all.size() - 1))] * ns;
    };
    std::printf("%-4s %6.1f ns a packet  [%5.1f .. %5.1f]  %5.1f Mpps\n", name, at(0.5), at(0.25),
                at(0.75), 1e3 / at(0.5));
  }

 private:
  const std::uint32_t n_, packets_;
  std::atomic<std::uint32_t> turn_{0};
  std::vector<double> cycles_[2];
};

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

int run(const Options& options) {
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof(allowed), &allowed);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  const Result<HugepageMount> hugepages = find_hugepages();
  if (cpus.size() < 2 || !hugepages || free_hugepages(hugepages->page_bytes) < 128) {
    std::printf("skipped: this needs two CPUs and 256 MB of hugepages\n");
    return 0;
  }
  const auto specs = parse_port_specs({options.port}, kDataRoom);
  if (!specs) fail(specs.error());
  std::vector<std::string> args = {"port_bench", "--in-memory", "--no-telemetry",
                                   "--log-level=*:critical",
                                   "--lcores=0@" + std::to_string(cpus[0])};
  const std::vector<std::string> devices = port_eal_args(*specs);
  args.insert(args.end(), devices.begin(), devices.end());
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
    std::fprintf(stderr, "EAL does not start\n");
    return 1;
  }
  packet_meta_offset = rte_mbuf_dynfield_register(&kPacketMetaField);
  carried_word_offset = rte_mbuf_dynfield_register(&kCarriedWordField);
  {
    World world(*hugepages, *specs);
    constexpr std::uint32_t kPackets = kBurstsInTurn * kMaxBurst;
    Turns turns(options.turns, kPackets);
    std::jthread sender([&] {
      pin(cpus[1]);
      rte_thread_register();
      std::uint64_t wanted = 0;
      turns.take(1, [&] {
        wanted += kPackets;
        while (world.tx->counters(0).packets.load(std::memory_order_relaxed) < wanted)
          world.tx->poll_once();
      });
      rte_thread_unregister();
    });
    turns.take(0, [&] {
      for (std::uint32_t i = 0; i < kBurstsInTurn; ++i) world.rx->poll_once();
    });
    sender.join();
    std::printf("%s, CPUs %d and %d\n", options.port.c_str(), cpus[0], cpus[1]);
    turns.print("RX", 0);
    turns.print("TX", 1);
    if (!world.close()) {
      std::printf("packets are missing from the pool\n");
      return 1;
    }
  }
  rte_eal_cleanup();
  return 0;
}

}  // namespace
}  // namespace hb::bench

int main(int argc, char** argv) {
  hb::bench::Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) {
      options.turns = 40;
    } else if (std::strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
      options.port = argv[++i];
    } else {
      std::fprintf(stderr, "Usage: %s [--quick] [--port SPEC]   SPEC: a gen: or null port\n",
                   argv[0]);
      return 2;
    }
  }
  return hb::bench::run(options);
}
