// Which CPU each polling thread of the platform has.
#pragma once

#include <string>
#include <vector>

#include "manager/options.h"
#include "manager/port_spec.h"
#include "nf_lib/control_layout.h"
#include "nf_lib/result.h"

namespace hb {

/// NUMA node of the first port whose device has one, by what the kernel says, else -1.
int node_of_ports(const std::vector<PortSpec>& specs);

/// The manager's control thread has the first CPU, each TX thread one of the next, and each RX
/// thread one more, if there are so many. With --idle busy the CPUs that are left go to the
/// contexts behind theirs, one each: a thread that always polls and floats is put where another one
/// does the same, for milliseconds, as soon as the kernel's balancing errs.
class CpuPlan {
 public:
  /// @return an Error for a --cores that names CPUs which this process may not use
  static Result<CpuPlan> make(const ManagerOptions& options, const std::vector<PortSpec>& specs);
  /// @param cpus  that may be used, ascending
  CpuPlan(std::vector<int> cpus, std::uint32_t n_tx_threads, std::uint32_t n_rx_threads, bool busy)
      : cpus_(std::move(cpus)),
        n_tx_threads_(n_tx_threads),
        n_threads_(1 + n_tx_threads + n_rx_threads),
        busy_(busy) {}

  /// EAL's --lcores: 0 is the control thread, then come TX threads, the rest are RX. With too few
  /// CPUs all of them float.
  [[nodiscard]] std::string lcores() const;
  /// @param context  number of an NF's, or of a CPUSyncer's
  /// @return a CPU, or -1 if the context's thread is to float
  [[nodiscard]] int cpu_of(std::uint32_t context) const noexcept;

 private:
  std::vector<int> cpus_;
  std::uint32_t n_tx_threads_;
  std::uint32_t n_threads_;
  bool busy_;
};

}  // namespace hb
