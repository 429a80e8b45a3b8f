// What CPUSyncers move from ring to ring through a GPU NF that does nothing, or through ipsec: the
// whole path of a packet through gpu_host, without ports. Run by --litmus-peer and --build-program
// for itself.
//   syncer_bench [--backend NAME] [--syncers N] [--work-groups N] [--seconds S]
// A thread for each CPUSyncer takes what comes out and puts it back in front: packets never run
// out. Beside it, in the same run, what a core moves that does nothing but ring to ring.
#include <pthread.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstring>
#include <numeric>
#include <thread>

#include "gpu_host/backends.h"
#include "gpu_host/device_choice.h"
#include "gpu_host/kernel_source.h"
#include "gpu_host/litmus.h"
#include "gpu_host/slice_runner.h"
#include "gpu_host/syncer.h"
#include "nf_lib/idle.h"
#include "tests/bench/esp_load.h"
#include "tests/bench/syncer_world.h"

namespace {

using Clock = std::chrono::steady_clock;

using hb::bench::EspLoad;
using hb::bench::World;

struct Options {
  std::string backend = "auto";
  std::string kernel = "forward";
  std::string kernel_dir;
  std::uint32_t n_sas = 1;
  std::uint32_t n_syncers = 1;
  std::uint32_t work_groups = 16;
  std::uint32_t work_group_size = 256;
  std::uint32_t rounds = 4;
  std::uint32_t device = 0;
  double seconds = 3;
  bool adaptive = false;
  bool no_pin = false;
  bool build_program = false;
  std::vector<std::string> litmus_peer;
};

/// Moves what comes out of a CPUSyncer back in front of it. @return packets
/// @param load  null: packets stay as they are
std::uint64_t feed(const World& world, std::uint32_t i, EspLoad* load,
                   const std::atomic<bool>& stop) {
  rte_ring* const from = world.sink(i);
  rte_ring* const to = world.source(i);
  std::array<void*, 256> burst;
  std::uint64_t n_packets = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    const unsigned n = rte_ring_sc_dequeue_burst(from, burst.data(), burst.size(), nullptr);
    if (n == 0) {
      rte_pause();
      continue;
    }
    for (unsigned k = 0; load != nullptr && k < n; ++k)
      World::receive(static_cast<rte_mbuf*>(burst[k]), load->next_head(), load->frame_bytes());
    rte_ring_sp_enqueue_bulk(to, burst.data(), n, nullptr);  // fits: a ring has room for them all
    n_packets += n;
  }
  return n_packets;
}

void pin(std::jthread& thread, std::uint32_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu % std::thread::hardware_concurrency(), &set);
  pthread_setaffinity_np(thread.native_handle(), sizeof(set), &set);
}

