#include "manager/cpu_plan.h"

#include <gtest/gtest.h>

#include <set>

namespace hb::test {
namespace {

std::vector<int> cpus(int n) {
  std::vector<int> list;
  for (int i = 0; i < n; ++i) list.push_back(10 + i);
  return list;
}

TEST(CpuPlan, ThreadsThatAlwaysPollShareNoCpu) {
  const CpuPlan plan(cpus(8), 1, 2, true);
  EXPECT_EQ(plan.lcores(), "0@10,1@11,2@12,3@13");
  std::set<int> taken = {10, 11, 12, 13};
  for (std::uint32_t context = 3; context < 7; ++context)
    EXPECT_TRUE(taken.insert(plan.cpu_of(context)).second) << context;
  EXPECT_EQ(taken.size(), 8u);
  EXPECT_EQ(plan.cpu_of(7), -1);  // none is left
  EXPECT_EQ(plan.cpu_of(63), -1);
}

TEST(CpuPlan, TheManagersOwnThreadsAreEalsToPlace) {
  const CpuPlan plan(cpus(8), 1, 2, true);
  for (std::uint32_t context = 0; context < 3; ++context) EXPECT_EQ(plan.cpu_of(context), -1);
}

TEST(CpuPlan, ThreadsThatNapFloat) {
  const CpuPlan plan(cpus(8), 1, 1, false);
  EXPECT_EQ(plan.lcores(), "0@10,1@11,2@12");
  for (std::uint32_t context = 0; context < 16; ++context) EXPECT_EQ(plan.cpu_of(context), -1);
}

TEST(CpuPlan, WithTooFewCpusAllThreadsFloat) {
  const CpuPlan plan(cpus(2), 1, 1, true);
  EXPECT_EQ(plan.lcores(), "0@(10,11),1@(10,11),2@(10,11)");
  for (std::uint32_t context = 0; context < 16; ++context) EXPECT_EQ(plan.cpu_of(context), -1);
}

}  // namespace
}  // namespace hb::test
