#include "tools/hb_doctor/measure.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <latch>
#include <numeric>
#include <thread>
#include <vector>

#include "gpu_host/slice_runner.h"

namespace hb::doctor {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kDataOffset = 256;  ///< as behind an mbuf and its headroom
constexpr std::size_t kMostPacketBytes = 1536;
constexpr std::uint32_t kMostTimed = 1u << 16;
constexpr std::chrono::seconds kAnswerLimit{5};

double us_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

double quantile(std::vector<double>& sorted, double part) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))];
}

std::uint32_t load(u32& word) { return std::atomic_ref<u32>(word).load(std::memory_order_acquire); }

/// A slice that is launched as gpu_host launches it, and what its device said when it failed.
struct Running {
  explicit Running(std::uint32_t n_work_groups) : versions(n_work_groups) {}
  TableVersions versions;
  std::unique_ptr<SliceRunner> runner;
  std::atomic<bool> failed{false};
  Error error;
};

Result<std::unique_ptr<Running>> run_slice(Backend& backend, const RegionView& view,
                                           const SliceSpec& spec, bool staged) {
  auto slice = staged ? backend.make_staged_slice(view, spec) : backend.make_slice(spec);
  if (!slice) return slice.error();
  auto running = std::make_unique<Running>(view.layout().n_work_groups);
  Running* const raw = running.get();
  running->runner = std::make_unique<SliceRunner>(
      view, spec, std::move(*slice), running->versions, [raw](const Error& error) {
        raw->error = error;
        raw->failed.store(true, std::memory_order_release);
      });
  running->runner->start();
  return running;
}

/// Fills the queues first, first + step, ... of a slice until told to stop; then waits for answers.
class Filler {
 public:
  Filler(const RegionView& view, Running& running, std::uint32_t first, std::uint32_t step)
      : view_(view), running_(running) {
    for (std::uint32_t i = first; i < view.layout().n_work_groups; i += step) {
      HbQueueControl* const control = view.queue_control(i);
      const std::uint32_t at = control->published.value;
      queues_.push_back({control, at, at, {}});
    }
  }

  void run(const std::atomic<bool>& stop) {
    while (!stop.load(std::memory_order_relaxed) && !failed())
      if (!turn(true)) sched_yield();
    const auto begin = Clock::now();
    while (in_flight() != 0 && !failed() && Clock::now() - begin < kAnswerLimit)
      if (!turn(false)) sched_yield();
  }

  [[nodiscard]] std::uint64_t in_flight() const {
    std::uint64_t n = 0;
    for (const Queue& queue : queues_) n += queue.published - queue.seen;
    return n;
  }
  std::uint64_t n_rounds = 0;
  std::vector<double> times_us;

 private:
  struct Queue {
    HbQueueControl* control;
    std::uint32_t published;
    std::uint32_t seen;
    std::array<Clock::time_point, 16> handed_over;
  };

  [[nodiscard]] bool failed() const { return running_.failed.load(std::memory_order_acquire); }

  /// @return true if anything moved
  bool turn(bool publish) {
    bool moved = false;
    const std::uint32_t most = view_.layout().n_rounds;
    for (Queue& queue : queues_) {
      // Acquire: pairs with the kernel's release store of `completed`.
      const std::uint32_t completed = load(queue.control->completed.value);
      for (; queue.seen != completed; ++queue.seen, ++n_rounds, moved = true)
        if (times_us.size() < kMostTimed)
          times_us.push_back(us_since(queue.handed_over[queue.seen % most]));
      for (; publish && queue.published - queue.seen < most; moved = true) {
        queue.handed_over[queue.published % most] = Clock::now();
        ++queue.published;
        // Release: pairs with the kernel's acquire of `published`.
        std::atomic_ref<u32>(queue.control->published.value)
            .store(queue.published, std::memory_order_release);
      }
    }
    if (moved) running_.runner->doorbell().ring();
    return moved;
  }

  RegionView view_;
  Running& running_;
  std::vector<Queue> queues_;
};

Result<SliceSpec> spec_for(Backend& backend, const char* kernel, std::uint32_t n_work_groups,
                           std::span<const std::byte> table) {
  SliceSpec spec;
  spec.work_groups.resize(n_work_groups);
  std::iota(spec.work_groups.begin(), spec.work_groups.end(), 0u);
  spec.kernel = find_kernel(kernel);
  auto uploaded = backend.upload_table(table);
  if (!uploaded) return uploaded.error();
  spec.table = *uploaded;
  spec.table_bytes = static_cast<std::uint32_t>(table.size());
  return spec;
}

