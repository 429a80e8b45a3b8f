#include "gpu_host/cuda/slices.h"

#include <algorithm>
#include <array>
#include <cstring>

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
  Result<ResidentShare> share = ResidentShare::take(session, 1);
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

Result<void> PersistentArguments::launch(const Session& session, const Stream& stream,
                                         std::uint32_t work_groups, std::uint32_t work_group_size) {
  if (const Result<void> entered = session.enter(); !entered) return entered;
  std::array<void*, 11> pointers = {&region,        &queue_controls, &slots,     &results,
                                    &slice_control, &table,          &nf,        &first_work_group,
                                    &n_rounds,      &idle_polls,     &max_rounds};
  if (const CuResult code =
          session.api().launch(session.persistent(), work_groups, 1, 1, work_group_size, 1, 1, 0,
                               stream.get(), pointers.data(), nullptr);
      code != kSuccess)
    return session.error("launch the persistent kernel", code);
  return {};
}

Result<void> PersistentArguments::run(const Session& session, const Stream& stream,
                                      std::uint32_t work_groups, std::uint32_t work_group_size,
                                      const char* what) {
  if (const Result<void> done = launch(session, stream, work_groups, work_group_size); !done)
    return done;
  return stream.wait(what);
}

Result<std::unique_ptr<DeviceSlice>> DirectSlice::make(Session& session, const RegionLayout& layout,
                                                       const RegisteredRegion& memory,
                                                       const SliceSpec& spec) {
  Result<ResidentShare> share = ResidentShare::take(session, spec.n_work_groups);
  if (!share) return share.error();
  Result<Stream> stream = Stream::make(session);
  if (!stream) return stream.error();
  std::unique_ptr<DirectSlice> slice(
      new DirectSlice(session, std::move(*share), std::move(*stream), spec));
  slice->work_group_size_ = layout.work_group_size;
  const bool watched = session.has_watchdog();
  slice->arguments_ = {.region = memory.base(),
                       .queue_controls = layout.queue_controls,
                       .slots = layout.slots,
                       .results = layout.results,
                       .slice_control = layout.slice_controls + spec.slice * sizeof(HbSliceControl),
                       .table = static_cast<const CudaTable&>(*spec.table).pointer(),
                       .nf = spec.kernel->number,
                       .first_work_group = spec.first_work_group,
                       .n_rounds = layout.n_rounds,
                       .idle_polls = watched ? kIdlePollsWatched : 0,
                       .max_rounds = watched ? kMaxRoundsWatched : 0};
  return std::unique_ptr<DeviceSlice>(std::move(slice));
}

Result<void> DirectSlice::run() {
  return arguments_.run(session_, stream_, spec_.n_work_groups, work_group_size_,
                        "run the persistent kernel");
}

Result<std::unique_ptr<DeviceSlice>> StagedSlice::make(Session& session, const RegionView& view,
                                                       const SliceSpec& spec) {
  Result<ResidentShare> share = ResidentShare::take(session, spec.n_work_groups);
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
  memory_ = std::make_unique<DeviceMemory>(std::move(*memory));
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
  PersistentArguments arguments{.region = memory_->get(),
                                .queue_controls = batch_.controls(),
                                .slots = batch_.slots(),
                                .results = batch_.results(),
                                .slice_control = batch_.slice_control(),
                                .table = static_cast<const CudaTable&>(*spec_.table).pointer(),
                                .nf = spec_.kernel->number,
                                .first_work_group = 0,
                                .n_rounds = layout_.n_rounds,
                                .idle_polls = HB_IDLE_POLLS_NONE,
                                .max_rounds = 0};
  if (const Result<void> done =
          arguments.launch(session_, stream_, spec_.n_work_groups, layout_.work_group_size);
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
