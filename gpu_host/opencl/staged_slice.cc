#include "gpu_host/opencl/staged_slice.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "gpu_host/launch_block.h"

namespace hb::opencl {
namespace {

constexpr std::size_t kSlotUnit = 64;
/// A slot's data offset counts from its mbuf, of which only a piece is copied: the first piece lies
/// so far in that the place where its mbuf would start is still in the batch.
constexpr std::size_t kMaxDataOffset = 65536;

constexpr std::size_t down(std::size_t value) { return value / kSlotUnit * kSlotUnit; }
constexpr std::size_t up(std::size_t value) { return down(value + kSlotUnit - 1); }

std::uint32_t load(u32& word) { return std::atomic_ref<u32>(word).load(std::memory_order_acquire); }

}  // namespace

Result<std::unique_ptr<DeviceSlice>> StagedSlice::make(Session& session, const RegionView& view,
                                                       const SliceSpec& spec) {
  Result<ResidentShare> share =
      ResidentShare::take(session, static_cast<std::uint32_t>(spec.work_groups.size()));
  if (!share) return share.error();
  std::unique_ptr<StagedSlice> slice(new StagedSlice(session, std::move(*share), view, spec));
  Result<Queue> queue = make_queue(session);
  if (!queue) return queue.error();
  slice->queue_ = std::move(*queue);
  Result<Kernel> kernel = make_kernel(session, "hb_persistent", spec.program.get());
  if (!kernel) return kernel.error();
  slice->kernel_ = std::move(*kernel);
  const std::size_t n_slots = spec.work_groups.size() * view.slots_per_queue();
  slice->controls_ = up(n_slots * sizeof(u64));
  slice->slice_control_ = slice->controls_ + spec.work_groups.size() * sizeof(HbQueueControl);
  slice->slots_ = slice->slice_control_ + sizeof(HbSliceControl);
  slice->packets_ = up(slice->slots_ + n_slots * sizeof(u64)) + kMaxDataOffset;
  slice->pieces_.reserve(n_slots);
  slice->host_.resize(slice->packets_);
  return std::unique_ptr<DeviceSlice>(std::move(slice));
}

Result<void> StagedSlice::reserve(std::size_t bytes) {
  if (bytes <= buffer_bytes_) return {};
  std::size_t wanted = std::max<std::size_t>(buffer_bytes_, 1u << 20);
  while (wanted < bytes) wanted *= 2;
  Result<Buffer> buffer = make_buffer(session_, CL_MEM_READ_WRITE, wanted);
  if (!buffer) return buffer.error();
  buffer_ = std::move(*buffer);
  buffer_bytes_ = wanted;
  cl_mem memory = buffer_.get();
  if (const cl_int code = clSetKernelArg(kernel_.get(), 0, sizeof(memory), &memory);
      code != CL_SUCCESS)
    return cl_error("take the staging buffer as an argument", code);
  // The batch lies in the buffer as a region of its own, its queues numbered from 0.
  HbLaunch launch = launch_of(spec_, view_.layout().n_rounds, HB_IDLE_POLLS_NONE, 0);
  launch.queue_controls = controls_;
  launch.slots = slots_;
  launch.results = 0;
  launch.slice_control = slice_control_;
  launch.region_bytes = buffer_bytes_;
  std::vector<std::uint32_t> numbers(spec_.work_groups.size());
  std::iota(numbers.begin(), numbers.end(), 0u);
  return set_launch(session_, kernel_.get(), launch, spec_, numbers, launch_);
}

Result<void> StagedSlice::transfer(bool to_device, std::size_t from, std::size_t to, bool wait) {
  const cl_bool blocking = wait ? CL_TRUE : CL_FALSE;
  const cl_int code =
      to_device ? clEnqueueWriteBuffer(queue_.get(), buffer_.get(), blocking, from, to - from,
                                       host_.data() + from, 0, nullptr, nullptr)
                : clEnqueueReadBuffer(queue_.get(), buffer_.get(), blocking, from, to - from,
                                      host_.data() + from, 0, nullptr, nullptr);
  if (code != CL_SUCCESS) return cl_error(to_device ? "copy packets in" : "copy results out", code);
  return {};
}

void StagedSlice::gather() {
  const std::uint32_t n_lanes = view_.layout().work_group_size;
  const std::uint32_t n_rounds = view_.layout().n_rounds;
  pieces_.clear();
  end_ = packets_;
  std::memset(host_at<HbSliceControl>(slice_control_), 0, sizeof(HbSliceControl));
  for (std::uint32_t i = 0; i < spec_.work_groups.size(); ++i) {
    const std::uint32_t work_group = spec_.work_groups[i];
    HbQueueControl* const queue = view_.queue_control(work_group);
    // Acquire: pairs with the CPUSyncer's release store, so these rounds' slots are whole.
    const std::uint32_t published = load(queue->published.value);
    const std::uint32_t completed = load(queue->completed.value);
    auto* const staged = host_at<HbQueueControl>(controls_) + i;
    staged->published.value = published;
    staged->completed.value = completed;
    if (published - completed > n_rounds) staged->published.value = completed;  // overwritten words
    for (std::uint32_t round = completed; round != staged->published.value; ++round) {
      const std::uint32_t first = (round & (n_rounds - 1)) * n_lanes;
      for (std::uint32_t lane = 0; lane < n_lanes; ++lane)
        gather_packet(view_.slots(work_group)[first + lane],
                      i * view_.slots_per_queue() + first + lane);
    }
  }
}

void StagedSlice::gather_packet(u64 slot, std::uint32_t at) {
  const std::uint64_t base = HB_SLOT_BASE(slot);
  const std::uint64_t offset = HB_SLOT_DATA_OFFSET(slot);
  const std::uint64_t back = offset + HB_SLOT_LENGTH(slot) + spec_.kernel->grows_back;
  const std::uint64_t front = offset - std::min<std::uint64_t>(offset, spec_.kernel->grows_front);
  if (slot == 0 || base + back > view_.layout().total_bytes) {
    host_at<u64>(slots_)[at] = 0;
    // Answered here: nothing for a dummy, no verdict for what lies outside the region.
    const std::uint32_t per_queue = view_.slots_per_queue();
    view_.results(spec_.work_groups[at / per_queue])[at % per_queue] = slot == 0 ? 0 : ~u64{0};
    return;
  }
  const Piece piece{base + front, end_ + (front - down(front)),
                    static_cast<std::uint32_t>(back - front), at};
  const std::size_t end = end_ + up(back) - down(front);
  if (end > host_.size()) host_.resize(end * 2);
  std::memcpy(host_.data() + piece.packed, view_.base() + piece.from, piece.bytes);
  host_at<u64>(slots_)[at] =
      HB_SLOT((end_ - down(front)) / kSlotUnit, HB_SLOT_LENGTH(slot), offset);
  end_ = end;
  pieces_.push_back(piece);
}

void StagedSlice::scatter() {
  const std::uint32_t per_queue = view_.slots_per_queue();
  const u64* const staged_results = host_at<u64>(0);
  for (const Piece& piece : pieces_) {
    const std::uint32_t work_group = spec_.work_groups[piece.at / per_queue];
    u64 result = staged_results[piece.at];
    const std::uint32_t in_queue = piece.at % per_queue;
    const u64 slot = view_.slots(work_group)[in_queue];
    const std::uint64_t from = HB_SLOT_BASE(slot) + HB_RESULT_DATA_OFFSET(result);
    const std::uint64_t bytes = HB_RESULT_LENGTH(result);
    if (HB_RESULT_VERDICT(result) == HB_VERDICT_DROP) {
      // Its bytes are of no more use.
    } else if (from < piece.from || from + bytes > piece.from + piece.bytes) {
      result = ~u64{0};  // no verdict: bytes that were never copied
    } else if (spec_.kernel->writes_packets) {
      std::memcpy(view_.base() + from, host_.data() + piece.packed + (from - piece.from), bytes);
    }
    view_.results(work_group)[in_queue] = result;
  }
  for (std::uint32_t i = 0; i < spec_.work_groups.size(); ++i) {
    // Release: pairs with the CPUSyncer's acquire load, as the kernel's own store does elsewhere.
    std::atomic_ref<u32>(view_.queue_control(spec_.work_groups[i])->completed.value)
        .store(host_at<HbQueueControl>(controls_)[i].completed.value, std::memory_order_release);
  }
}

Result<void> StagedSlice::run() {
  gather();
  if (const Result<void> done = reserve(end_); !done) return done;
  if (const Result<void> done = transfer(true, controls_, end_, false); !done) return done;
  const std::size_t lanes = view_.layout().work_group_size;
  if (Result<void> done =
          launch_and_wait(queue_.get(), kernel_.get(), spec_.work_groups.size(), lanes, "a batch");
      !done)
    return done;
  if (spec_.kernel->writes_packets)
    if (const Result<void> done = transfer(false, packets_, end_, false); !done) return done;
  if (const Result<void> done = transfer(false, 0, slice_control_, true); !done) return done;
  scatter();
  return {};
}

}  // namespace hb::opencl
