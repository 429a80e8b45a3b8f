#include "manager/options.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <utility>
#include <vector>

#include "manager/flow_control.h"
#include "nf_lib/control_socket.h"
#include "nf_lib/limits.h"

namespace hb {
namespace {

/// A value that must be a power of two, as ring and work-group sizes must.
std::string power_of_two(std::string& text) {
  const unsigned long value = std::strtoul(text.c_str(), nullptr, 10);
  return value != 0 && (value & (value - 1)) == 0 ? "" : "must be a power of two";
}

/// One of some words; the option's text says which.
CLI::Validator one_of(std::vector<std::string> words) {
  return CLI::IsMember(std::move(words)).description("");
}

std::string plain_prefix(std::string& text) {
  return prefix_is_valid(text) ? "" : "must be up to 24 letters, digits, '-' and '_'";
}

}  // namespace

const char* to_string(GpuChoice gpu) {
  switch (gpu) {
    case GpuChoice::kAuto:
      return "auto";
    case GpuChoice::kOpenCl:
      return "opencl";
    case GpuChoice::kCuda:
      return "cuda";
    case GpuChoice::kNone:
      break;
  }
  return "none";
}

ParsedOptions parse_options(int argc, char** argv) {
  ParsedOptions parsed;
  ManagerOptions& o = parsed.options;
  std::string gpu = "auto";
  std::string idle = "adaptive";
  std::string missing_nf = "drop";
  std::string overload = "late";
  CLI::App app(
      "Hummingbird's manager: ports, packet pool, routes; runs chains of network functions",
      "manager.sh");
  app.add_option("--port", o.ports,
                 "a port: pcap:rx=FILE[,tx=FILE] | tap:NAME | af_packet:IFACE | "
                 "null[:size=BYTES] | gen:size=BYTES|imix[,flows=N][,payload=FILE][,rate=PPS] | "
                 "pci:BDF | vdev:STRING; may be repeated")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false)
      ->check([](const std::string& text) {
        return text.empty() ? std::string("--port needs a SPEC") : std::string();
      });
  app.add_option("--routes", o.routes, "routes.csv: packet type, current NF, next NF");
  app.add_option("--flows", o.flows, "flows.csv: type, src, src port, dst, dst port, proto");
  app.add_option("--gpu", gpu, "auto | cuda | opencl | none")
      ->check(one_of({"auto", "cuda", "opencl", "none"}))
      ->capture_default_str();
  app.add_option("--gpu-device", o.gpu_device, "number of the device, as hbctl gpu shows it")
      ->check(CLI::Range(0, 63));
  app.add_option("--workgroups", o.n_work_groups, "work-groups of the GPU in all")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--workgroup-size", o.work_group_size, "work-items of a work-group")
      ->check(CLI::Range(16, 1024) & CLI::Validator(power_of_two, "POWER_OF_TWO"))
      ->capture_default_str();
  app.add_option("--syncers", o.n_syncers, "CPUSyncer threads")
      ->check(CLI::Range(1u, kMaxSyncers))
      ->capture_default_str();
  app.add_flag("--elastic", o.elastic, "move work-groups between GPU NFs, to where packets wait");
  app.add_option("--rx-threads", o.n_rx_threads, "RX threads")
      ->check(CLI::Range(1u, kMaxRxThreads))
      ->capture_default_str();
  app.add_option("--tx-threads", o.n_tx_threads,
                 "TX threads; each NF's packets leave through one of them")
      ->check(CLI::Range(1u, kMaxTxThreads))
      ->capture_default_str();
  app.add_option("--cores", o.cores, "CPUs to run on, like 0-3,8 (default: all that are allowed)");
  app.add_option("--pool", o.pool_size, "packets in the pool")
      ->check(CLI::Range(1024, 8 << 20))
      ->capture_default_str();
  app.add_option("--mbuf-size", o.mbuf_bytes, "bytes of data room of a packet")
      ->check(CLI::Range(256, 16384))
      ->capture_default_str();
  app.add_option("--max-contexts", o.max_contexts, "threads and NFs that may produce packets")
      ->check(CLI::Range(8u, kMaxContexts))
      ->capture_default_str();
  app.add_option(
         "--idle", idle,
         "adaptive: yield and nap when idle | busy: always poll, each thread on a CPU of its "
         "own while there are any")
      ->check(one_of({"adaptive", "busy"}))
      ->capture_default_str();
  app.add_option("--missing-nf", missing_nf, "packets for an NF that does not run: drop | skip")
      ->check(one_of({"drop", "skip"}))
      ->capture_default_str();
  app.add_option("--drain-timeout", o.drain_timeout_ms,
                 "ms that a change of routes waits for packets on their way; then an NF that has "
                 "some, and has made no progress for so long, is killed")
      ->check(CLI::Range(10, 600000))
      ->capture_default_str();
  app.add_option("--nf-timeout", o.nf_timeout_ms,
                 "ms without progress, while packets wait, after which an NF is hung and killed")
      ->check(CLI::Range(50, 3600000))
      ->capture_default_str();
  app.add_flag("--debug-nf", o.debug_nf,
               "leave NFs alone that are stopped or in a debugger: they are not hung");
  app.add_option("--hold-queue", o.hold_queue,
                 "packets that each RX thread can hold back while routes change")
      ->check(CLI::Range(kMaxBurst, 1u << 20))
      ->capture_default_str();
  app.add_option("--flow-memory", o.flow_memory_mib, "MiB for the rules of flows.csv")
      ->check(CLI::Range(32, 4096))
      ->capture_default_str();
  app.add_option("--overload", overload,
                 "a chain that can't keep up loses packets where it is slow: late | at RX: early")
      ->check(one_of({"late", "early"}))
      ->capture_default_str();
  app.add_flag("--exit-when-drained", o.exit_when_drained,
               "end once all input files are read and every packet has left");
  app.add_option("--stats", o.stats_path, "write statistics to this JSON file at the end");
  app.add_option("--prefix", o.prefix, "name of this platform; several may run side by side")
      ->check(CLI::Validator(plain_prefix, "NAME"))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    parsed.exit_status = app.exit(done);
    parsed.run = false;
    return parsed;
  } catch (const CLI::ParseError& error) {
    spdlog::error("{}: see manager.sh --help", error.what());
    parsed.exit_status = 1;
    parsed.run = false;
    return parsed;
  }
  o.gpu = gpu == "none"     ? GpuChoice::kNone
          : gpu == "opencl" ? GpuChoice::kOpenCl
          : gpu == "cuda"   ? GpuChoice::kCuda
                            : GpuChoice::kAuto;
  o.busy = idle == "busy";
  o.overload_early = overload == "early";
  o.missing_nf = missing_nf == "skip" ? MissingNf::kSkip : MissingNf::kDrop;
  if (o.ports.empty()) {
    spdlog::error("no --port is given: add at least one, e.g. --port pcap:rx=in.pcap,tx=out.pcap");
    parsed.exit_status = 1;
    parsed.run = false;
  } else if (o.ports.size() > kMaxPorts) {
    spdlog::error("{} --port options are too many: use at most {}", o.ports.size(), kMaxPorts);
    parsed.exit_status = 1;
    parsed.run = false;
  }
  return parsed;
}

}  // namespace hb