/// Rounds of the slots as they are, for shape.seconds. gbps is the caller's to add.
Result<Rate> run_rounds(Backend& backend, const RegionView& view, const Shape& shape,
                        const SliceSpec& spec, bool staged) {
  auto running = run_slice(backend, view, spec, staged);
  if (!running) return running.error();

  std::vector<Filler> fillers;
  for (std::uint32_t i = 0; i < shape.n_threads; ++i)
    fillers.emplace_back(view, **running, i, shape.n_threads);
  std::atomic<bool> stop{false};
  const auto begin = Clock::now();
  std::vector<std::jthread> threads;
  for (Filler& filler : fillers) threads.emplace_back([&] { filler.run(stop); });
  std::this_thread::sleep_for(std::chrono::duration<double>(shape.seconds));
  stop.store(true, std::memory_order_relaxed);
  threads.clear();
  const double seconds = us_since(begin) * 1e-6;
  (*running)->runner->stop();
  if ((*running)->failed.load(std::memory_order_acquire)) return (*running)->error;

  Rate rate;
  std::vector<double> times;
  rate.complete = true;
  for (const Filler& filler : fillers) {
    rate.n_rounds += filler.n_rounds;
    rate.complete &= filler.in_flight() == 0;
    times.insert(times.end(), filler.times_us.begin(), filler.times_us.end());
  }
  std::ranges::sort(times);
  rate.round_p50_us = quantile(times, 0.5);
  rate.round_p99_us = quantile(times, 0.99);
  rate.mpps = 1e-6 * static_cast<double>(rate.n_rounds) * shape.work_group_size / seconds;
  return rate;
}

/// Slots that go through all packets, each with the same length and words.
void fill_slots(const RegionView& view, const Shape& shape, std::uint32_t packet_bytes,
                const HbSlotWords& words) {
  std::uint64_t next = 0;
  for (std::uint32_t i = 0; i < shape.work_groups; ++i) {
    std::fill_n(view.words(i), view.slots_per_queue(), words);
    for (std::uint32_t slot = 0; slot < view.slots_per_queue(); ++slot, ++next)
      view.slots(i)[slot] =
          HB_SLOT((view.layout().packets + next % shape.n_packets * kPacketStride) / 64,
                  packet_bytes, kDataOffset);
  }
}

/// One of the batches in flight: its work-groups, and the rounds of each that make a batch.
struct Batch {
  std::unique_ptr<DeviceSlice> slice;
  std::vector<HbQueueControl*> queues;
  std::uint32_t n_rounds = 0;  ///< of each queue
  std::vector<double> times_us;
  std::uint64_t n_done = 0;
  Error error;

  /// Batch after batch, each as soon as the one before is back. The first, for which memory is
  /// taken, comes before `ready` and is not counted.
  void run(std::latch& ready, const std::atomic<bool>& stop) {
    const bool works = one();
    ready.arrive_and_wait();
    while (works && !stop.load(std::memory_order_relaxed)) {
      const auto begin = Clock::now();
      if (!one()) return;
      ++n_done;
      if (times_us.size() < kMostTimed) times_us.push_back(us_since(begin));
    }
  }

  bool one() {
    for (HbQueueControl* const queue : queues)
      std::atomic_ref<u32>(queue->published.value)
          .fetch_add(n_rounds, std::memory_order_release);  // pairs with gather()'s acquire
    const Result<void> done = slice->run();
    if (!done) error = done.error();
    return done.ok();
  }
};

/// Work-groups of one batch: as many as there are, as a round each is done soonest.
std::uint32_t groups_of(const Shape& shape, const Batches& batches) {
  return std::min(batches.n_packets / shape.work_group_size,
                  shape.work_groups / batches.n_in_flight);
}

}  // namespace

bool fits(const Shape& shape, const Batches& batches) {
  const std::uint32_t n_groups = groups_of(shape, batches);
  if (n_groups == 0 || batches.n_packets % (n_groups * shape.work_group_size) != 0) return false;
  return batches.n_packets / (n_groups * shape.work_group_size) <= shape.n_rounds;
}

