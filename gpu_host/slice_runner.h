// Keeps one slice running on the device: launches it when there is work and again when it ended.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "gpu_host/backend.h"
#include "gpu_host/doorbell.h"

namespace hb {

/// One slice's launching thread. Bounded launches end by themselves; this starts the next one as
/// soon as any work-group's `published` differs from its `completed`.
class SliceRunner {
 public:
  /// Launches nothing before start().
  /// @param on_failure  called once, on the launching thread, if the device fails
  SliceRunner(const RegionView& region, const SliceSpec& spec, std::unique_ptr<DeviceSlice> slice,
              std::function<void(const Error&)> on_failure);
  ~SliceRunner() { stop(); }
  SliceRunner(const SliceRunner&) = delete;
  SliceRunner& operator=(const SliceRunner&) = delete;

  /// Once the queues are as their CPUSyncers want them.
  void start();
  /// Writes the quit word and waits until the launch under way has ended.
  void stop();

  /// For the CPUSyncers: rung after each publish.
  [[nodiscard]] Doorbell& doorbell() noexcept { return doorbell_; }
  [[nodiscard]] std::uint64_t n_launches() const noexcept {
    return n_launches_.load(std::memory_order_relaxed);
  }

 private:
  void loop();
  [[nodiscard]] bool has_work() const noexcept;

  RegionView region_;
  SliceSpec spec_;
  std::unique_ptr<DeviceSlice> slice_;
  std::function<void(const Error&)> on_failure_;
  Doorbell doorbell_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> n_launches_{0};
  std::thread thread_;
};

}  // namespace hb
