#include "nf_lib/cpu_list.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <string>
#include <vector>

namespace hb::test {
namespace {

std::vector<int> own_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

TEST(CpuList, EmptyMeansAllThatTheProcessMayUse) {
  const auto cpus = parse_cpu_list("");
  ASSERT_TRUE(cpus.ok());
  EXPECT_EQ(*cpus, own_cpus());
}

TEST(CpuList, IsSortedWithoutRepetitions) {
  const std::vector<int> own = own_cpus();
  std::string list;
  for (auto cpu = own.rbegin(); cpu != own.rend(); ++cpu) list += std::to_string(*cpu) + ',';
  list += std::to_string(own.front());
  const auto cpus = parse_cpu_list(list);
  ASSERT_TRUE(cpus.ok()) << cpus.error().line();
  EXPECT_EQ(*cpus, own);
}

TEST(CpuList, TakesRanges) {
  const std::string first = std::to_string(own_cpus().front());
  const auto one = parse_cpu_list(first + '-' + first);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(*one, std::vector<int>{own_cpus().front()});
  const std::vector<int> own = own_cpus();
  if (own.size() < 2 || own[1] != own[0] + 1) GTEST_SKIP() << "no two neighbouring CPUs";
  const auto two = parse_cpu_list(std::to_string(own[0]) + '-' + std::to_string(own[1]));
  ASSERT_TRUE(two.ok());
  EXPECT_EQ(*two, (std::vector<int>{own[0], own[1]}));
}

TEST(CpuList, RefusesWhatIsNoListAndNamesIt) {
  for (const char* const list :
       {",", "0,", ",0", "0,,1", "a", "0-", "-1", "-", "1-0", "0-1-2", "0 1", " 0", "0x1", "+1",
        "1.5", "99999999999999999999", "0-99999999999999999999"}) {
    const auto cpus = parse_cpu_list(list);
    ASSERT_FALSE(cpus.ok()) << list;
    EXPECT_NE(cpus.error().what.find(std::string("'") + list + "'"), std::string::npos);
    EXPECT_FALSE(cpus.error().fix.empty());
  }
}

TEST(CpuList, RefusesCpusThatAreNotThere) {
  for (const char* const list : {"1023", "1024", "100000", "0-2147483647"}) {
    const auto cpus = parse_cpu_list(list);
    ASSERT_FALSE(cpus.ok()) << list;
    EXPECT_NE(cpus.error().what.find("there is no CPU"), std::string::npos) << cpus.error().what;
  }
}

TEST(CpuList, IsWrittenForEalWithCommas) {
  std::string expected;
  for (const int cpu : own_cpus()) expected += (expected.empty() ? "" : ",") + std::to_string(cpu);
  const auto text = lcore_cpus("");
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, expected);
  EXPECT_FALSE(lcore_cpus("x").ok());
}

}  // namespace
}  // namespace hb::test
