// Slices on an OpenCL device: over the mapped region, and staged.
#pragma once

#include "gpu_host/opencl/memory.h"
#include "gpu_host/resident_share.h"

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
  Buffer launch_;
  Kernel kernel_;
};

/// Gives a kernel its launch block and its table, the arguments after the region.
/// @param bytes  as launch_block() makes them
/// @param block  receives the block's buffer, which must live as long as the kernel
Result<void> set_launch(const Session& session, cl_kernel kernel, std::span<const std::byte> bytes,
                        const SliceSpec& spec, Buffer& block);

}  // namespace hb::opencl
