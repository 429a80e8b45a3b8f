#include "gpu_host/cuda/slices.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "gpu_host/launch_block.h"
#include "gpu_host/litmus.h"

namespace hb::cuda {
namespace {

/// Bounds for a device whose driver ends long kernels; docs/gpu.md.
constexpr u32 kIdlePollsWatched = 1u << 14;
constexpr u32 kMaxRoundsWatched = 1u << 16;
/// Empty polls over PCIe after which the kernel under test ends by itself: about two seconds.
constexpr u32 kLitmusPolls = 1u << 21;
constexpr unsigned kLitmusLanes = 64;

/// Pinned memory of the session's, for as long as the slice lives.
class PinnedMemory final : public StagingMemory {
 public:
  explicit PinnedMemory(Session& session) : session_(session) {}
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  ~PinnedMemory() override { session_.give_back_host(memory_); }

  [[nodiscard]] std::byte* data() override { return memory_.data(); }
  [[nodiscard]] std::size_t size() const override { return memory_.size(); }
  Result<void> grow(std::size_t bytes) override {
    const Result<std::span<std::byte>> larger = session_.take_host(bytes);
    if (!larger) return larger.error();
    if (!memory_.empty()) std::memcpy(larger->data(), memory_.data(), memory_.size());
    session_.give_back_host(memory_);
    memory_ = *larger;
    return {};
  }

