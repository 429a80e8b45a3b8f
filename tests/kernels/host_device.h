// The kernels compiled as host C++, and a device that runs them: one thread for each work-item.
// Included first in its translation unit, before anything brings in kernels/platform.h.
#pragma once

#define HB_KERNEL_ON_HOST
#include "kernels/persistent.cl"

#include <algorithm>
#include <array>
#include <barrier>
#include <cstddef>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "gpu_host/launch_block.h"

namespace hb::test {

/// Runs work-groups [0, n_groups) of a kernel, as threads, to the end of all of them.
template <typename Body>
void run_work_groups(std::uint32_t n_groups, std::uint32_t group_size, Body body) {
  struct Group {
    explicit Group(std::uint32_t size) : barrier(size) {}
    std::barrier<> barrier;
    std::array<u32, kHostLocalWords> local{};
  };
  std::vector<std::unique_ptr<Group>> groups;
  std::vector<std::jthread> items;
  for (std::uint32_t g = 0; g < n_groups; ++g) {
    groups.push_back(std::make_unique<Group>(group_size));
    for (std::uint32_t lane = 0; lane < group_size; ++lane) {
      items.emplace_back([&body, group = groups.back().get(), g, lane, group_size] {
        hb_host_item = {
            .group_id = g,
            .local_id = lane,
            .local_size = group_size,
            .barrier = [](void* state) { static_cast<Group*>(state)->barrier.arrive_and_wait(); },
            .state = group,
            .local = group->local.data()};
        body();
      });
    }
  }
}

class HostTable final : public DeviceTable {
 public:
  explicit HostTable(std::span<const std::byte> bytes)
      : bytes_(std::max<std::size_t>(bytes.size(), 64)) {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
  }
  [[nodiscard]] const u8* data() const { return reinterpret_cast<const u8*>(bytes_.data()); }

 private:
  std::vector<std::byte> bytes_;
};

/// A slice on that device.
class HostSlice final : public DeviceSlice {
 public:
  HostSlice(const RegionView& view, SliceSpec spec, std::uint32_t idle_polls,
            std::uint32_t max_rounds)
      : view_(view), spec_(std::move(spec)), idle_polls_(idle_polls), max_rounds_(max_rounds) {}

  Result<void> run() override {
    const RegionLayout& l = view_.layout();
    const std::vector<std::byte> launch =
        launch_block(direct_launch(spec_, l, idle_polls_, max_rounds_), spec_.work_groups);
    run_work_groups(static_cast<std::uint32_t>(spec_.work_groups.size()), l.work_group_size, [&] {
      hb_persistent(reinterpret_cast<u8*>(view_.base()), reinterpret_cast<const u8*>(launch.data()),
                    static_cast<const HostTable&>(*spec_.table).data());
    });
    return {};
  }

 private:
  RegionView view_;
  SliceSpec spec_;
  std::uint32_t idle_polls_;
  std::uint32_t max_rounds_;
};

}  // namespace hb::test
