#include "gpu_host/staged_batch.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "gpu_host/launch_block.h"
#include "gpu_host/shared_word.h"

namespace hb {
namespace {

constexpr std::size_t kSlotUnit = 64;
/// A slot's data offset counts from its mbuf, of which only a piece is copied: the first piece lies
/// so far in that the place where its mbuf would start is still in the batch.
constexpr std::size_t kMaxDataOffset = 65536;

constexpr std::size_t down(std::size_t value) { return value / kSlotUnit * kSlotUnit; }
constexpr std::size_t up(std::size_t value) { return down(value + kSlotUnit - 1); }

}  // namespace

Result<StagedBatch> StagedBatch::make(const RegionView& view, const SliceSpec& spec,
                                      std::unique_ptr<StagingMemory> host) {
  StagedBatch batch(view, spec, std::move(host));
  const std::size_t n_slots = spec.work_groups.size() * view.slots_per_queue();
  batch.controls_ = up(n_slots * sizeof(u64));
  batch.slice_control_ = batch.controls_ + spec.work_groups.size() * sizeof(HbQueueControl);
  batch.slots_ = batch.slice_control_ + sizeof(HbSliceControl);
  batch.words_ = up(batch.slots_ + n_slots * sizeof(u64));
  batch.packets_ = up(batch.words_ + n_slots * sizeof(HbSlotWords)) + kMaxDataOffset;
  batch.pieces_.reserve(n_slots);
  if (const Result<void> done = batch.reserve(batch.packets_); !done) return done.error();
  return batch;
}

std::vector<std::byte> StagedBatch::launch(std::uint64_t bytes) const {
  HbLaunch launch = launch_of(spec_, view_.layout().n_rounds, HB_IDLE_POLLS_NONE, 0);
  launch.queue_controls = controls();
  launch.slots = slots();
  launch.results = results();
  launch.words = words_;
  launch.slice_control = slice_control();
  launch.region_bytes = bytes;
  std::vector<std::uint32_t> numbers(spec_.work_groups.size());
  std::iota(numbers.begin(), numbers.end(), 0u);
  return launch_block(launch, numbers);
}

Result<void> StagedBatch::reserve(std::size_t bytes) {
  if (bytes <= host_->size()) return {};
  return host_->grow(std::max<std::size_t>(2 * bytes, 1u << 20));
}

Result<void> StagedBatch::gather() {
  const std::uint32_t n_lanes = view_.layout().work_group_size;
  const std::uint32_t n_rounds = view_.layout().n_rounds;
  pieces_.clear();
  end_ = packets_;
  std::memset(host_at<HbSliceControl>(slice_control_), 0, sizeof(HbSliceControl));
  for (std::uint32_t i = 0; i < spec_.work_groups.size(); ++i) {
    const std::uint32_t work_group = spec_.work_groups[i];
    HbQueueControl* const queue = view_.queue_control(work_group);
    // Acquire: pairs with the CPUSyncer's release store, so these rounds' slots are whole.
    const std::uint32_t published = load_word(queue->published.value);
    const std::uint32_t completed = load_word(queue->completed.value);
    // More than a queue holds: overwritten words.
    const std::uint32_t end = published - completed > n_rounds ? completed : published;
    stage_controls(i, completed, end);
    for (std::uint32_t round = completed; round != end; ++round) {
      const std::uint32_t first = (round & (n_rounds - 1)) * n_lanes;
      for (std::uint32_t lane = 0; lane < n_lanes; ++lane)
        if (const Result<void> done = gather_packet(view_.slots(work_group)[first + lane],
                                                    i * view_.slots_per_queue() + first + lane);
            !done)
          return done;
    }
  }
  return {};
}

void StagedBatch::stage_controls(std::uint32_t queue, std::uint32_t completed,
                                 std::uint32_t published) {
  HbQueueControl& staged = host_at<HbQueueControl>(controls_)[queue];
  staged.published.value = published;
  staged.published.stop = 0;
  staged.completed.value = completed;
}

Result<void> StagedBatch::gather_packet(u64 slot, std::uint32_t at) {
  const std::uint64_t base = HB_SLOT_BASE(slot);
  const std::uint64_t offset = HB_SLOT_DATA_OFFSET(slot);
  const std::uint64_t back = offset + HB_SLOT_LENGTH(slot) + spec_.kernel->grows_back;
  const std::uint64_t front = offset - std::min<std::uint64_t>(offset, spec_.kernel->grows_front);
  if (slot == 0 || base + back > view_.layout().total_bytes) {
    host_at<u64>(slots_)[at] = 0;
    // Answered here: nothing for a dummy, no verdict for what lies outside the region.
    const std::uint32_t per_queue = view_.slots_per_queue();
    view_.results(spec_.work_groups[at / per_queue])[at % per_queue] = slot == 0 ? 0 : ~u64{0};
    return {};
  }
  const Piece piece{base + front, end_ + (front - down(front)),
                    static_cast<std::uint32_t>(back - front), at};
  const std::size_t end = end_ + up(back) - down(front);
  if (const Result<void> done = reserve(end); !done) return done;
  std::memcpy(host_->data() + piece.packed, view_.base() + piece.from, piece.bytes);
  const std::uint32_t per_queue = view_.slots_per_queue();
  if (spec_.kernel->make_hook != nullptr)
    host_at<HbSlotWords>(words_)[at] =
        view_.words(spec_.work_groups[at / per_queue])[at % per_queue];
  host_at<u64>(slots_)[at] =
      HB_SLOT((end_ - down(front)) / kSlotUnit, HB_SLOT_LENGTH(slot), offset);
  end_ = end;
  pieces_.push_back(piece);
  return {};
}

void StagedBatch::scatter() {
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
      std::memcpy(view_.base() + from, host_->data() + piece.packed + (from - piece.from), bytes);
    }
    view_.results(work_group)[in_queue] = result;
  }
  for (std::uint32_t i = 0; i < spec_.work_groups.size(); ++i) {
    // Release: pairs with the CPUSyncer's acquire load, as the kernel's own store does elsewhere.
    store_word(view_.queue_control(spec_.work_groups[i])->completed.value,
               host_at<HbQueueControl>(controls_)[i].completed.value);
  }
}

}  // namespace hb
