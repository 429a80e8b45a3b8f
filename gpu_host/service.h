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
#include "gpu_host/slice_runner.h"
#include "gpu_host/syncer.h"
#include "nf_lib/attachment.h"

namespace hb {

struct ServiceOptions {
  std::string prefix = "hb";
  std::string backend = "auto";
  std::optional<std::uint32_t> device_idx;  ///< nullopt: the first that passes the litmus test
  std::uint32_t n_syncers = 1;
  bool busy = false;
  std::string cores;
  std::optional<MemoryMode> memory;  ///< nullopt: the first that works
  std::string kernel_dir;
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
  struct Slice;

  bool manager_knows_ = false;

  Result<void> attach();
  Result<void> open_device();
  Result<void> handle(const nlohmann::json& message, bool& stop);
  Result<void> add_slice(const nlohmann::json& message);
  Result<void> check_spec(const nlohmann::json& message, SliceSpec& spec) const;
  Result<void> add_to_syncers(const nlohmann::json& message, const SliceSpec& spec,
                              Doorbell& doorbell);
  void remove_from_syncers(std::uint32_t slice);
  /// Lets go of slices whose last packet has left; tells the manager.
  Result<void> finish_removals();

  ServiceOptions options_;
  std::span<const BackendEntry> backends_;
  std::string backend_name_;
  std::unique_ptr<Backend> backend_;
  std::optional<Attachment> attachment_;
  DeviceInfo device_;
  MemoryReport memory_;
  std::vector<std::unique_ptr<Syncer>> syncers_;
  std::map<std::uint32_t, std::unique_ptr<Slice>> slices_;
  std::vector<std::jthread> threads_;
};

}  // namespace hb
