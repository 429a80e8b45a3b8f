// What it costs that a hop survives crashes: an NF loop that does nothing (peek, ledger, publish,
// commit, route look-up, pointer checks) against a bare dequeue and enqueue of the same rings.
//   hop_bench [--quick]
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "nf_lib/burst_loop.h"
#include "tests/unit/small_platform.h"

namespace hb::bench {
namespace {

using test::SmallPlatform;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kPackets = 1023;

class NothingNf final : public NetworkFunction {
 public:
  void process_burst(std::span<rte_mbuf* const>, std::span<Verdict> verdicts) noexcept override {
    for (Verdict& verdict : verdicts) verdict = Verdict::next();
  }
};

/// One NF's input and output ring, and what passes packets from one to the other.
struct Lane {
  SmallPlatform world{{.n_packets = kPackets, .ring_size = 1024, .fill_size = 16}};
  rte_ring* in = world.ring(SmallPlatform::kNfEndpoint, SmallPlatform::kProducer);
  rte_ring* out = world.ring(SmallPlatform::port(0), SmallPlatform::kNf);
  BurstLoop loop{world.view,
                 world.page(),
                 SmallPlatform::kNf,
                 SmallPlatform::kNfEndpoint,
                 SmallPlatform::kService,
                 SmallPlatform::kInstance};
  Publisher publisher{world.view.region, SmallPlatform::kNf, &world.page()->ledger};
  NothingNf nf;
  std::array<rte_mbuf*, kPackets> packets;

  Lane() {
    for (std::uint32_t i = 0; i < kPackets; ++i) packets[i] = world.packet(i);
    world.registry->endpoints[SmallPlatform::kNfEndpoint.value].producers[0] =
        1u << SmallPlatform::kProducer.value;
  }
};

unsigned take(rte_ring* ring, rte_mbuf** packets, unsigned n) {
  return rte_ring_sc_dequeue_burst(ring, reinterpret_cast<void**>(packets), n, nullptr);
}
unsigned give(rte_ring* ring, rte_mbuf* const* packets, unsigned n) {
  return rte_ring_sp_enqueue_burst(ring, reinterpret_cast<void* const*>(packets), n, nullptr);
}

// --- the two sides of each comparison; the baseline twice, for A/A
// --------------------------------
using Step = void (*)(Lane&);
using Publish = void (*)(Lane&, rte_mbuf* const*, unsigned);

template <int Copy>
[[gnu::noinline]] void bare_hop(Lane& lane) {
  rte_mbuf* packets[kMaxBurst];
  const unsigned n = take(lane.in, packets, kMaxBurst);
  if (n != 0) give(lane.out, packets, n);
}
[[gnu::noinline]] void nf_hop(Lane& lane) { lane.loop.poll(lane.nf); }

template <int Copy>
[[gnu::noinline]] void bare_publish(Lane& lane, rte_mbuf* const* packets, unsigned n) {
  give(lane.out, packets, n);
}
[[gnu::noinline]] void ledger_publish(Lane& lane, rte_mbuf* const* packets, unsigned n) {
  std::array<Destination, kMaxBurst> to;
  to.fill(static_cast<Destination>(SmallPlatform::port(0).value));
  lane.publisher.publish_burst(Place::ring(4), 0, packets, to.data(),
                               n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1);
}

// --- timing
// ---------------------------------------------------------------------------------------
struct Effort {
  int pairs = 21;
  std::uint32_t packets = 400'000;  ///< each timing
  std::chrono::milliseconds warm_up{2000};
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Times both in turn and prints how much faster the candidate is.
void report_ratio(const char* name, const Effort& effort, const std::function<double()>& baseline,
                  const std::function<double()>& candidate) {
  std::vector<double> ratios, base_ns, candidate_ns;
  for (int pair = 0; pair < effort.pairs; ++pair) {
    double a = 0, b = 0;
    if (pair % 2 == 0) a = baseline();
    b = candidate();
    if (pair % 2 != 0) a = baseline();
    ratios.push_back(a / b);
    base_ns.push_back(a * 1e9 / effort.packets);
    candidate_ns.push_back(b * 1e9 / effort.packets);
  }
  const auto at = [](std::vector<double>& values, double part) {
    std::ranges::sort(values);
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
  };
  std::printf("%-44s %5.2fx  [%4.2f .. %4.2f]  %d pairs   %6.1f -> %6.1f ns a packet\n", name,
              at(ratios, 0.5), at(ratios, 0.25), at(ratios, 0.75), effort.pairs, at(base_ns, 0.5),
              at(candidate_ns, 0.5));
  std::fflush(stdout);
}

void pin(std::thread::native_handle_type thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(thread, sizeof(set), &set);
}

/// A thread on a core of its own that repeats one step until told otherwise.
class Worker {
 public:
  Worker(Lane& lane, int cpu) : thread_([this, &lane] { run(lane); }) {
    pin(thread_.native_handle(), cpu);
  }
  ~Worker() { quit_ = true; }
  void use(Step step) { step_.store(step, std::memory_order_release); }

