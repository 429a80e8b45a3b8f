// Slices on a CUDA device: over the registered region, and staged.
#pragma once

#include "gpu_host/cuda/session.h"
#include "gpu_host/resident_share.h"
#include "gpu_host/staged_batch.h"

namespace hb::cuda {

/// The region as the device has it: registered, pinned, mapped. Outlives the slices over it.
class RegisteredRegion {
 public:
  /// @return an Error with the reason in a few words
  static Result<std::unique_ptr<RegisteredRegion>> make(Session& session, const RegionView& view);
  ~RegisteredRegion();
  RegisteredRegion(const RegisteredRegion&) = delete;
  RegisteredRegion& operator=(const RegisteredRegion&) = delete;

  /// The base, as a kernel sees it.
  [[nodiscard]] CuDevicePtr base() const noexcept { return base_; }

 private:
  RegisteredRegion(Session& session, std::byte* host) : session_(session), host_(host) {}
  Session& session_;
  std::byte* host_;
  CuDevicePtr base_ = 0;
};

/// Runs the litmus test over the registered region.
Result<void> litmus_test(Session& session, const RegionFile& region,
                         const RegisteredRegion& memory);

/// Puts one launch of the slice's persistent kernel on a stream.
/// @param block  as launch_block() makes it, on the device
Result<void> launch_persistent(const Session& session, const Stream& stream, const SliceSpec& spec,
                               std::uint32_t work_group_size, CuDevicePtr region,
                               CuDevicePtr block);

/// Runs in place over the region, on a stream of its own: one launch for the slice's whole life, or
/// bounded ones on a device with a watchdog.
class DirectSlice final : public DeviceSlice {
 public:
  static Result<std::unique_ptr<DeviceSlice>> make(Session& session, const RegionView& view,
                                                   const RegisteredRegion& memory,
                                                   const SliceSpec& spec);
  Result<void> run() override;

 private:
  DirectSlice(Session& session, ResidentShare share, Stream stream, DeviceMemory launch,
              const RegionView& view, CuDevicePtr region, SliceSpec spec)
      : session_(session),
        share_(std::move(share)),
        stream_(std::move(stream)),
        launch_(std::move(launch)),
        view_(view),
        region_(region),
        spec_(std::move(spec)) {}

  Session& session_;
  ResidentShare share_;
  Stream stream_;
  DeviceMemory launch_;
  RegionView view_;
  CuDevicePtr region_;
  SliceSpec spec_;
};

/// Copies rounds in with their packets, runs one bounded launch, and copies them out.
class StagedSlice final : public DeviceSlice {
 public:
  /// @param view  the region, or any host memory laid out likewise
  static Result<std::unique_ptr<DeviceSlice>> make(Session& session, const RegionView& view,
                                                   const SliceSpec& spec);
  Result<void> run() override;

 private:
  StagedSlice(Session& session, ResidentShare share, Stream stream, StagedBatch batch,
              const RegionLayout& layout, SliceSpec spec)
      : session_(session),
        share_(std::move(share)),
        stream_(std::move(stream)),
        batch_(std::move(batch)),
        layout_(layout),
        spec_(std::move(spec)) {}

  Result<void> reserve(std::size_t bytes);
  Result<void> copy_in(std::size_t from, std::size_t to);
  Result<void> copy_out(std::size_t from, std::size_t to);

  Session& session_;
  ResidentShare share_;
  Stream stream_;
  StagedBatch batch_;
  RegionLayout layout_;
  SliceSpec spec_;
  std::unique_ptr<DeviceMemory> memory_;
  std::unique_ptr<DeviceMemory> launch_;  ///< the block; it holds memory_'s size
  std::size_t memory_bytes_ = 0;
};

}  // namespace hb::cuda
