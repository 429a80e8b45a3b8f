// hb_doctor: what GPUs are here, which memory mode works on each and why, and how fast it is at
// most. Needs no manager; runs on any machine.
#include <fmt/format.h>
#include <sys/utsname.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "gpu_host/backends.h"
#include "gpu_host/kernel_source.h"
#include "gpu_host/litmus.h"
#include "gpu_host/self_test.h"
#include "kernels/esp_table.h"
#include "tools/hb_doctor/measure.h"

namespace {

using hb::doctor::Shape;
using nlohmann::json;

struct Options {
  std::string backend = "auto";
  std::string kernel_dir;
  std::uint32_t work_groups = 0;
  std::uint32_t work_group_size = 0;
  std::uint32_t rounds = 4;
  std::uint32_t threads = 0;
  double seconds = 0.5;
  std::vector<std::uint32_t> sizes = {64, 256, 512, 1024, 1472};
  std::vector<std::uint32_t> batches_in_flight;
  std::vector<std::uint32_t> batch_packets = {4096};
  std::uint32_t repeat = 1;
  bool skip_ipsec = false;
  bool quick = false;
  bool as_json = false;
  bool build_program = false;
  std::uint32_t device = 0;
  std::vector<std::string> litmus_peer;
};

void declare(CLI::App& app, Options& o) {
  app.add_option("--backend", o.backend, "auto (all), cuda or opencl")->capture_default_str();
  app.add_option("--work-groups", o.work_groups, "default: 64 on a GPU, 2 on a CPU")
      ->check(CLI::Range(1, 1024));
  app.add_option("--work-group-size", o.work_group_size, "default: 256 on a GPU, 64 on a CPU")
      ->check(CLI::IsMember({16, 32, 64, 128, 256, 512, 1024}));
  app.add_option("--rounds", o.rounds, "rounds in flight of each work-group")
      ->check(CLI::IsMember({1, 2, 4, 8, 16}))
      ->capture_default_str();
  app.add_option("--threads", o.threads, "that fill queues; default: up to 4")
      ->check(CLI::Range(1, 64));
  app.add_option("--seconds", o.seconds, "of each figure")
      ->check(CLI::Range(0.05, 60.0))
      ->capture_default_str();
  app.add_option("--sizes", o.sizes, "packet sizes, bytes")
      ->delimiter(',')
      ->check(CLI::Range(16, 1536))
      ->capture_default_str();
  app.add_option("--batches", o.batches_in_flight,
                 "copied batches in flight, like 1,2,4; each is packed by a thread of its own")
      ->delimiter(',')
      ->check(CLI::Range(1, 64));
  app.add_option("--batch-packets", o.batch_packets, "packets of a copied batch, like 1024,4096")
      ->delimiter(',')
      ->check(CLI::Range(16, 1 << 20))
      ->capture_default_str();
  app.add_option("--repeat", o.repeat,
                 "measure everything so often; the further ones are `repeats`")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_flag("--no-ipsec", o.skip_ipsec, "do not seal packets with ipsec's kernel");
  app.add_option("--kernels", o.kernel_dir, "folder of the kernels' sources")
      ->capture_default_str();
  app.add_flag("--quick", o.quick, "no rates: devices, memory modes and self-tests only");
  app.add_flag("--json", o.as_json, "print JSON");
  // What this program runs itself with:
  app.add_option("--litmus-peer", o.litmus_peer)->expected(2)->group("");
  app.add_flag("--build-program", o.build_program)->group("");
  app.add_option("--device", o.device)->group("");
  app.add_option("--workgroup-size", o.work_group_size)->group("");
}

json machine() {
  utsname name{};
  uname(&name);
  return {{"kernel", name.release}, {"cpus", std::thread::hardware_concurrency()}};
}

json rate_json(const hb::doctor::Rate& rate) {
  return {{"gbps", rate.gbps},
          {"mpps", rate.mpps},
          {"round_p50_us", rate.round_p50_us},
          {"round_p99_us", rate.round_p99_us},
          {"rounds", rate.n_rounds},
          {"all_answered", rate.complete}};
}

/// An Error as a figure that is missing, with why.
template <typename T, typename ToJson>
json figure(const hb::Result<T>& result, ToJson to_json) {
  if (!result) return {{"error", result.error().line()}};
  return to_json(*result);
}

void measure(hb::Backend& backend, const hb::doctor::TestRegion& region, const Shape& shape,
             bool zero_copy, const Options& o, bool is_cpu, json& out) {
  if (zero_copy)
    out["ping_pong"] =
        figure(hb::doctor::measure_ping_pong(backend, region.view(), is_cpu ? 2000 : 20000),
               [](const auto& p) {
                 return json{{"p50_us", p.p50_us}, {"p99_us", p.p99_us}};
               });
  constexpr std::size_t kCopyBytes = 64u << 20;
  out["copies"] = figure(backend.copy_rates(kCopyBytes, 8), [](const hb::CopyRates& r) {
    return json{{"in_gbps", r.in_gbps}, {"out_gbps", r.out_gbps}};
  });
  const auto rate = [&](const char* kernel, bool staged, std::uint32_t size) {
    return figure(hb::doctor::measure_rate(backend, region.view(), shape, kernel, staged, size),
                  rate_json);
  };
  // What a real NF makes of that limit: packets sealed with the self-test's SAs.
  const auto sealing = [&](std::uint32_t sa, std::uint32_t size) {
    constexpr std::uint32_t kIpAt = 14;
    const HbSlotWords words{1, HB_ESP_ORDER(HB_ESP_ACTION_SEAL, sa, kIpAt, 0, size - kIpAt)};
    return figure(
        hb::doctor::measure_rate(backend, region.view(), shape, "ipsec", false, size, words),
        rate_json);
  };
  const auto batched = [&](std::uint32_t size) {
    json rows = json::array();
    for (const std::uint32_t n_packets : o.batch_packets)
      for (const std::uint32_t n : o.batches_in_flight) {
        const hb::doctor::Batches batches{n, n_packets};
        if (!fits(shape, batches)) continue;
        rows.push_back(figure(hb::doctor::measure_batches(backend, region.view(), shape,
                                                          "limit_write", batches, size),
                              rate_json));
        rows.back()["in_flight"] = n;
        rows.back()["packets"] = n_packets;
      }
    return rows;
  };
  for (const std::uint32_t size : o.sizes) {
    json row = {{"bytes", size}};
    if (zero_copy) {
      row["slots_only"] = rate("forward", false, size);
      row["read"] = rate("limit_read", false, size);
      row["read_write"] = rate("limit_write", false, size);
      if (size >= 64 && !o.skip_ipsec && hb::find_kernel("ipsec")->fits(shape.work_group_size)) {
        row["ipsec_cbc_sha1"] = sealing(0, size);
        row["ipsec_gcm"] = sealing(2, size);
      }
    }
    if (o.batches_in_flight.empty())
      row["staged_read_write"] = rate("limit_write", true, size);
    else
      row["batches"] = batched(size);
    out["rates"].push_back(std::move(row));
  }
}

json examine(const hb::BackendEntry& entry, std::uint32_t number, const hb::DeviceInfo& info,
             const Options& o) {
  json out = {{"backend", entry.name},     {"number", number},      {"name", info.name},
              {"platform", info.platform}, {"claims", info.claims}, {"is_cpu", info.is_cpu}};
  const unsigned cpus = std::max(2u, std::thread::hardware_concurrency());
  Shape shape;
  shape.work_groups = o.work_groups != 0 ? o.work_groups : info.is_cpu ? 2 : 64;
  shape.work_group_size = o.work_group_size != 0 ? o.work_group_size : info.is_cpu ? 64 : 256;
  shape.n_rounds = o.rounds;
  shape.n_packets = info.is_cpu ? 4096 : 65536;
  shape.n_threads =
      std::min(shape.work_groups, o.threads != 0 ? o.threads : std::clamp(cpus / 2, 1u, 4u));
  shape.seconds = o.seconds;
  out["shape"] = {{"work_groups", shape.work_groups},
                  {"work_group_size", shape.work_group_size},
                  {"rounds", shape.n_rounds},
                  {"threads", shape.n_threads}};
  const auto region = hb::doctor::TestRegion::make(demand_of(shape));
  if (!region) return out["error"] = region.error().line(), out;
  out["page_bytes"] = (*region)->page_bytes();

  const std::unique_ptr<hb::Backend> backend = entry.make();
  const hb::BackendOptions options{.device_idx = number,
                                   .work_group_size = shape.work_group_size,
                                   .max_resident = 2 * shape.work_groups + 2,
                                   .kernel_dir = o.kernel_dir,
                                   .helper_program = "/proc/self/exe"};
  if (const auto opened = backend->open(options); !opened)
    return out["error"] = opened.error().line(), out;
  for (const hb::MemoryMode mode : {hb::MemoryMode::kSvmSystem, hb::MemoryMode::kSvmAlias,
                                    hb::MemoryMode::kHostPtr, hb::MemoryMode::kRegistered}) {
    const auto works = backend->map_region((*region)->file(), &mode);
    out["modes"][to_string(mode)] = works ? "works" : works.error().what;
  }
  const auto chosen = backend->map_region((*region)->file(), nullptr);
  if (!chosen) return out["error"] = chosen.error().line(), out;
  out["memory_mode"] = to_string(chosen->mode);
  out["why"] = chosen->why;
  for (const hb::KernelEntry& kernel : hb::kernel_catalog()) {
    const auto ran = hb::run_self_test(*backend, kernel, shape.work_group_size);
    out["self_tests"][std::string(kernel.name)] = ran ? "right" : ran.error().what;
  }
  for (std::uint32_t i = 0; !o.quick && i < o.repeat; ++i) {
    json again;
    measure(*backend, **region, shape, chosen->mode != hb::MemoryMode::kStaged, o, info.is_cpu,
            i == 0 ? out : again);
    if (i != 0) out["repeats"].push_back(std::move(again));
  }
  return out;
}

std::string cell(const json& row, const char* key, const char* what) {
  const auto found = row.find(key);
  if (found == row.end()) return "-";
  if (found->contains("error")) return "failed";
  return fmt::format("{:.1f}{}", (*found)[what].get<double>(),
                     (*found)["all_answered"].get<bool>() ? "" : " (rounds lost!)");
}

void print_rates(const json& device) {
  fmt::print("  {:>6} {:>12} {:>12} {:>14} {:>14} {:>10} {:>16} {:>14}\n", "bytes", "slots Mpps",
             "read Gbps", "read+write", "ipsec cbc+sha1", "ipsec gcm", "copied r+w Gbps",
             "r+w p99 us");
  for (const json& row : device["rates"])
    fmt::print("  {:>6} {:>12} {:>12} {:>14} {:>14} {:>10} {:>16} {:>14}\n",
               row["bytes"].get<int>(), cell(row, "slots_only", "mpps"), cell(row, "read", "gbps"),
               cell(row, "read_write", "gbps"), cell(row, "ipsec_cbc_sha1", "gbps"),
               cell(row, "ipsec_gcm", "gbps"), cell(row, "staged_read_write", "gbps"),
               cell(row, "read_write", "round_p99_us"));
}

void print_device(const json& d) {
  const auto text = [&](const char* key) { return d.value(key, std::string()); };
  fmt::print("\n{} {}: {} ({})\n  claims: {}\n", text("backend"), d["number"].get<int>(),
             text("name"), text("platform"), text("claims"));
  if (d.contains("modes"))
    for (const auto& [mode, result] : d["modes"].items())
      fmt::print("  {:<11} {}\n", mode, result.get<std::string>());
  if (d.contains("error")) return fmt::print("  {}\n", text("error"));
  fmt::print("  memory mode: {}{}\n", text("memory_mode"),
             text("why").empty() ? "" : " (" + text("why") + ")");
  for (const auto& [kernel, result] : d["self_tests"].items())
    if (result != "right") fmt::print("  self-test of {}: {}\n", kernel, result.get<std::string>());
  if (d.contains("ping_pong") && !d["ping_pong"].contains("error"))
    fmt::print("  ping-pong: p50 {:.2f} us, p99 {:.2f} us\n",
               d["ping_pong"]["p50_us"].get<double>(), d["ping_pong"]["p99_us"].get<double>());
  if (d.contains("copies") && !d["copies"].contains("error"))
    fmt::print("  copies: in {:.0f} Gbps, out {:.0f} Gbps\n", d["copies"]["in_gbps"].get<double>(),
               d["copies"]["out_gbps"].get<double>());
  if (d.contains("rates")) print_rates(d);
}

int run(const Options& o, std::span<const hb::BackendEntry> backends) {
  json report = {{"machine", machine()}, {"devices", json::array()}, {"absent", json::object()}};
  bool healthy = false;
  for (const hb::BackendEntry& entry : backends) {
    // PoCL takes its number of threads from the first call: as many as examine() may need.
    hb::BackendOptions most;
    most.max_resident = 2 * std::max<std::uint32_t>(o.work_groups, 66) + 2;
    const auto devices = entry.make()->devices(most);
    if (!devices) {
      report["absent"][entry.name] = devices.error().line();
      continue;
    }
    for (std::uint32_t i = 0; i < devices->size(); ++i) {
      report["devices"].push_back(examine(entry, i, (*devices)[i], o));
      healthy |= !report["devices"].back().contains("error");
    }
  }
  if (o.as_json) {
    fmt::print("{}\n", report.dump(2));
  } else {
    fmt::print("Linux {}, {} CPUs\n", report["machine"]["kernel"].get<std::string>(),
               report["machine"]["cpus"].get<unsigned>());
    for (const auto& [name, why] : report["absent"].items())
      fmt::print("\n{}: {}\n", name, why.get<std::string>());
    for (const json& device : report["devices"]) print_device(device);
  }
  return healthy ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  o.kernel_dir = hb::default_kernel_dir();
  CLI::App app("Says what GPUs are here, how they share memory with the host, and how fast.",
               "hb_doctor");
  declare(app, o);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "hb_doctor: {}: see hb_doctor --help\n", error.what());
    return 1;
  }
  if (!o.litmus_peer.empty())
    return hb::run_litmus_peer(o.litmus_peer[0],
                               std::strtoull(o.litmus_peer[1].c_str(), nullptr, 10));
  const auto backends = hb::parse_backend(o.backend);
  if (!backends) {
    fmt::print(stderr, "hb_doctor: {}\n", backends.error().line());
    return 1;
  }
  if (o.build_program) {
    hb::BackendOptions wanted;
    wanted.device_idx = o.device;
    wanted.work_group_size = o.work_group_size;
    wanted.kernel_dir = o.kernel_dir;
    const auto built = backends->front().make()->build_program(wanted, nullptr);
    if (!built) fmt::print("{}\n", built.error().line());
    return built ? 0 : 1;
  }
  return run(o, *backends);
}