 private:
  void run(Lane& lane) {
    while (!quit_.load(std::memory_order_relaxed)) {
      const Step step = step_.load(std::memory_order_acquire);
      for (int i = 0; i < 64; ++i) step(lane);
    }
  }
  std::atomic<bool> quit_{false};
  std::atomic<Step> step_{bare_hop<0>};
  std::jthread thread_;
};

/// Sends packets to the worker's lane in bursts and takes them back, at most 16 bursts out.
/// @return seconds; negative if a packet came back out of order
double through_worker(Lane& lane, Worker& worker, Step step, std::uint32_t burst,
                      std::uint32_t n_packets) {
  worker.use(step);
  const std::uint32_t out_at_most = std::min(16 * burst, kPackets - kMaxBurst);
  std::uint32_t sent = 0, back = 0;
  bool in_order = true;
  const auto start = Clock::now();
  while (back < n_packets) {
    if (sent < n_packets && sent - back + burst <= out_at_most) {
      const std::uint32_t at = sent % (kPackets - kMaxBurst);
      sent += give(lane.in, lane.packets.data() + at,
                   std::min({burst, n_packets - sent, kPackets - kMaxBurst - at}));
    }
    rte_mbuf* packets[kMaxBurst];
    const unsigned n = take(lane.out, packets, kMaxBurst);
    for (unsigned i = 0; i < n; ++i)
      in_order &= packets[i] == lane.packets[(back + i) % (kPackets - kMaxBurst)];
    back += n;
  }
  const double seconds = seconds_since(start);
  return in_order ? seconds : -1;
}

/// The same on one core, with bursts of exactly that size: what the instructions cost.
double alone(Lane& lane, Step step, std::uint32_t burst, std::uint32_t n_packets) {
  rte_mbuf* packets[kMaxBurst];
  const auto start = Clock::now();
  for (std::uint32_t sent = 0; sent < n_packets; sent += burst) {
    give(lane.in, lane.packets.data(), burst);
    // Bursts end at the ring's end: now and then one takes two steps.
    for (std::uint32_t back = 0; back < burst;) {
      step(lane);
      back += take(lane.out, packets, burst);
    }
  }
  return seconds_since(start);
}

double publishing(Lane& lane, Publish publish, std::uint32_t burst, std::uint32_t n_packets) {
  rte_mbuf* packets[kMaxBurst];
  const auto start = Clock::now();
  for (std::uint32_t sent = 0; sent < n_packets; sent += burst) {
    publish(lane, lane.packets.data(), burst);
    take(lane.out, packets, burst);
  }
  return seconds_since(start);
}

int run(const Effort& effort) {
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof(allowed), &allowed);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  if (cpus.size() < 2) {
    std::printf("skipped: this needs two CPUs, one for each thread\n");
    return 0;
  }
  pin(pthread_self(), cpus[0]);

  char name[64];
  const std::uint32_t n = effort.packets;
  {
    Lane lane;
    Worker worker(lane, cpus[1]);
    for (const Step step : {Step{bare_hop<0>}, Step{nf_hop}}) {
      if (through_worker(lane, worker, step, 32, 100'000) < 0) {
        std::printf("packets come back out of order: nothing is timed\n");
        return 1;
      }
    }
    for (const auto start = Clock::now(); Clock::now() - start < effort.warm_up;)
      through_worker(lane, worker, nf_hop, 32, n);

    std::printf("two threads, CPUs %d and %d: a do-nothing NF against dequeue + enqueue\n", cpus[0],
                cpus[1]);
    const auto timed = [&](Step step, std::uint32_t burst) {
      return
          [&lane, &worker, step, burst, n] { return through_worker(lane, worker, step, burst, n); };
    };
    report_ratio("A/A: the baseline against its copy, burst 32", effort, timed(bare_hop<0>, 32),
                 timed(bare_hop<1>, 32));
    for (std::uint32_t burst = 1; burst <= kMaxBurst; burst *= 2) {
      std::snprintf(name, sizeof(name), "hop, packets sent in bursts of %u", burst);
      report_ratio(name, effort, timed(bare_hop<0>, burst), timed(nf_hop, burst));
    }
  }
  Lane lane;
  std::printf("one thread, packets in L1 and L2: the same with bursts of exactly that size\n");
  const auto alone_timed = [&](Step step, std::uint32_t burst) {
    return [&lane, step, burst, n] { return alone(lane, step, burst, n); };
  };
  report_ratio("A/A, burst 32", effort, alone_timed(bare_hop<0>, 32), alone_timed(bare_hop<1>, 32));
  for (std::uint32_t burst = 1; burst <= kMaxBurst; burst *= 2) {
    std::snprintf(name, sizeof(name), "hop, burst %u", burst);
    report_ratio(name, effort, alone_timed(bare_hop<0>, burst), alone_timed(nf_hop, burst));
  }
  std::printf("one thread, publishing alone: ledger and grouping by destination against enqueue\n");
  const auto publish_timed = [&](Publish publish, std::uint32_t burst) {
    return [&lane, publish, burst, n] { return publishing(lane, publish, burst, n); };
  };
  report_ratio("A/A, burst 32", effort, publish_timed(bare_publish<0>, 32),
               publish_timed(bare_publish<1>, 32));
  for (std::uint32_t burst = 1; burst <= kMaxBurst; burst *= 2) {
    std::snprintf(name, sizeof(name), "publish + dequeue, burst %u", burst);
    report_ratio(name, effort, publish_timed(bare_publish<0>, burst),
                 publish_timed(ledger_publish, burst));
  }
  std::printf("below 1 the candidate is slower; a hop within 0.5x of the bare rings is the goal\n");
  return 0;
}

}  // namespace
}  // namespace hb::bench

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::strcmp(argv[1], "--quick") == 0;
  if (argc > 1 && !quick) {
    std::fprintf(stderr, "usage: hop_bench [--quick]\n");
    return 2;
  }
#ifndef __OPTIMIZE__
  std::printf("refused: this is an unoptimised build, whose figures mean nothing\n");
  return quick ? 0 : 1;
#else
  hb::bench::Effort effort;
  if (quick) effort = {.pairs = 3, .packets = 20'000, .warm_up = std::chrono::milliseconds(50)};
  return hb::bench::run(effort);
#endif
}