 private:
  Session& session_;
  std::span<std::byte> memory_;
};

}  // namespace

Result<std::unique_ptr<RegisteredRegion>> RegisteredRegion::make(Session& session,
                                                                 const RegionView& view) {
  std::unique_ptr<RegisteredRegion> region(new RegisteredRegion(session, view.base()));
  const DriverApi& api = session.api();
  if (const CuResult code =
          api.host_register(view.base(), view.layout().total_bytes, kHostPortableMapped);
      code != kSuccess) {
    region->host_ = nullptr;
    return session.error("register the region's memory", code);
  }
  if (const CuResult code = api.host_device_pointer(&region->base_, view.base(), 0);
      code != kSuccess)
    return session.error("map the region's memory", code);
  return region;
}

RegisteredRegion::~RegisteredRegion() {
  if (host_ != nullptr) session_.api().host_unregister(host_);
}

Result<void> litmus_test(Session& session, const RegionFile& region,
                         const RegisteredRegion& memory) {
  Result<ResidentShare> share =
      ResidentShare::take(session.resident, session.options().max_resident, 1);
  if (!share) return share.error();
  Result<Stream> stream = Stream::make(session);
  if (!stream) return stream.error();
  CuDevicePtr base = memory.base();
  u64 offset = region.view.layout().litmus;
  u32 polls = kLitmusPolls;
  std::array<void*, 3> arguments = {&base, &offset, &polls};
  const auto launch = [&]() -> Result<void> {
    const CuResult code = session.api().launch(session.litmus(), 1, 1, 1, kLitmusLanes, 1, 1, 0,
                                               stream->get(), arguments.data(), nullptr);
    if (code != kSuccess) return session.error("launch the litmus kernel", code);
    return {};
  };
  const auto join = [&] { return stream->wait("run the litmus kernel"); };
  return hb::litmus_test(session.options().helper_program, region.path, region.view, launch, join);
}

/// Whether all work-groups could run at once if they were this NF's.
Result<void> check_local_memory(const Session& session, const SliceSpec& spec) {
  const std::uint32_t needed = session.options().max_resident;
  if (HB_EXTRA_LOCAL_BYTES(spec.kernel->number) == 0 ||
      session.program().most_with_extra() >= needed)
    return {};
  return Error{fmt::format("'{}' runs {} work-groups of {} at once, {} are needed",
                           session.device().info.name, session.program().most_with_extra(),
                           spec.kernel->name, needed),
               "give the manager fewer --workgroups"};
}

Result<void> launch_persistent(const Session& session, const Stream& stream, const SliceSpec& spec,
                               std::uint32_t work_group_size, CuDevicePtr region,
                               CuDevicePtr block) {
  if (const Result<void> entered = session.enter(); !entered) return entered;
  const auto* const own = static_cast<const CudaProgram*>(spec.program.get());
  const CudaProgram& program = own != nullptr ? *own : session.program();
  CuDevicePtr table = static_cast<const CudaTable&>(*spec.table).pointer();
  std::array<void*, 3> arguments = {&region, &block, &table};  // in kernels/persistent.cl's order
  if (const CuResult code = session.api().launch(
          program.persistent(), static_cast<unsigned>(spec.work_groups.size()), 1, 1,
          work_group_size, 1, 1, HB_EXTRA_LOCAL_BYTES(spec.kernel->number), stream.get(),
          arguments.data(), nullptr);
      code != kSuccess)
    return session.error("launch the persistent kernel", code);
  return {};
}

Result<std::unique_ptr<DeviceSlice>> DirectSlice::make(Session& session, const RegionView& view,
                                                       const RegisteredRegion& memory,
                                                       const SliceSpec& spec) {
  if (const Result<void> fits = check_local_memory(session, spec); !fits) return fits.error();
  Result<ResidentShare> share =
      ResidentShare::take(session.resident, session.options().max_resident,
                          static_cast<std::uint32_t>(spec.work_groups.size()));
  if (!share) return share.error();
  Result<Stream> stream = Stream::make(session);
  if (!stream) return stream.error();
  const bool watched = session.has_watchdog();
  const HbLaunch launch = direct_launch(spec, view.layout(), watched ? kIdlePollsWatched : 0,
                                        watched ? kMaxRoundsWatched : 0);
  Result<DeviceMemory> block = upload(session, launch_block(launch, spec.work_groups));
  if (!block) return block.error();
  return std::unique_ptr<DeviceSlice>(new DirectSlice(session, std::move(*share),
                                                      std::move(*stream), std::move(*block), view,
                                                      memory.base(), spec));
}

Result<void> DirectSlice::run() {
  const LaunchGate::Passage passage(session_.gate(), view_, spec_.work_groups);
  if (const Result<void> launched = launch_persistent(
          session_, stream_, spec_, view_.layout().work_group_size, region_, launch_.get());
      !launched)
    return launched;
  return stream_.wait("run the persistent kernel");
}

Result<std::unique_ptr<DeviceSlice>> StagedSlice::make(Session& session, const RegionView& view,
                                                       const SliceSpec& spec) {
  if (const Result<void> fits = check_local_memory(session, spec); !fits) return fits.error();
  Result<ResidentShare> share =
      ResidentShare::take(session.resident, session.options().max_resident,
                          static_cast<std::uint32_t>(spec.work_groups.size()));
  if (!share) return share.error();
  Result<Stream> stream = Stream::make(session);
  if (!stream) return stream.error();
  Result<StagedBatch> batch =
      StagedBatch::make(view, spec, std::make_unique<PinnedMemory>(session));
  if (!batch) return batch.error();
  return std::unique_ptr<DeviceSlice>(new StagedSlice(
      session, std::move(*share), std::move(*stream), std::move(*batch), view.layout(), spec));
}

Result<void> StagedSlice::reserve(std::size_t bytes) {
  if (bytes <= memory_bytes_) return {};
  const std::size_t wanted = std::max<std::size_t>(2 * bytes, 1u << 20);
  Result<DeviceMemory> memory = DeviceMemory::make(session_, wanted);
  if (!memory) return memory.error();
  Result<DeviceMemory> launch = upload(session_, batch_.launch(wanted));
  if (!launch) return launch.error();
  memory_ = std::make_unique<DeviceMemory>(std::move(*memory));
  launch_ = std::make_unique<DeviceMemory>(std::move(*launch));
  memory_bytes_ = wanted;
  return {};
}

Result<void> StagedSlice::copy_in(std::size_t from, std::size_t to) {
  if (const CuResult code = session_.api().copy_in_async(
          memory_->get() + from, batch_.data() + from, to - from, stream_.get());
      code != kSuccess)
    return session_.error("copy packets in", code);
  return {};
}

Result<void> StagedSlice::copy_out(std::size_t from, std::size_t to) {
  if (const CuResult code = session_.api().copy_out_async(
          batch_.data() + from, memory_->get() + from, to - from, stream_.get());
      code != kSuccess)
    return session_.error("copy results out", code);
  return {};
}

Result<void> StagedSlice::run() {
  if (const Result<void> done = session_.enter(); !done) return done;
  if (const Result<void> done = batch_.gather(); !done) return done;
  if (const Result<void> done = reserve(batch_.end()); !done) return done;
  if (const Result<void> done = copy_in(batch_.controls(), batch_.end()); !done) return done;
  if (const Result<void> done = launch_persistent(session_, stream_, spec_, layout_.work_group_size,
                                                  memory_->get(), launch_->get());
      !done)
    return done;
  if (spec_.kernel->writes_packets)
    if (const Result<void> done = copy_out(batch_.packets(), batch_.end()); !done) return done;
  if (const Result<void> done = copy_out(batch_.results(), batch_.slice_control()); !done)
    return done;
  if (const Result<void> done = stream_.wait("run a batch"); !done) return done;
  batch_.scatter();
  return {};
}

}  // namespace hb::cuda
