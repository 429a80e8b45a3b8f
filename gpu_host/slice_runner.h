// Keeps one slice running on the device: launches it when there is work and again when it ended.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "gpu_host/backend.h"
#include "gpu_host/doorbell.h"
#include "gpu_host/table_versions.h"

namespace hb {

/// One slice's launching thread. Bounded launches end by themselves; this starts the next one as
/// soon as any work-group's `published` differs from its `completed`. Between two launches, and so
/// between two rounds of each work-group, it can go over to another DeviceSlice: one with another
/// table, program or set of work-groups. The functions are the control thread's.
class SliceRunner {
 public:
  /// Launches nothing before start().
  /// @param versions    outlives this
  /// @param on_failure  called once, on the launching thread, if the device fails
  /// @param version     of the table that it begins with
  SliceRunner(const RegionView& region, const SliceSpec& spec, std::unique_ptr<DeviceSlice> slice,
              TableVersions& versions, std::function<void(const Error&)> on_failure,
              std::uint32_t version = 1);
  ~SliceRunner() { stop(); }
  SliceRunner(const SliceRunner&) = delete;
  SliceRunner& operator=(const SliceRunner&) = delete;

  /// Once the queues are as their CPUSyncers want them.
  void start();
  /// Ends the launch under way at its next round boundary, and waits for that.
  void stop();

  /// Asks for another DeviceSlice from the next launch on, and the launch under way to end at its
  /// next round boundary. After start(); one at a time, until is_replaced().
  /// @param version  judges the rounds from then on: the current one, or the one after it
  void begin_replace(const SliceSpec& spec, std::unique_ptr<DeviceSlice> slice,
                     std::uint32_t version);
  /// True once the next launch is the new one's. Then the old one is gone.
  [[nodiscard]] bool is_replaced();
  /// How long the last replacement kept the slice from launching, from the request on: the end of
  /// the launch that was under way, and the change itself.
  [[nodiscard]] double pause_us() const noexcept { return pause_us_; }

  [[nodiscard]] std::uint32_t version() const noexcept { return version_; }

  /// For the CPUSyncers: rung after each publish.
  [[nodiscard]] Doorbell& doorbell() noexcept { return doorbell_; }
  [[nodiscard]] std::uint64_t n_launches() const noexcept {
    return n_launches_.load(std::memory_order_relaxed);
  }

 private:
  struct Next {
    SliceSpec spec;
    std::unique_ptr<DeviceSlice> slice;
    std::uint32_t version;
    std::uint64_t asked_ns;
  };

  void loop();
  void change_over();
  void end_launch();
  [[nodiscard]] bool has_work() const noexcept;

  RegionView region_;
  std::mutex spec_mutex_;  ///< held to change spec_, and to read it on another thread
  SliceSpec spec_;         ///< the launching thread's, as is slice_
  std::unique_ptr<DeviceSlice> slice_;
  TableVersions& versions_;
  std::function<void(const Error&)> on_failure_;
  std::uint32_t version_;  ///< the launching thread's while a replacement is under way
  double pause_us_ = 0;    ///< likewise
  std::unique_ptr<Next> next_;
  /// next_ is the launching thread's while this is set; it then holds what was replaced.
  std::atomic<bool> replacing_{false};
  Doorbell doorbell_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> n_launches_{0};
  std::thread thread_;
};

}  // namespace hb
