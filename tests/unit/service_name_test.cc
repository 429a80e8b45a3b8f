// The names that OpenNetVM NFs get.
#include "nf_lib/service_name.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>

namespace hb::test {
namespace {

class ServiceName : public ::testing::Test {
 protected:
  ServiceName() : registry_(std::make_unique<Registry>()) {}
  void add(const char* name, std::uint32_t number, bool runs) {
    ServiceEntry& service = registry_->services[n_];
    std::snprintf(service.name, sizeof(service.name), "%s", name);
    service.number = number;
    registry_->instances[n_].service = n_;
    registry_->instances[n_].state = runs ? InstanceState::kRunning : InstanceState::kFree;
    ++n_;
  }
  std::string name(std::uint16_t number, const char* tag, const char* asked = "") {
    return service_name(*registry_, number, tag, asked);
  }
  std::unique_ptr<Registry> registry_;
  std::uint32_t n_ = 0;
};

TEST_F(ServiceName, IsTheTagIfNothingElseApplies) {
  EXPECT_EQ(name(3, "bridge"), "bridge");
  EXPECT_EQ(name(0, "bridge"), "bridge");
  EXPECT_EQ(name(3, "my nf!"), "my_nf_");
}

TEST_F(ServiceName, IsWhatTheUserAskedForBeforeAll) {
  add("3", 3, true);
  EXPECT_EQ(name(3, "bridge", "edge"), "edge");
}

TEST_F(ServiceName, IsTheNumberIfTheRoutesNameIt) {
  add("3", 0, false);
  EXPECT_EQ(name(3, "bridge"), "3");
  EXPECT_EQ(name(4, "bridge"), "bridge");
}

TEST_F(ServiceName, JoinsARunningServiceOfTheNumber) {
  add("edge", 3, true);
  EXPECT_EQ(name(3, "bridge"), "edge");
}

TEST_F(ServiceName, LeavesAnEndedServiceAlone) {
  add("edge", 3, false);
  EXPECT_EQ(name(3, "bridge"), "bridge");
}

TEST_F(ServiceName, DoesNotJoinATagOfAnotherNumber) {
  add("bridge", 2, true);
  EXPECT_EQ(name(3, "bridge"), "bridge-3");
  EXPECT_EQ(name(2, "bridge"), "bridge");
  EXPECT_EQ(name(0, "bridge"), "bridge") << "any number: that one's";
}

TEST_F(ServiceName, IsNoneOfTheRoutesOwnWords) {
  for (const char* const word : {"rx", "tx", "drop", ""}) {
    EXPECT_EQ(name(3, word), "nf-3");
    EXPECT_EQ(name(0, word), "nf");
  }
}

}  // namespace
}  // namespace hb::test
