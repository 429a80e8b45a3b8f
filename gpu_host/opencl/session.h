// An opened OpenCL device: context, program, and how many work-groups are resident on it.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "gpu_host/backend.h"
#include "gpu_host/opencl/cl_api.h"
#include "nf_lib/secret_memory.h"

namespace hb::opencl {

struct Device {
  cl_platform_id platform = nullptr;
  cl_device_id id = nullptr;
  DeviceInfo info;
  cl_device_svm_capabilities svm = 0;
};

/// All devices of all platforms, GPUs first. The first OpenCL call of the process.
Result<std::vector<Device>> list_devices();

class ClProgram final : public DeviceProgram {
 public:
  explicit ClProgram(Program program) : program_(std::move(program)) {}
  [[nodiscard]] cl_program get() const { return program_.get(); }

 private:
  Program program_;
};

/// What slices and tables share. Outlives them.
struct Session {
  Device device;
  BackendOptions options;
  Context context;
  std::shared_ptr<const ClProgram> program;  ///< with the NFs that come with the platform
  std::size_t variant = 0;                   ///< of the language options that it was built with
  std::atomic<std::uint32_t> resident{0};
};

/// A queue of its own for whoever launches or copies.
Result<Queue> make_queue(const Session& session);
/// @param program  one of this backend's; null: the session's
Result<Kernel> make_kernel(const Session& session, const char* name,
                           const DeviceProgram* program = nullptr);

/// A buffer of at least 64 bytes.
Result<Buffer> make_buffer(const Session& session, cl_mem_flags flags, std::size_t bytes,
                           void* host = nullptr);

class ClTable : public DeviceTable {
 public:
  /// @param bytes  what the buffer lies over, or none
  ClTable(Buffer buffer, SecretVector<std::byte> bytes)
      : bytes_(std::move(bytes)), buffer_(std::move(buffer)) {}
  [[nodiscard]] cl_mem memory() const { return buffer_.get(); }

 private:
  SecretVector<std::byte> bytes_;
  Buffer buffer_;
};

/// Enqueues one launch on an in-order queue and waits for everything on it.
/// @param what  for the Error
Result<void> launch_and_wait(cl_command_queue queue, cl_kernel kernel, std::size_t work_groups,
                             std::size_t work_group_size, const char* what);

}  // namespace hb::opencl
