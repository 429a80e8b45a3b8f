#include "gpu_host/slice_runner.h"

#include <pthread.h>

#include <utility>

#include "gpu_host/stop_words.h"
#include "nf_lib/clock.h"
#include "nf_lib/fault_point.h"

namespace hb {

SliceRunner::SliceRunner(const RegionView& region, const SliceSpec& spec,
                         std::unique_ptr<DeviceSlice> slice, TableVersions& versions,
                         std::function<void(const Error&)> on_failure, std::uint32_t version)
    : region_(region),
      spec_(spec),
      slice_(std::move(slice)),
      versions_(versions),
      on_failure_(std::move(on_failure)),
      version_(version) {
  for (const std::uint32_t work_group : spec_.work_groups) versions_.settle(work_group, version_);
}

void SliceRunner::start() {
  thread_ = std::thread([this] { loop(); });
}

void SliceRunner::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_seq_cst);
  end_launch();
  doorbell_.ring();
  thread_.join();
}

/// After the store of what is asked for; loop() has the other half of write_stop_words()' order.
void SliceRunner::end_launch() {
  const std::lock_guard lock(spec_mutex_);
  write_stop_words(region_, spec_.work_groups, 1);
}

void SliceRunner::begin_replace(const SliceSpec& spec, std::unique_ptr<DeviceSlice> slice,
                                std::uint32_t version) {
  next_ = std::make_unique<Next>(Next{spec, std::move(slice), version, monotonic_ns()});
  replacing_.store(true, std::memory_order_seq_cst);
  end_launch();
  doorbell_.ring();
}

bool SliceRunner::is_replaced() {
  // Acquire: pairs with the release store in change_over().
  if (replacing_.load(std::memory_order_acquire)) return false;
  next_.reset();
  return true;
}

void SliceRunner::change_over() {
  {
    const std::lock_guard lock(spec_mutex_);
    std::swap(spec_, next_->spec);
  }
  std::swap(slice_, next_->slice);
  for (const std::uint32_t work_group : spec_.work_groups) {
    // No launch runs: the count rests. Acquire: pairs with the device's release store.
    const std::uint32_t completed =
        std::atomic_ref<u32>(region_.queue_control(work_group)->completed.value)
            .load(std::memory_order_acquire);
    if (next_->version == version_)
      versions_.settle(work_group, version_);
    else
      versions_.begin(work_group, completed, next_->version);
  }
  fault_point("changing_over");
  version_ = next_->version;
  pause_us_ = static_cast<double>(monotonic_ns() - next_->asked_ns) / 1000.0;
  // Release: pairs with is_replaced(): what was replaced is the control thread's to let go of.
  replacing_.store(false, std::memory_order_release);
}

bool SliceRunner::has_work() const noexcept {
  for (const std::uint32_t work_group : spec_.work_groups) {
    HbQueueControl* const queue = region_.queue_control(work_group);
    const auto published = std::atomic_ref<u32>(queue->published.value);
    const auto completed = std::atomic_ref<u32>(queue->completed.value);
    // Relaxed: the kernel, not this thread, reads what the counts stand for.
    if (published.load(std::memory_order_relaxed) != completed.load(std::memory_order_relaxed))
      return true;
  }
  return false;
}

void SliceRunner::loop() {
  pthread_setname_np(pthread_self(), "hb-slice");
  u32& leaving = region_.slice_control(spec_.slice)->leaving.value;
  const auto stopping = [this] { return stopping_.load(std::memory_order_seq_cst); };
  const auto replacing = [this] { return replacing_.load(std::memory_order_seq_cst); };
  while (!stopping()) {
    if (replacing()) change_over();
    if (!has_work()) {
      doorbell_.wait_unless([&] { return stopping() || replacing() || has_work(); });
      continue;
    }
    // No work-group of this slice runs now: the launch that follows sees these cleared. A life that
    // ended in a crash may have left them set.
    std::atomic_ref<u32>(leaving).store(0, std::memory_order_release);
    write_stop_words(region_, spec_.work_groups, 0);
    if (stopping() || replacing()) continue;
    n_launches_.fetch_add(1, std::memory_order_relaxed);
    fault_point("launching");
    if (const Result<void> ran = slice_->run(); !ran) {
      on_failure_(ran.error());
      return;
    }
    fault_point("launch_over");
  }
}

}  // namespace hb
