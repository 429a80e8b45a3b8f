// How the device reaches the region's bytes: one mode of the ladder, set up and tried out.
#pragma once

#include "gpu_host/opencl/session.h"

namespace hb::opencl {

/// The region as the device has it. Owns the alias or the buffer; outlives the slices over it.
class DeviceRegion {
 public:
  /// Sets one mode up; whether it works is for the litmus test to say.
  /// @return an Error with the reason in a few words
  static Result<std::unique_ptr<DeviceRegion>> make(Session& session, const RegionFile& region,
                                                    MemoryMode mode);
  ~DeviceRegion();
  DeviceRegion(const DeviceRegion&) = delete;
  DeviceRegion& operator=(const DeviceRegion&) = delete;

  /// Passes the region's base as a kernel's argument.
  cl_int set_as_argument(cl_kernel kernel, cl_uint index) const;

 private:
  explicit DeviceRegion(Session& session) : session_(session) {}
  Result<void> alias(const RegionFile& region);

  Session& session_;
  void* pointer_ = nullptr;    ///< svm-system, svm-alias
  void* allocated_ = nullptr;  ///< what clSVMAlloc gave
  std::size_t bytes_ = 0;
  std::size_t page_bytes_ = 0;
  bool is_system_ = false;
  Buffer buffer_;  ///< host-ptr
};

/// Lets another process and a running kernel answer each other over the region's scratch area.
/// @return an Error with the reason in a few words if they don't
Result<void> litmus_test(Session& session, const RegionFile& region, const DeviceRegion& memory);

}  // namespace hb::opencl
