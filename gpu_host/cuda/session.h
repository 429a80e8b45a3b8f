// An opened CUDA device: context, program, streams, memory that is never given back while a kernel
// may run.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gpu_host/backend.h"
#include "gpu_host/cuda/driver_api.h"
#include "gpu_host/cuda/launch_gate.h"

namespace hb::cuda {

struct Device {
  CuDevice id = 0;
  DeviceInfo info;
  int arch = 0;  ///< compute capability, 90 for 9.0
};

/// All devices of the driver.
Result<std::vector<Device>> list_devices(const DriverApi& api);

class Session;

/// A module on the device. Unloading one may wait for every kernel, also one that never ends: so it
/// goes to Session::retire().
class CudaProgram final : public DeviceProgram {
 public:
  /// Loads machine code, or PTX, and checks that max_resident work-groups of it can be resident at
  /// once. Waits for every kernel that runs: LaunchGate::pause() first.
  static Result<std::shared_ptr<const CudaProgram>> load(Session& session,
                                                         std::span<const char> code);
  ~CudaProgram() override;
  CudaProgram(const CudaProgram&) = delete;
  CudaProgram& operator=(const CudaProgram&) = delete;

  [[nodiscard]] CuFunction persistent() const noexcept { return persistent_; }
  /// Work-groups that can be resident if each has the most that HB_EXTRA_LOCAL_BYTES gives.
  [[nodiscard]] std::uint32_t most_with_extra() const noexcept { return most_with_extra_; }
  /// @return an Error if the program has no such kernel
  [[nodiscard]] Result<CuFunction> function(const char* name) const;

 private:
  explicit CudaProgram(Session& session) : session_(session) {}
  Session& session_;
  CuModule module_ = nullptr;
  CuFunction persistent_ = nullptr;
  std::uint32_t most_with_extra_ = 0;
};

/// What slices, tables and programs share. Outlives them.
class Session {
 public:
  /// Takes the device's primary context for the calling thread.
  static Result<std::unique_ptr<Session>> open(const BackendOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Loads the program with the NFs that come with the platform. Before any slice runs.
  Result<void> load(std::span<const char> code);
  /// A module that nothing uses any more: unloaded with the session, or when unload_retired() says.
  void retire(CuModule module);
  /// While no launch that never ends is under way.
  void unload_retired();

  [[nodiscard]] const DriverApi& api() const noexcept { return api_; }
  [[nodiscard]] const Device& device() const noexcept { return device_; }
  [[nodiscard]] const BackendOptions& options() const noexcept { return options_; }
  /// The one that load() loaded.
  [[nodiscard]] const CudaProgram& program() const noexcept { return *program_; }
  [[nodiscard]] CuFunction litmus() const noexcept { return litmus_; }
  [[nodiscard]] LaunchGate& gate() noexcept { return gate_; }
  /// The driver ends kernels that run long: those of a display, mostly.
  [[nodiscard]] bool has_watchdog() const noexcept { return has_watchdog_; }

  /// Makes the context the calling thread's. Every thread that calls the driver does this first.
  Result<void> enter() const;
  [[nodiscard]] Error error(const std::string& doing, CuResult code) const {
    return cu_error(api_, doing, code);
  }

  /// Pinned host memory of at least `bytes`. Freeing such memory waits for every kernel, also one
  /// that never ends: so it goes back to give_back_host(), and is freed with the session.
  Result<std::span<std::byte>> take_host(std::size_t bytes);
  void give_back_host(std::span<std::byte> memory);

  std::atomic<std::uint32_t> resident{0};  ///< work-groups

 private:
  Session(const DriverApi& api, BackendOptions options) : api_(api), options_(std::move(options)) {}

  const DriverApi& api_;
  BackendOptions options_;
  Device device_;
  bool has_watchdog_ = false;
  CuContext context_ = nullptr;
  std::shared_ptr<const CudaProgram> program_;
  CuFunction litmus_ = nullptr;
  LaunchGate gate_;
  std::mutex host_mutex_;
  std::vector<std::span<std::byte>> spare_host_;
  std::mutex modules_mutex_;
  std::vector<CuModule> retired_modules_;
};

/// A stream that waits for no other. Owns it; outlived by the session.
class Stream {
 public:
  static Result<Stream> make(const Session& session);
  Stream(Stream&& other) noexcept
      : session_(other.session_),
        stream_(std::exchange(other.stream_, nullptr)),
        event_(std::exchange(other.event_, nullptr)) {}
  Stream& operator=(Stream&&) = delete;
  ~Stream();

  [[nodiscard]] CuStream get() const noexcept { return stream_; }
  /// Sleeps until all that was put on this stream is done.
  /// @param doing  for the Error
  Result<void> wait(const char* doing) const;

 private:
  explicit Stream(const Session& session) : session_(&session) {}
  const Session* session_;
  CuStream stream_ = nullptr;
  CuEvent event_ = nullptr;
};

/// Device memory, allocated and freed in the order of a stream of its own: neither waits for a
/// kernel on another.
class DeviceMemory {
 public:
  static Result<DeviceMemory> make(const Session& session, std::size_t bytes);
  DeviceMemory(DeviceMemory&& other) noexcept
      : session_(other.session_),
        stream_(std::move(other.stream_)),
        pointer_(std::exchange(other.pointer_, 0)) {}
  DeviceMemory& operator=(DeviceMemory&&) = delete;
  ~DeviceMemory();

  [[nodiscard]] CuDevicePtr get() const noexcept { return pointer_; }
  [[nodiscard]] const Stream& stream() const noexcept { return stream_; }

 private:
  DeviceMemory(const Session& session, Stream stream)
      : session_(&session), stream_(std::move(stream)) {}
  const Session* session_;
  Stream stream_;
  CuDevicePtr pointer_ = 0;
};

/// Copies bytes into device memory, through pinned memory, beside whatever runs. At least 64 bytes
/// are there, zeros behind the given ones: a kernel may read a header's worth of any table.
Result<DeviceMemory> upload(Session& session, std::span<const std::byte> bytes);

/// A table in the device's memory.
class CudaTable final : public DeviceTable {
 public:
  explicit CudaTable(DeviceMemory memory) : memory_(std::move(memory)) {}
  [[nodiscard]] CuDevicePtr pointer() const noexcept { return memory_.get(); }

 private:
  DeviceMemory memory_;
};

}  // namespace hb::cuda
