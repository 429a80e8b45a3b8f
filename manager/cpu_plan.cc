#include "manager/cpu_plan.h"

#include <fmt/format.h>
#include <numa.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "nf_lib/cpu_list.h"

namespace hb {
namespace {

/// Those of the CPUs that are on the node, or all of them if none is.
std::vector<int> cpus_on_node(const std::vector<int>& cpus, int node) {
  std::vector<int> near;
  if (node >= 0 && numa_available() >= 0)
    std::ranges::copy_if(cpus, std::back_inserter(near),
                         [node](int cpu) { return numa_node_of_cpu(cpu) == node; });
  return near.empty() ? cpus : near;
}

}  // namespace

int node_of_ports(const std::vector<PortSpec>& specs) {
  for (const PortSpec& spec : specs) {
    std::string path;
    const std::string name = spec.text.substr(spec.text.find(':') + 1);
    if (spec.kind == PortKind::kPci) path = "/sys/bus/pci/devices/" + name + "/numa_node";
    if (spec.kind == PortKind::kAfPacket) path = "/sys/class/net/" + name + "/device/numa_node";
    int node = -1;
    if (!path.empty() && std::ifstream(path) >> node && node >= 0) return node;
  }
  return -1;
}

Result<CpuPlan> CpuPlan::make(const ManagerOptions& options, const std::vector<PortSpec>& specs) {
  const Result<std::vector<int>> allowed = parse_cpu_list(options.cores);
  if (!allowed) return allowed.error();
  return CpuPlan(cpus_on_node(*allowed, node_of_ports(specs)), options.n_tx_threads,
                 options.n_rx_threads, options.busy);
}

std::string CpuPlan::lcores() const {
  std::string lcores;
  for (std::uint32_t i = 0; i < n_threads_; ++i) {
    lcores += fmt::format("{}{}@", i == 0 ? "" : ",", i);
    lcores += cpus_.size() >= n_threads_ ? std::to_string(cpus_[i])
                                         : fmt::format("({})", fmt::join(cpus_, ","));
  }
  return lcores;
}

int CpuPlan::cpu_of(std::uint32_t context) const noexcept {
  // Context 0 is the TX threads', those of the RX threads follow it.
  const std::size_t at = std::size_t{n_tx_threads_} + context;
  if (!busy_ || at < n_threads_ || at >= cpus_.size()) return -1;
  return cpus_[at];
}

}  // namespace hb
