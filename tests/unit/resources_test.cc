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

TEST_F(ResourcesTest, WorkGroupsAreNeighbours) {
  Resources resources(*registry_, 2);
  EXPECT_EQ(resources.take_work_groups(3), 0u);
  EXPECT_EQ(resources.take_work_groups(3), 3u);
  EXPECT_FALSE(resources.take_work_groups(3).has_value());
  EXPECT_EQ(resources.take_work_groups(2), 6u);
  resources.free_work_groups(0, 3);
  resources.free_work_groups(6, 2);
  EXPECT_FALSE(resources.take_work_groups(5).has_value()) << "five are free, but not in one piece";
  EXPECT_EQ(resources.take_work_groups(3), 0u);
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
