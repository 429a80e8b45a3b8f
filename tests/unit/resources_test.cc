#include "manager/resources.h"

#include <gtest/gtest.h>

#include <memory>

namespace hb::test {
namespace {

class ResourcesTest : public ::testing::Test {
 protected:
  ResourcesTest() {
    registry_->region.n_contexts = 70;
    registry_->region.n_endpoints = 6;
    registry_->region.n_work_groups = 8;
  }
  std::unique_ptr<Registry> registry_ = std::make_unique<Registry>();
};

TEST_F(ResourcesTest, ContextsMayProduceForEveryEndpoint) {
  Resources resources(*registry_, 2);
  for (std::uint32_t c = 0; c < 70; ++c) {
    const auto context = resources.take_context(ContextRole::kNf, 100 + static_cast<int>(c), 3);
    ASSERT_TRUE(context.has_value());
    EXPECT_EQ(context->value, c);
  }
  EXPECT_FALSE(resources.take_context(ContextRole::kNf, 1, 1).has_value());
  for (std::uint32_t e = 0; e < 6; ++e) {
    EXPECT_EQ(registry_->endpoints[e].producers[0].load(), ~std::uint64_t{0});
    EXPECT_EQ(registry_->endpoints[e].producers[1].load(), 0x3fu);
  }
  EXPECT_EQ(registry_->contexts[69].pid, 169);
  EXPECT_EQ(registry_->contexts[69].role.load(), ContextRole::kNf);
}

TEST_F(ResourcesTest, AFreedContextIsStillPolled) {
  Resources resources(*registry_, 2);
  const auto context = resources.take_context(ContextRole::kNf, 1, 1);
  resources.free_context(*context);
  EXPECT_EQ(registry_->contexts[0].role.load(), ContextRole::kFree);
  EXPECT_EQ(registry_->endpoints[3].producers[0].load(), 1u);
  EXPECT_EQ(resources.take_context(ContextRole::kNf, 1, 1), *context);
}

TEST_F(ResourcesTest, EndpointsOfReclaimerAndPortsAreNeverGiven) {
  Resources resources(*registry_, 2);
  for (std::uint32_t e = 3; e < 6; ++e) EXPECT_EQ(resources.take_endpoint(), EndpointId(e));
  EXPECT_FALSE(resources.take_endpoint().has_value());
  resources.free_endpoint(EndpointId(4));
  EXPECT_EQ(resources.take_endpoint(), EndpointId(4));
}

TEST_F(ResourcesTest, WorkGroupsAreSpreadOverTheCpuSyncers) {
  Resources resources(*registry_, 2);
  using Groups = std::vector<std::uint32_t>;
  EXPECT_EQ(resources.take_work_groups(3, 1), (Groups{0, 1, 2}));
  EXPECT_EQ(resources.take_work_groups(3, 1), (Groups{3, 4, 5}));
  EXPECT_FALSE(resources.take_work_groups(3, 1).has_value());
  resources.free_work_groups(Groups{1, 4});
  EXPECT_EQ(resources.n_free_work_groups(), 4u);
  EXPECT_EQ(resources.take_work_groups(2, 2), (Groups{1, 4})) << "one of each CPUSyncer";
  EXPECT_EQ(resources.take_work_groups(1, 2, Groups{0, 2, 1}), (Groups{7}))
      << "it has two even ones";
  resources.free_work_groups(Groups{7});
  resources.free_work_groups(Groups{4});
  EXPECT_EQ(resources.n_free_work_groups(), 3u);
  resources.free_work_groups(Groups{2});
  EXPECT_EQ(resources.take_work_groups(3, 2), (Groups{2, 7, 4}));
  resources.free_work_groups(Groups{2, 4});
  EXPECT_FALSE(resources.take_work_groups(2, 2).has_value()) << "the odd CPUSyncer would have none";
  EXPECT_EQ(resources.n_free_work_groups(), 3u) << "and nothing was taken";
}

TEST_F(ResourcesTest, WorkGroupsOfTheOnlyCpuSyncerComeFirst) {
  Resources resources(*registry_, 2);
  using Groups = std::vector<std::uint32_t>;
  EXPECT_EQ(resources.take_work_groups(3, 2, {}, 1), (Groups{0, 1, 3})) << "one of each, too";
  EXPECT_EQ(resources.take_work_groups(1, 2, Groups{0, 1, 3}, 1), (Groups{2}))
      << "it has half of those of its own";
  EXPECT_EQ(resources.take_work_groups(4, 2, Groups{0, 1, 3, 2}, 1), (Groups{4, 5, 6, 7}));
}

TEST_F(ResourcesTest, SlicesRunOutAndComeBack) {
  Resources resources(*registry_, 2);
  for (std::uint32_t slice = 0; slice < kMaxSlices; ++slice)
    EXPECT_EQ(resources.take_slice(), slice);
  EXPECT_FALSE(resources.take_slice().has_value());
  resources.free_slice(5);
  EXPECT_EQ(resources.take_slice(), 5u);
}

}  // namespace
}  // namespace hb::test
