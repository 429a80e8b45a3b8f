// The manager's command line: one structure, checked as far as can be without touching the system.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nf_lib/result.h"

namespace hb {

enum class GpuChoice { kAuto, kOpenCl, kCuda, kNone };
/// As users write it.
const char* to_string(GpuChoice gpu);
enum class MissingNf { kDrop, kSkip };

struct ManagerOptions {
  std::vector<std::string> ports;
  std::string routes;
  std::string flows;
  GpuChoice gpu = GpuChoice::kAuto;
  int gpu_device = -1;  ///< -1: the first that passes the litmus test
  std::uint32_t n_work_groups = 8;
  std::uint32_t work_group_size = 64;
  std::uint32_t n_syncers = 1;
  bool elastic = false;  ///< gpu_host moves work-groups by backlog
  std::uint32_t n_rx_threads = 1;
  std::uint32_t n_tx_threads = 1;
  std::string cores;
  std::uint32_t pool_size = 16384;
  std::uint32_t mbuf_bytes = 2048;
  std::uint32_t max_contexts = 32;
  bool busy = false;
  MissingNf missing_nf = MissingNf::kDrop;
  bool exit_when_drained = false;
  std::string stats_path;
  std::string prefix = "hb";
  std::uint32_t drain_timeout_ms = 5000;
  std::uint32_t nf_timeout_ms = 1000;
  bool debug_nf = false;
  std::uint32_t hold_queue = 1024;     ///< packets of each RX thread's hold queue
  std::uint32_t flow_memory_mib = 64;  ///< for the rules of flows, two sets of them
  bool overload_early = false;
};

/// What parsing says: run, or end now with this status (help was printed, or an error).
struct ParsedOptions {
  ManagerOptions options;
  int exit_status = 0;
  bool run = true;
};

/// Parses the command line; prints help or one line of error itself.
ParsedOptions parse_options(int argc, char** argv);

}  // namespace hb
