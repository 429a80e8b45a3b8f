// The staged mode: rounds that are published are copied in with their packets, run by one bounded
// launch, and copied out.
#pragma once

#include "gpu_host/opencl/slices.h"
#include "gpu_host/staged_batch.h"

namespace hb::opencl {

class StagedSlice final : public DeviceSlice {
 public:
  /// @param view  the region, or any host memory laid out likewise
  static Result<std::unique_ptr<DeviceSlice>> make(Session& session, const RegionView& view,
                                                   const SliceSpec& spec);
  Result<void> run() override;

 private:
  StagedSlice(Session& session, ResidentShare share, StagedBatch batch, const RegionLayout& layout,
              const SliceSpec& spec)
      : session_(session),
        share_(std::move(share)),
        batch_(std::move(batch)),
        layout_(layout),
        spec_(spec) {}

  Result<void> reserve(std::size_t bytes);
  Result<void> transfer(bool to_device, std::size_t from, std::size_t to, bool wait);

  Session& session_;
  ResidentShare share_;
  StagedBatch batch_;
  RegionLayout layout_;
  SliceSpec spec_;
  Queue queue_;
  Buffer launch_;
  Kernel kernel_;
  Buffer buffer_;
  std::size_t buffer_bytes_ = 0;
};

}  // namespace hb::opencl
