#include "gpu_host/slice_runner.h"

#include <pthread.h>

#include <utility>

namespace hb {

SliceRunner::SliceRunner(const RegionView& region, const SliceSpec& spec,
                         std::unique_ptr<DeviceSlice> slice,
                         std::function<void(const Error&)> on_failure)
    : region_(region), spec_(spec), slice_(std::move(slice)), on_failure_(std::move(on_failure)) {}

void SliceRunner::start() {
  // A life that ended in a crash may have left it set.
  std::atomic_ref<u32>(region_.slice_control(spec_.slice)->quit.value)
      .store(0, std::memory_order_release);
  thread_ = std::thread([this] { loop(); });
}

void SliceRunner::stop() {
  if (!thread_.joinable()) return;
  u32& quit = region_.slice_control(spec_.slice)->quit.value;
  stopping_.store(true, std::memory_order_seq_cst);
  // Release: pairs with the kernel's acquire load; it ends at its next round boundary.
  std::atomic_ref<u32>(quit).store(1, std::memory_order_release);
  doorbell_.ring();
  thread_.join();
  std::atomic_ref<u32>(quit).store(0, std::memory_order_release);
}

bool SliceRunner::has_work() const noexcept {
  for (std::uint32_t i = 0; i < spec_.n_work_groups; ++i) {
    HbQueueControl* const queue = region_.queue_control(spec_.first_work_group + i);
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
  while (!stopping()) {
    if (!has_work()) {
      doorbell_.wait_unless([&] { return stopping() || has_work(); });
      continue;
    }
    // No work-group of this slice runs now. Release: the launch that follows sees it cleared.
    std::atomic_ref<u32>(leaving).store(0, std::memory_order_release);
    n_launches_.fetch_add(1, std::memory_order_relaxed);
    if (const Result<void> ran = slice_->run(); !ran) {
      on_failure_(ran.error());
      return;
    }
  }
}

}  // namespace hb
