// Slices on a CUDA device: over the registered region, and staged.
#pragma once

#include "gpu_host/cuda/session.h"
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

/// hb_persistent's arguments, in the order of kernels/persistent.cl.
struct PersistentArguments {
  CuDevicePtr region;
  u64 queue_controls;
  u64 slots;
  u64 results;
  u64 slice_control;
  CuDevicePtr table;
  u32 nf;
  u32 first_work_group;
  u32 n_rounds;
  u32 idle_polls;
  u32 max_rounds;

  /// Launches and sleeps until the launch has ended.
  /// @param what  for the Error
  Result<void> run(const Session& session, const Stream& stream, std::uint32_t work_groups,
                   std::uint32_t work_group_size, const char* what);
  Result<void> launch(const Session& session, const Stream& stream, std::uint32_t work_groups,
                      std::uint32_t work_group_size);
};

/// Runs in place over the region, on a stream of its own: one launch for the slice's whole life, or
/// bounded ones on a device with a watchdog.
class DirectSlice final : public DeviceSlice {
 public:
  static Result<std::unique_ptr<DeviceSlice>> make(Session& session, const RegionLayout& layout,
                                                   const RegisteredRegion& memory,
                                                   const SliceSpec& spec);
  Result<void> run() override;

 private:
  DirectSlice(Session& session, ResidentShare share, Stream stream, SliceSpec spec)
      : session_(session),
        share_(std::move(share)),
        stream_(std::move(stream)),
        spec_(std::move(spec)) {}

  Session& session_;
  ResidentShare share_;
  Stream stream_;
  SliceSpec spec_;
  std::uint32_t work_group_size_ = 0;
  PersistentArguments arguments_{};
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
  std::size_t memory_bytes_ = 0;
};

}  // namespace hb::cuda
