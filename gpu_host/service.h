// gpu_host's life: attach, make the device ready, serve the manager's orders until it says stop.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "gpu_host/device_choice.h"
#include "gpu_host/elastic.h"
#include "gpu_host/slice_control.h"
#include "nf_lib/attachment.h"

namespace hb {

struct ServiceOptions {
  std::string prefix = "hb";
  std::string backend = "auto";
  std::optional<std::uint32_t> device_idx;  ///< nullopt: the first that passes the litmus test
  std::uint32_t n_syncers = 1;
  bool busy = false;
  bool elastic = false;
  std::string cores;
  std::optional<MemoryMode> memory;  ///< nullopt: the first that works
  std::string kernel_dir;
  std::uint32_t round_timeout_ms = 5000;  ///< how long a round may take
};

/// The process' one service. Main thread, but for the threads it starts.
class Service {
 public:
  /// @param backends  to choose the device from, in this order
  Service(ServiceOptions options, std::span<const BackendEntry> backends);
  ~Service();

  /// Attaches, registers, opens the device, tests it, and reports to be ready.
  Result<void> start();

  /// The manager knows why start() failed, and says it.
  [[nodiscard]] bool manager_knows() const noexcept { return manager_knows_; }

  /// Serves until the manager says stop.
  /// @return an Error if the manager is gone
  Result<void> serve();

 private:
  bool manager_knows_ = false;

  Result<void> attach();
  Result<void> open_device();
  Result<void> handle(const nlohmann::json& message, bool& stop);
  /// Goes on with what the slices are at, and tells the manager what is done.
  Result<void> advance_slices();
  /// Ends this process if a kernel has not ended its round for too long: nothing else can end it.
  void look_for_stuck_kernels();
  /// With --elastic: asks the manager for a work-group where packets wait.
  Result<void> balance();

  ServiceOptions options_;
  std::span<const BackendEntry> backends_;
  std::string backend_name_;
  std::unique_ptr<Backend> backend_;
  std::optional<Attachment> attachment_;
  DeviceInfo device_;
  MemoryReport memory_;
  std::vector<std::unique_ptr<Syncer>> syncers_;
  SliceWorld world_;
  std::map<std::uint32_t, std::unique_ptr<SliceControl>> slices_;
  std::optional<Elastic> elastic_;
  std::uint64_t next_sample_ns_ = 0;
  std::vector<std::jthread> threads_;
};

}  // namespace hb
