// The persistent loop as host threads: links hb_gpu_host, GTest.
#include "tests/kernels/host_device.h"  // first: it decides how kernels/platform.h reads

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "gpu_host/slice_runner.h"
#include "gpu_host/stop_words.h"
#include "tests/kernels/queue_driver.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kGroups = 3;
constexpr std::uint32_t kLanes = 4;
constexpr std::uint32_t kRounds = 4;

class HostPersistent : public ::testing::Test {
 protected:
  HostPersistent() : memory_(layout_.total_bytes / 64 + 1), view_(base(), layout_) {
    view_.format();
  }
  std::byte* base() { return reinterpret_cast<std::byte*>(memory_.data()); }

  SliceSpec spec(const char* kernel, std::uint32_t slice = 0, std::uint32_t first = 0,
                 std::uint32_t n = kGroups) {
    const KernelEntry* entry = find_kernel(kernel);
    SliceSpec spec;
    spec.slice = slice;
    for (std::uint32_t i = 0; i < n; ++i) spec.work_groups.push_back(first + i);
    spec.kernel = entry;
    spec.table = std::make_shared<HostTable>(entry->self_test().table);
    return spec;
  }

  struct alignas(64) Line {
    std::byte bytes[64];
  };
  RegionLayout layout_ = queue_layout(2 * kGroups, kLanes, kRounds);
  std::vector<Line> memory_;
  RegionView view_;
  TableVersions versions_{2 * kGroups};
};

TEST_F(HostPersistent, AnswersEveryRoundAcrossRelaunchesAndTheWrapOfItsCounts) {
  for (std::uint32_t i = 0; i < kGroups; ++i) {  // a thousand rounds before 2^32
    view_.queue_control(i)->published.value = view_.queue_control(i)->completed.value = -1000u;
  }
  const TestPackets packets(view_);
  QueueDriver driver(view_, packets, 0, kGroups, HB_GPU_NF_NIDS, 1);
  SliceRunner runner(view_, spec("nids"), std::make_unique<HostSlice>(view_, spec("nids"), 50, 200),
                     versions_, [](const Error&) {});
  runner.start();
  constexpr std::uint64_t kTotal = 4000;
  while (driver.n_checked() < kTotal) {
    if (driver.step(kTotal) != 0) runner.doorbell().ring();
    runner.doorbell().ring();
    std::this_thread::yield();
  }
  EXPECT_EQ(driver.n_wrong(), 0u);
  EXPECT_GT(runner.n_launches(), 1u) << "max_rounds alone makes it relaunch";
}

TEST_F(HostPersistent, WorkGroupsLeaveTogetherWhenOneGivesUp) {
  // Work-group 0 has nothing to do and gives up; 1 has all its rounds published.
  const TestPackets packets(view_);
  view_.queue_control(1)->published.value = kRounds;
  HostSlice slice(view_, spec("forward"), 10, 0);
  ASSERT_TRUE(slice.run());
  EXPECT_EQ(view_.slice_control(0)->leaving.value, 1u);
  EXPECT_GE(view_.queue_control(1)->completed.value, 1u) << "each launch does a round at least";
}

TEST_F(HostPersistent, ALaunchWithLeavingAlreadySetStillDoesARoundOfEachQueue) {
  view_.slice_control(0)->leaving.value = 1;  // as where work-groups run one after another
  for (std::uint32_t i = 0; i < kGroups; ++i) view_.queue_control(i)->published.value = 2;
  HostSlice slice(view_, spec("forward"), 10, 0);
  ASSERT_TRUE(slice.run());
  for (std::uint32_t i = 0; i < kGroups; ++i)
    EXPECT_EQ(view_.queue_control(i)->completed.value, 1u) << "work-group " << i;
}

TEST_F(HostPersistent, TheStopWordsEndAnUnboundedLaunch) {
  HostSlice slice(view_, spec("forward"), 0, 0);
  std::jthread quitter([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    write_stop_words(view_, spec("forward").work_groups, 1);
  });
  ASSERT_TRUE(slice.run());
  EXPECT_EQ(view_.slice_control(0)->leaving.value, 0u);
}

TEST_F(HostPersistent, WithoutIdlePollsALaunchDrainsAllAndEnds) {
  for (std::uint32_t i = 0; i < kGroups; ++i) view_.queue_control(i)->published.value = i;
  HostSlice slice(view_, spec("forward"), HB_IDLE_POLLS_NONE, 0);
  ASSERT_TRUE(slice.run());
  for (std::uint32_t i = 0; i < kGroups; ++i)
    EXPECT_EQ(view_.queue_control(i)->completed.value, i) << "work-group " << i;
}