Result<Rate> measure_batches(Backend& backend, const RegionView& view, const Shape& shape,
                             const char* kernel, const Batches& batches,
                             std::uint32_t packet_bytes) {
  fill_slots(view, shape, packet_bytes, {});
  const std::uint32_t n_groups = groups_of(shape, batches);
  Result<SliceSpec> spec =
      spec_for(backend, kernel, n_groups, find_kernel(kernel)->self_test().table);
  if (!spec) return spec.error();
  std::vector<Batch> all(batches.n_in_flight);
  for (Batch& batch : all) {
    auto slice = backend.make_staged_slice(view, *spec);
    if (!slice) return slice.error();
    batch.slice = std::move(*slice);
    batch.n_rounds = batches.n_packets / (n_groups * shape.work_group_size);
    for (std::uint32_t& group : spec->work_groups) {
      batch.queues.push_back(view.queue_control(group));
      group += n_groups;  // the next batch's
    }
  }
  std::atomic<bool> stop{false};
  std::latch ready(static_cast<std::ptrdiff_t>(all.size()) + 1);
  std::vector<std::jthread> threads;
  for (Batch& batch : all) threads.emplace_back([&] { batch.run(ready, stop); });
  ready.arrive_and_wait();
  const auto begin = Clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(shape.seconds));
  stop.store(true, std::memory_order_relaxed);
  threads.clear();
  const double seconds = us_since(begin) * 1e-6;

  Rate rate;
  std::vector<double> times;
  std::uint64_t n_batches = 0;
  rate.complete = true;
  for (const Batch& batch : all) {
    if (!batch.error.what.empty()) return batch.error;
    n_batches += batch.n_done;
    for (const HbQueueControl* const queue : batch.queues)
      rate.complete &= queue->published.value == queue->completed.value;
    times.insert(times.end(), batch.times_us.begin(), batch.times_us.end());
  }
  std::ranges::sort(times);
  rate.round_p50_us = quantile(times, 0.5);
  rate.round_p99_us = quantile(times, 0.99);
  rate.n_rounds = n_batches * batches.n_packets / shape.work_group_size;
  rate.mpps = 1e-6 * static_cast<double>(n_batches) * batches.n_packets / seconds;
  rate.gbps = rate.mpps * packet_bytes * 8e-3;
  return rate;
}

Result<Rate> measure_rate(Backend& backend, const RegionView& view, const Shape& shape,
                          const char* kernel, bool staged, std::uint32_t packet_bytes,
                          const HbSlotWords& words) {
  fill_slots(view, shape, packet_bytes, words);
  const Result<SliceSpec> spec =
      spec_for(backend, kernel, shape.work_groups, find_kernel(kernel)->self_test().table);
  if (!spec) return spec.error();
  Result<Rate> rate = run_rounds(backend, view, shape, *spec, staged);
  if (rate) rate->gbps = rate->mpps * packet_bytes * 8e-3;
  return rate;
}

Result<Rate> measure_load(Backend& backend, const RegionView& view, const Shape& shape,
                          const Load& load, bool staged) {
  std::vector<std::uint32_t> lengths(shape.n_packets);
  for (std::uint32_t i = 0; i < shape.n_packets; ++i) {
    const std::vector<std::uint8_t>& packet = load.packets[i % load.packets.size()];
    lengths[i] = static_cast<std::uint32_t>(std::min(packet.size(), kMostPacketBytes));
    std::memcpy(
        view.base() + view.layout().packets + std::uint64_t{i} * kPacketStride + kDataOffset,
        packet.data(), lengths[i]);
  }
  std::uint64_t next = 0;
  std::uint64_t bytes = 0;
  for (std::uint32_t group = 0; group < shape.work_groups; ++group)
    for (std::uint32_t slot = 0; slot < view.slots_per_queue(); ++slot, ++next) {
      const std::uint64_t i = next % shape.n_packets;
      bytes += lengths[i];
      view.slots(group)[slot] =
          HB_SLOT((view.layout().packets + i * kPacketStride) / 64, lengths[i], kDataOffset);
    }
  const Result<SliceSpec> spec = spec_for(backend, load.kernel, shape.work_groups, load.table);
  if (!spec) return spec.error();
  Result<Rate> rate = run_rounds(backend, view, shape, *spec, staged);
  if (rate) rate->gbps = rate->mpps * static_cast<double>(bytes) / static_cast<double>(next) * 8e-3;
  return rate;
}

Result<PingPong> measure_ping_pong(Backend& backend, const RegionView& view, std::uint32_t turns) {
  std::fill_n(view.slots(0), view.slots_per_queue(), u64{0});
  const Result<SliceSpec> spec = spec_for(backend, "forward", 1, {});
  if (!spec) return spec.error();
  auto running = run_slice(backend, view, *spec, false);
  if (!running) return running.error();
  HbQueueControl* const control = view.queue_control(0);
  std::vector<double> times;
  for (std::uint32_t turn = 0; turn < turns; ++turn) {
    const std::uint32_t wanted = control->published.value + 1;
    const auto begin = Clock::now();
    std::atomic_ref<u32>(control->published.value).store(wanted, std::memory_order_release);
    (*running)->runner->doorbell().ring();
    while (load(control->completed.value) != wanted) {
      if ((*running)->failed.load(std::memory_order_acquire)) return (*running)->error;
      if (Clock::now() - begin > kAnswerLimit)
        return Error{
            fmt::format("round {} was not answered within {} s", turn, kAnswerLimit.count()),
            "the device or its driver hangs: see the kernel's log"};
      if (us_since(begin) > 100) sched_yield();  // the device may be this very core
    }
    times.push_back(us_since(begin));
  }
  (*running)->runner->stop();
  std::ranges::sort(times);
  return PingPong{quantile(times, 0.5), quantile(times, 0.99)};
}

}  // namespace hb::doctor
