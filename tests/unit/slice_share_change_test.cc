// A share whose work-groups change while packets go through it.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "gpu_host/elastic.h"
#include "gpu_host/syncer.h"
#include "gpu_host/table_versions.h"
#include "tests/unit/plain_platform.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kSyncer = 3;  ///< context
constexpr std::uint32_t kReclaim = 0, kIn = 1, kPort0 = 3;

/// Answers a random number of a work-group's rounds.
void answer(const RegionView& region, std::uint32_t work_group, std::uint32_t most) {
  HbQueueControl* const queue = region.queue_control(work_group);
  const RegionLayout& layout = region.layout();
  for (; queue->completed.value != queue->published.value && most != 0; --most) {
    const std::uint64_t at =
        queue->completed.value % layout.n_rounds * std::uint64_t{layout.work_group_size};
    for (std::uint32_t lane = 0; lane < layout.work_group_size; ++lane) {
      const u64 slot = region.slots(work_group)[at + lane];
      region.results(work_group)[at + lane] = slot == 0 ? 0 : HB_RESULT_UNCHANGED(slot, 0);
    }
    ++queue->completed.value;
  }
}

TEST(SliceShareChange, WorkGroupsComeAndGoAndEachFlowKeepsItsOrder) {
  PlainPlatform platform({.pool_size = 2048, .work_group_size = 16});
  const RegionView& region = platform.view.region;
  ContextPage page{};
  Syncer syncer(platform.view, ContextId(kSyncer), &page);
  ASSERT_TRUE(syncer.add({.slice = 2,
                          .service = ServiceId(5),
                          .instance = InstanceId(7),
                          .endpoint = EndpointId(kIn),
                          .work_groups = {0},
                          .most_work_groups = 4}));
  std::mt19937 random(11);
  std::vector<std::uint32_t> groups = {0};
  std::vector<std::uint32_t> after = groups;
  std::uint32_t sent = 0;
  std::uint32_t received = 0;
  std::uint32_t n_changes = 0;
  for (std::uint32_t step = 0; received < 2048 || !syncer.is_changed(2); ++step) {
    ASSERT_LT(step, 500000u) << "stuck at " << received << " after " << n_changes << " changes";
    for (std::uint32_t n = random() % 20; n != 0 && sent < 2048; --n)
      if (platform.send(1, kIn, platform.packet(sent))) ++sent;
    if (syncer.is_changed(2)) {
      // What has left holds nothing, and nobody gives it anything.
      for (const std::uint32_t group : groups)
        if (std::ranges::find(after, group) == after.end()) {
          EXPECT_EQ(region.queue_control(group)->filled.value,
                    region.queue_control(group)->drained.value);
        }
      groups = after;
      if (random() % 4 == 0) {
        ShareChange change;
        for (std::uint32_t group = 0; group < 4; ++group) {
          const bool has = std::ranges::find(groups, group) != groups.end();
          if (has && after.size() > 1 && random() % 2 == 0) {
            change.retire.push_back(group);
            std::erase(after, group);
          } else if (!has && random() % 2 == 0) {
            auto queue = WorkQueue::adopt(region, group);
            ASSERT_TRUE(queue);
            change.join.push_back(std::move(*queue));
            after.push_back(group);
          }
        }
        // Never all that it had: one that stays is needed for what is open.
        if (change.retire.size() < groups.size()) {
          syncer.begin_change(2, std::move(change));
          ++n_changes;
        } else {
          after = groups;
        }
      }
    }
    syncer.poll();
    answer(region, random() % 4, random() % 3);
    while (rte_mbuf* const mbuf = platform.receive(kPort0, kSyncer))
      ASSERT_EQ(mbuf, platform.packet(received++)) << "after " << n_changes << " changes";
  }
  EXPECT_GT(n_changes, 10u);
  EXPECT_EQ(platform.waiting(kReclaim, kSyncer), 0u);
  EXPECT_EQ(page.counters.slice_filled[2].load(), 2048u);
  std::uint64_t timed = 0;
  for (const auto& bucket : page.counters.slice_latency[2]) timed += bucket.load();
  EXPECT_EQ(timed, page.counters.slice_rounds[2].load());
}

TEST(TableVersions, ARoundBelongsToTheVersionOfItsSideOfTheBoundaryAlsoAcrossTheWrap) {
  TableVersions versions(2);
  versions.settle(1, 1);
  EXPECT_EQ(versions.of(1, 0x80000000u), 1u);
  versions.begin(1, 2, 2);
  EXPECT_EQ(versions.of(1, 0xffffffffu), 1u);
  EXPECT_EQ(versions.of(1, 1), 1u);
  EXPECT_EQ(versions.of(1, 2), 2u);
  EXPECT_EQ(versions.first_round(1), 2u);
  versions.settle(1, 2);
  EXPECT_EQ(versions.of(1, 0x90000000u), 2u) << "long after, or before";
}

TEST(Elastic, MovesAWorkGroupToWherePacketsKeepWaitingAndThenRests) {
  Elastic elastic(64, 1);
  const std::vector<SliceLoad> loads = {{0, 2, 1000}, {1, 3, 0}};
  EXPECT_FALSE(elastic.sample(loads));
  EXPECT_FALSE(elastic.sample(loads));
  const auto move = elastic.sample(loads);
  ASSERT_TRUE(move);
  EXPECT_EQ(move->to, 0u);
  EXPECT_EQ(move->from, 1u);
  EXPECT_FALSE(elastic.sample(loads)) << "its effect is waited for";
}

TEST(Elastic, DoesNotMoveForABurstNorBetweenSlicesThatAreBothBusyNorTheLastWorkGroup) {
  Elastic elastic(64, 2);
  for (int i = 0; i < 20; ++i)
    EXPECT_FALSE(elastic.sample({{0, 2, i % 3 == 0 ? 0u : 1000u}, {1, 3, 0}})) << i;
  EXPECT_FALSE(elastic.sample({{0, 2, 0}, {1, 3, 0}}));
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(elastic.sample({{0, 2, 1000}, {1, 3, 200}}));
  const auto move = elastic.sample({{0, 2, 1000}, {1, 3, 200}});
  ASSERT_TRUE(move);
  EXPECT_FALSE(move->from) << "the other has more than a quarter of a round waiting for each";
  for (int i = 0; i < 4; ++i) (void)elastic.sample({{0, 2, 0}, {1, 2, 0}});
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(elastic.sample({{0, 2, 1000}, {1, 2, 0}}));
  const auto last = elastic.sample({{0, 2, 1000}, {1, 2, 0}});
  ASSERT_TRUE(last);
  EXPECT_FALSE(last->from) << "one for each CPUSyncer stays";
}

}  // namespace
}  // namespace hb::test
