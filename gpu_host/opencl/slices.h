// Slices on an OpenCL device: over the mapped region, and staged.
#pragma once

#include "gpu_host/opencl/memory.h"

namespace hb::opencl {

/// Runs hb_persistent in place over the region. Own in-order queue, own kernel object.
class DirectSlice final : public DeviceSlice {
 public:
  static Result<std::unique_ptr<DeviceSlice>> make(Session& session, const RegionLayout& layout,
                                                   const DeviceRegion& memory,
                                                   const SliceSpec& spec);
  Result<void> run() override;

 private:
  DirectSlice(ResidentShare share, const SliceSpec& spec) : share_(std::move(share)), spec_(spec) {}

  ResidentShare share_;
  SliceSpec spec_;
  std::size_t work_group_size_ = 0;
  Queue queue_;
  Kernel kernel_;
};

/// Sets the arguments after the region's base, in the order of kernels/persistent.cl.
struct PersistentArguments {
  cl_ulong queue_controls;
  cl_ulong slots;
  cl_ulong results;
  cl_ulong slice_control;
  cl_mem table;
  cl_uint nf;
  cl_uint first_work_group;
  cl_uint n_rounds;
  cl_uint idle_polls;
  cl_uint max_rounds;

  [[nodiscard]] Result<void> set(cl_kernel kernel) const;
};

}  // namespace hb::opencl