/// Packets a second over bare rings in bursts of kMaxBurst, in a CPUSyncer's place.
double bare_ring_rate(const World& world, double seconds, bool is_pinned) {
  rte_ring* const from = world.source(0);
  rte_ring* const to = world.sink(0);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> n_moved{0};
  std::jthread mover([&] {
    std::array<void*, hb::kMaxBurst> burst;
    while (!stop.load(std::memory_order_relaxed)) {
      const unsigned n = rte_ring_sc_dequeue_burst(from, burst.data(), burst.size(), nullptr);
      if (n == 0) {
        rte_pause();
        continue;
      }
      rte_ring_sp_enqueue_bulk(to, burst.data(), n, nullptr);
      n_moved.store(n_moved.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
  });
  std::jthread feeder([&] { feed(world, 0, nullptr, stop); });
  if (is_pinned) {
    pin(mover, 0);
    pin(feeder, 1);
  }
  std::this_thread::sleep_for(std::chrono::seconds(2));  // cores come up to speed
  const std::uint64_t before = n_moved.load();
  const auto begin = Clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const std::uint64_t n = n_moved.load() - before;
  const double passed = std::chrono::duration<double>(Clock::now() - begin).count();
  stop.store(true, std::memory_order_relaxed);
  return static_cast<double>(n) / passed;
}

/// Makes all packets ipsec's.
void prepare(const World& world, EspLoad& load) {
  rte_ring* const ring = world.source(0);
  for (unsigned left = rte_ring_count(ring); left != 0; --left) {
    void* mbuf = nullptr;
    rte_ring_sc_dequeue(ring, &mbuf);
    World::receive(static_cast<rte_mbuf*>(mbuf), load.next_head(), load.frame_bytes());
    rte_ring_sp_enqueue(ring, mbuf);
  }
}

int fail(const hb::Error& error) {
  std::fprintf(stderr, "syncer_bench: %s\n", error.line().c_str());
  return 1;
}

int bench(const Options& o) {
  const auto backends = hb::parse_backend(o.backend);
  if (!backends) return fail(backends.error());
  const bool is_esp = o.kernel == "ipsec";
  if (is_esp && o.n_syncers != 1) return fail({"ipsec has one CPUSyncer", ""});
  auto world = World::make({.n_syncers = o.n_syncers,
                            .work_groups = o.work_groups,
                            .work_group_size = o.work_group_size,
                            .rounds = o.rounds});
  if (!world) return fail(world.error());
  const double bare = bare_ring_rate(**world, o.seconds, !o.no_pin);
  const std::uint32_t n_work_groups = o.n_syncers * o.work_groups;
  const hb::RegionView& region = (*world)->view().region;
  auto opened = hb::open_device(*backends,
                                {.work_group_size = o.work_group_size,
                                 .max_resident = 2 * n_work_groups + 2,
                                 .kernel_dir = o.kernel_dir,
                                 .helper_program = "/proc/self/exe"},
                                std::nullopt, (*world)->file(), nullptr);
  if (!opened) return fail(opened.error());
  hb::SliceSpec spec;
  spec.work_groups.resize(n_work_groups);
  std::iota(spec.work_groups.begin(), spec.work_groups.end(), 0u);
  spec.kernel = hb::find_kernel(o.kernel);
  if (spec.kernel == nullptr) return fail({"there is no kernel '" + o.kernel + "'", ""});
  std::unique_ptr<EspLoad> load;
  if (is_esp) {
    auto made = EspLoad::make(o.n_sas, false);
    if (!made) return fail(made.error());
    load = std::move(*made);
    prepare(**world, *load);
  }
  const std::vector<std::byte> self_test = spec.kernel->self_test().table;
  const std::span<const std::byte> bytes = is_esp ? load->table() : std::span(self_test);
  auto table = opened->backend->upload_table(bytes);
  if (!table) return fail(table.error());
  spec.table = *table;
  spec.table_bytes = static_cast<std::uint32_t>(bytes.size());
  spec.bounds = (*world)->bounds();
  auto slice = opened->backend->make_slice(spec);
  if (!slice) return fail(slice.error());
  hb::TableVersions versions(n_work_groups);
  hb::SliceRunner runner((*world)->view().region, spec, std::move(*slice), versions,
                         [](const hb::Error& error) { _exit(fail(error)); });

  std::vector<std::unique_ptr<hb::ContextPage>> pages;
  std::vector<std::unique_ptr<hb::Syncer>> syncers;
  for (std::uint32_t i = 0; i < o.n_syncers; ++i) {
    pages.push_back(std::make_unique<hb::ContextPage>());
    syncers.push_back(
        std::make_unique<hb::Syncer>((*world)->view(), (*world)->syncer(i), pages.back().get()));
    hb::ShareSpec share{.slice = 0,
                        .service = hb::ServiceId(hb::bench::kService),
                        .instance = hb::InstanceId(hb::bench::kInstance),
                        .endpoint = (*world)->nf(i),
                        .work_groups = {},
                        .doorbell = &runner.doorbell(),
                        .has_words = is_esp,
                        .hook = is_esp ? load->hook() : nullptr};
    for (std::uint32_t k = 0; k < o.work_groups; ++k)
      share.work_groups.push_back(i * o.work_groups + k);
    if (const auto added = syncers.back()->add(share); !added) return fail(added.error());
  }
  runner.start();
  std::atomic<bool> stop{false};
  std::vector<std::uint64_t> moved(o.n_syncers);
  std::vector<std::uint64_t> polls(o.n_syncers);
  std::vector<std::jthread> threads;
  for (std::uint32_t i = 0; i < o.n_syncers; ++i) {
    threads.emplace_back([&, i] {
      hb::Idle idle(!o.adaptive);  // as gpu_host does
      while (!stop.load(std::memory_order_relaxed)) {
        ++polls[i];
        if (syncers[i]->poll())
          idle.reset();
        else
          idle.wait();
      }
    });
    if (!o.no_pin) pin(threads.back(), 2 * i);
    threads.emplace_back([&, i] { moved[i] = feed(**world, i, load.get(), stop); });
    if (!o.no_pin) pin(threads.back(), 2 * i + 1);
  }
  const auto counted = [&] {
    std::uint64_t sum = 0;
    for (const auto& page : pages) sum += page->counters.slice_tx[0].load();
    return sum;
  };
  std::this_thread::sleep_for(std::chrono::seconds(2));  // cores come up to speed
  const auto rounds = [&] {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < n_work_groups; ++i)
      sum +=
          std::atomic_ref(region.queue_control(i)->published.value).load(std::memory_order_relaxed);
    return sum;
  };
  const std::uint64_t before = counted();
  const std::uint64_t rounds_before = rounds();
  const auto begin = Clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(o.seconds));
  const std::uint64_t n = counted() - before;
  const std::uint64_t n_rounds = rounds() - rounds_before;
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  stop.store(true, std::memory_order_relaxed);
  threads.clear();
  runner.stop();
  std::uint64_t n_polls = 0;
  for (const std::uint64_t one : polls) n_polls += one;
  std::printf("%.1f packets a round, %.0f rounds a second, %.2f M polls a second\n",
              static_cast<double>(n) / static_cast<double>(std::max<std::uint64_t>(n_rounds, 1)),
              static_cast<double>(n_rounds) / seconds,
              1e-6 * static_cast<double>(n_polls) / (seconds + 2));
  std::printf(
      "%s on '%s' (%s, %s): %u CPUSyncers, %u work-groups of %u each, %u rounds: %.1f Mpps\n",
      o.kernel.c_str(), opened->info.name.c_str(), opened->backend_name.c_str(),
      to_string(opened->memory.mode), o.n_syncers, o.work_groups, o.work_group_size, o.rounds,
      1e-6 * static_cast<double>(n) / seconds);
  const double rate = static_cast<double>(n) / seconds / o.n_syncers;
  std::printf("each CPUSyncer against a bare ring hop in bursts of %u: %.3fx of %.1f Mpps\n",
              hb::kMaxBurst, rate / bare, 1e-6 * bare);
  return n == 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  o.kernel_dir = hb::default_kernel_dir();
  CLI::App app("Rate of CPUSyncers, ring to ring.", "syncer_bench");
  app.add_option("--backend", o.backend)->capture_default_str();
  app.add_option("--kernel", o.kernel)->capture_default_str();
  app.add_option("--kernels", o.kernel_dir)->capture_default_str();
  app.add_option("--sas", o.n_sas, "that ipsec seals with, in turn")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--syncers", o.n_syncers)->check(CLI::Range(1, 8))->capture_default_str();
  app.add_option("--work-groups", o.work_groups, "of each CPUSyncer")
      ->check(CLI::Range(1, 128))
      ->capture_default_str();
  app.add_option("--workgroup-size", o.work_group_size)->capture_default_str();
  app.add_option("--rounds", o.rounds)->check(CLI::IsMember({1, 2, 4, 8}))->capture_default_str();
  app.add_option("--seconds", o.seconds)->check(CLI::Range(0.1, 60.0))->capture_default_str();
  app.add_flag("--adaptive", o.adaptive, "naps when idle");
  app.add_flag("--no-pin", o.no_pin, "threads may run on any CPU");
  app.add_option("--device", o.device)->group("");
  app.add_option("--litmus-peer", o.litmus_peer)->expected(2)->group("");
  app.add_flag("--build-program", o.build_program)->group("");
  CLI11_PARSE(app, argc, argv);
  if (!o.litmus_peer.empty())
    return hb::run_litmus_peer(o.litmus_peer[0],
                               std::strtoull(o.litmus_peer[1].c_str(), nullptr, 10));
  if (!o.build_program) return bench(o);
  const auto backends = hb::parse_backend(o.backend);
  if (!backends) return fail(backends.error());
  hb::BackendOptions wanted;
  wanted.device_idx = o.device;
  wanted.work_group_size = o.work_group_size;
  wanted.kernel_dir = o.kernel_dir;
  const auto built = backends->front().make()->build_program(wanted, nullptr);
  return built ? 0 : fail(built.error());
}
