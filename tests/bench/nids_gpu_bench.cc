// The GPU twin's search over whole rounds of real packets: kernels/nids.cl through a backend,
// against the same rounds by a kernel that reads every packet and does nothing else. Every answer
// that is left in the region is compared with the kernel's code run on this CPU.
//   nids_gpu_bench [--backend opencl|cuda] [--quick] [RULE FILE]...
//   nids_gpu_bench --work-groups 1 --rounds 1   what one round takes in an idle device
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#define HB_KERNEL_ON_HOST
#include "gpu_host/backends.h"
#include "gpu_host/litmus.h"
#include "kernels/nids.cl"
#include "nfs/nids/aho_corasick.h"
#include "tests/bench/nids_loads.h"
#include "tests/kernels/kernel_dir.h"
#include "tests/kernels/one_packet.h"
#include "tools/hb_doctor/measure.h"

namespace hb::nids {
namespace {

struct Options {
  std::string backend = "opencl";
  std::string kernel_dir = test::kernel_dir();
  std::uint32_t device = 0;
  std::uint32_t work_groups = 0;
  std::uint32_t work_group_size = 0;
  std::uint32_t rounds = 4;
  int pairs = 7;
  double seconds = 0.3;
  bool quick = false;
  bool build_program = false;
  std::vector<std::string> litmus_peer;
  std::vector<std::string> rules;
};

int fail(const Error& error) {
  std::fprintf(stderr, "nids_gpu_bench: %s\n", error.line().c_str());
  return 1;
}
[[noreturn]] void die(const Error& error) { std::exit(fail(error)); }

/// The device with a region whose rounds name 4096 packets or more.
struct Bench {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<doctor::TestRegion> region;
  doctor::Shape shape;
  bool staged = false;
};

Bench open_bench(const Options& o) {
  const auto entries = parse_backend(o.backend);
  if (!entries) die(entries.error());
  // A CPU device shares its cores with this program; its packets fit its caches no worse.
  const auto devices = entries->front().make()->devices({});
  if (!devices) die(devices.error());
  const bool on_cpu = o.device < devices->size() && (*devices)[o.device].is_cpu;
  Bench bench;
  doctor::Shape& shape = bench.shape;
  shape.work_groups = o.work_groups != 0 ? o.work_groups : on_cpu ? 2 : 64;
  shape.work_group_size = o.work_group_size != 0 ? o.work_group_size : on_cpu ? 64 : 256;
  shape.n_rounds = o.rounds;
  shape.n_packets = on_cpu ? 4096 : 65536;
  shape.n_threads =
      std::min(shape.work_groups, std::clamp(std::thread::hardware_concurrency() / 2, 1u, 4u));
  shape.seconds = o.seconds;
  auto region = doctor::TestRegion::make(doctor::demand_of(shape));
  if (!region) die(region.error());
  bench.region = std::move(*region);
  bench.backend = entries->front().make();
  const auto opened = bench.backend->open({.device_idx = o.device,
                                           .work_group_size = shape.work_group_size,
                                           .max_resident = 2 * shape.work_groups + 2,
                                           .kernel_dir = o.kernel_dir,
                                           .helper_program = "/proc/self/exe"});
  if (!opened) die(opened.error());
  const auto mode = bench.backend->map_region(bench.region->file(), nullptr);
  if (!mode) die(mode.error());
  bench.staged = mode->mode == MemoryMode::kStaged;
  std::printf("%s (%s, %s): %u work-groups of %u, %u rounds each\n", opened->name.c_str(),
              entries->front().name, to_string(mode->mode), shape.work_groups,
              shape.work_group_size, shape.n_rounds);
  return bench;
}

doctor::Rate measured(Bench& bench, const char* kernel, std::span<const std::byte> table,
                      const Frames& frames) {
  auto rate =
      doctor::measure_load(*bench.backend, bench.region->view(), bench.shape,
                           {.kernel = kernel, .table = table, .packets = frames}, bench.staged);
  if (!rate) die(rate.error());
  if (!rate->complete) die(Error{"rounds were not answered", "see gpu_host's watchdog"});
  return *rate;
}

/// Compares the answer to every slot with what the kernel says on this CPU.
/// @return the share of packets that are marked
double check_answers(const Bench& bench, const u8* table, const Frames& frames) {
  const RegionView& view = bench.region->view();
  std::vector<std::uint32_t> marked(std::min<std::size_t>(frames.size(), bench.shape.n_packets));
  for (std::size_t i = 0; i < marked.size(); ++i) {
    const std::span<const std::uint8_t> bytes(frames[i].data(),
                                              std::min<std::size_t>(frames[i].size(), 1536));
    HbPacket packet = test::one_packet(bytes);
    marked[i] = hb_nids_suspect(&packet, table);
  }
  std::uint64_t next = 0;
  std::uint64_t n_marked = 0;
  for (std::uint32_t group = 0; group < bench.shape.work_groups; ++group) {
    for (std::uint32_t slot = 0; slot < view.slots_per_queue(); ++slot, ++next) {
      const u64 wanted = HB_RESULT_UNCHANGED(
          view.slots(group)[slot],
          marked[next % bench.shape.n_packets % marked.size()] != 0 ? HB_RESULT_COPY_TO_CPU : 0);
      if (view.results(group)[slot] != wanted)
        die(Error{"the device's answer is wrong for slot " + std::to_string(slot), ""});
      n_marked += wanted != HB_RESULT_UNCHANGED(view.slots(group)[slot], 0);
    }
  }
  return static_cast<double>(n_marked) / static_cast<double>(next);
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<long>(values.size() / 2));
  return values[values.size() / 2];
}

void measure(Bench& bench, const Options& o, const char* title, const RuleSet& rules,
             std::mt19937& rng, const Frames& captured) {
  const std::vector<std::byte> table = *build_nids_table(rules);
  struct alignas(64) Line {
    u8 bytes[64];
  };
  std::vector<Line> aligned((table.size() + 63) / 64);
  std::memcpy(aligned.data(), table.data(), table.size());
  const auto* const here = reinterpret_cast<const u8*>(aligned.data());
  std::printf("%s: %zu rules, table %.1f MB\n", title, rules.rules.size(),
              static_cast<double>(table.size()) / 1e6);
  const std::pair<const char*, Frames> loads[] = {
      {"captured", captured},
      {"HTTP-like", http_frames(rng)},
      {"random bytes", random_frames(rng)},
      {"every packet hits", hitting_frames(rules, rng)}};
  for (const auto& [name, frames] : loads) {
    std::vector<double> ratios, limits, rates, mpps, round_us;
    double share = 0;
    for (int pair = 0; pair < o.pairs; ++pair) {
      const doctor::Rate limit = measured(bench, "limit_read", {}, frames);
      const doctor::Rate rate = measured(bench, "nids", table, frames);
      share = check_answers(bench, here, frames);
      limits.push_back(limit.gbps);
      rates.push_back(rate.gbps);
      mpps.push_back(rate.mpps);
      round_us.push_back(rate.round_p50_us);
      ratios.push_back(rate.gbps / limit.gbps);
    }
    std::printf(
        "  %-20s %5.1f %% marked  %8.2f Gbps, %6.2f Mpps, %6.1f us a round; reading alone %8.2f "
        "Gbps: %.2fx\n",
        name, 100 * share, median(rates), median(mpps), median(round_us), median(limits),
        median(ratios));
    std::fflush(stdout);
  }
}

int bench(Options o) {
#ifndef NDEBUG
  std::fprintf(stderr, "nids_gpu_bench: an unoptimised build measures nothing\n");
  return 1;
#endif
  if (o.quick) {
    o.pairs = 1;
    o.seconds = 0.05;
  }
  if (o.rules.empty()) o.rules = rule_files();
  const auto all = load_rule_files(o.rules);
  if (!all) return fail(all.error());
  Bench bench = open_bench(o);
  std::mt19937 rng(147);
  const Frames captured = captured_frames();
  measure(bench, o, "147 rules", first_rules(*all, 147), rng, captured);
  measure(bench, o, "all rules", *all, rng, captured);
  if (!o.quick) measure(bench, o, "made-up rules", made_up_rules(30'000, rng), rng, captured);
  return 0;
}

/// What a backend's helper process does.
int build_program(const Options& o) {
  const auto entries = parse_backend(o.backend);
  if (!entries) return fail(entries.error());
  const auto built = entries->front().make()->build_program({.device_idx = o.device,
                                                             .work_group_size = o.work_group_size,
                                                             .kernel_dir = o.kernel_dir,
                                                             .helper_program = {}},
                                                            nullptr);
  return built ? 0 : fail(built.error());
}

}  // namespace
}  // namespace hb::nids

int main(int argc, char** argv) {
  hb::nids::Options o;
  CLI::App app("the GPU twin's search over rounds of packets, against reading them alone");
  app.add_option("rules", o.rules, "rule files; default: those of tests/data");
  app.add_option("--backend", o.backend, "auto, cuda or opencl")->capture_default_str();
  app.add_option("--device", o.device, "its number there");
  app.add_option("--work-groups", o.work_groups, "0: as suits the device");
  app.add_option("--workgroup-size", o.work_group_size, "0: as suits the device");
  app.add_option("--rounds", o.rounds, "in flight of each work-group")
      ->check(CLI::IsMember({1, 2, 4, 8, 16}));
  app.add_option("--kernels", o.kernel_dir, "where persistent.cl is")->capture_default_str();
  app.add_option("--seconds", o.seconds, "of each figure")->capture_default_str();
  app.add_flag("--quick", o.quick, "one short pair of each");
  app.add_option("--litmus-peer", o.litmus_peer)->expected(2)->group("");
  app.add_flag("--build-program", o.build_program)->group("");
  CLI11_PARSE(app, argc, argv);
  if (!o.litmus_peer.empty())
    return hb::run_litmus_peer(o.litmus_peer[0],
                               std::strtoull(o.litmus_peer[1].c_str(), nullptr, 10));
  return o.build_program ? hb::nids::build_program(o) : hb::nids::bench(o);
}