TEST_F(HostPersistent, TablesAndWorkGroupsChangeBetweenRoundsAndEachRoundKnowsItsTable) {
  // Two tables of one automaton each: one finds "ab", the other copies everything.
  SliceSpec one = spec("nids", 0, 0, 1);
  SliceSpec other = spec("nids", 0, 0, 2);
  std::vector<std::byte> all = find_kernel("nids")->self_test().table;
  reinterpret_cast<HbNidsTable*>(all.data())->flags |= HB_NIDS_COPY_ALL;
  other.table = std::make_shared<HostTable>(all);
  const TestPackets packets(view_);
  SliceRunner runner(view_, one, std::make_unique<HostSlice>(view_, one, 50, 0), versions_,
                     [](const Error&) {});
  runner.start();
  std::uint32_t published = 0;
  std::uint32_t checked = 0;
  std::uint32_t n_replaced = 0;
  std::array<std::uint32_t, 2> n_rounds{};
  const auto find = [&](std::uint32_t i, std::uint32_t lane) {
    return packets.slot((i * kLanes + lane) % TestPackets::kCount);
  };
  bool replacing = false;
  std::uint32_t replaced_at = 0;
  while (n_replaced < 200) {
    if (published - checked < kRounds) {
      for (std::uint32_t lane = 0; lane < kLanes; ++lane)
        view_.slots(0)[published % kRounds * kLanes + lane] = find(published, lane);
      std::atomic_ref<u32>(view_.queue_control(0)->published.value)
          .store(++published, std::memory_order_release);
      runner.doorbell().ring();
    }
    const std::uint32_t completed = std::atomic_ref<u32>(view_.queue_control(0)->completed.value)
                                        .load(std::memory_order_acquire);
    for (; checked != completed; ++checked) {
      const std::uint32_t version = versions_.of(0, checked);
      ++n_rounds[version % 2];
      for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
        const u64 slot = find(checked, lane);
        const u64 wanted = version % 2 == 0 ? HB_RESULT_UNCHANGED(slot, HB_RESULT_COPY_TO_CPU)
                                            : packets.answer(slot, HB_GPU_NF_NIDS);
        ASSERT_EQ(view_.results(0)[checked % kRounds * kLanes + lane], wanted)
            << "round " << checked << " version " << version;
      }
    }
    if (!replacing) {
      const SliceSpec& next = runner.version() % 2 == 0 ? one : other;
      runner.begin_replace(next, std::make_unique<HostSlice>(view_, next, 50, 0),
                           runner.version() + 1);
      replacing = true;
      replaced_at = 0;
    } else if (replaced_at == 0 && runner.is_replaced()) {
      replaced_at = published + 1;  // the rounds before it may be the old table's
    } else if (replaced_at != 0 && checked + 1 >= replaced_at) {
      versions_.settle(0, runner.version());
      replacing = false;
      ++n_replaced;
    }
    std::this_thread::yield();
  }
  EXPECT_GT(n_rounds[0], 0u);
  EXPECT_GT(n_rounds[1], 0u);
}

TEST_F(HostPersistent, SlicesDoNotSeeEachOther) {
  const TestPackets packets(view_);
  QueueDriver first(view_, packets, 0, kGroups, HB_GPU_NF_FORWARD, 3);
  QueueDriver second(view_, packets, kGroups, kGroups, HB_GPU_NF_NIDS, 4);
  const SliceSpec a = spec("forward", 0, 0);
  const SliceSpec b = spec("nids", 1, kGroups);
  SliceRunner runner_a(view_, a, std::make_unique<HostSlice>(view_, a, 50, 0), versions_,
                       [](const Error&) {});
  SliceRunner runner_b(view_, b, std::make_unique<HostSlice>(view_, b, 50, 0), versions_,
                       [](const Error&) {});
  runner_a.start();
  runner_b.start();
  constexpr std::uint64_t kTotal = 1000;
  while (first.n_checked() < kTotal || second.n_checked() < kTotal) {
    first.step(kTotal);
    second.step(kTotal);
    runner_a.doorbell().ring();
    runner_b.doorbell().ring();
    std::this_thread::yield();
  }
  EXPECT_EQ(first.n_wrong(), 0u);
  EXPECT_EQ(second.n_wrong(), 0u);
}

}  // namespace
}  // namespace hb::test
