// OpenNetVM's service chains, and the names that services get.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>

#include "nf_lib/service_name.h"
#include "onvm_compat/include/onvm_sc_mgr.h"

namespace {

TEST(OnvmServiceChain, TakesThreeEntries) {
  onvm_service_chain chain{};
  EXPECT_EQ(onvm_next_action(&chain, 0), ONVM_NF_ACTION_DROP);
  EXPECT_EQ(onvm_sc_append_entry(&chain, ONVM_NF_ACTION_TONF, 4), 0);
  EXPECT_EQ(onvm_sc_append_entry(&chain, ONVM_NF_ACTION_TONF, 5), 0);
  EXPECT_EQ(onvm_sc_append_entry(&chain, ONVM_NF_ACTION_OUT, 1), 0);
  EXPECT_EQ(onvm_sc_append_entry(&chain, ONVM_NF_ACTION_OUT, 2), ENOSPC);
  EXPECT_EQ(chain.chain_length, 3);
  EXPECT_EQ(onvm_next_action(&chain, 0), ONVM_NF_ACTION_TONF);
  EXPECT_EQ(onvm_next_destination(&chain, 0), 4);
  EXPECT_EQ(onvm_next_destination(&chain, 1), 5);
  EXPECT_EQ(onvm_next_action(&chain, 2), ONVM_NF_ACTION_OUT);
  EXPECT_EQ(onvm_next_destination(&chain, 2), 1);
  for (const int past : {3, 4, 255, 65535}) {
    EXPECT_EQ(onvm_next_action(&chain, static_cast<std::uint16_t>(past)), ONVM_NF_ACTION_DROP);
    EXPECT_EQ(onvm_next_destination(&chain, static_cast<std::uint16_t>(past)), 0);
  }
  EXPECT_EQ(onvm_sc_set_entry(&chain, 2, ONVM_NF_ACTION_TONF, 9), 0);
  EXPECT_EQ(onvm_next_destination(&chain, 1), 9);
  for (const int bad : {-1, 0, 4}) EXPECT_EQ(onvm_sc_set_entry(&chain, bad, 1, 1), -1) << bad;
  EXPECT_EQ(onvm_sc_get(), nullptr);
}

class OnvmServiceName : public ::testing::Test {
 protected:
  OnvmServiceName() : registry_(std::make_unique<hb::Registry>()) {}
  void add(const char* name, std::uint32_t number, bool runs) {
    hb::ServiceEntry& service = registry_->services[n_];
    std::snprintf(service.name, sizeof(service.name), "%s", name);
    service.number = number;
    registry_->instances[n_].service = n_;
    registry_->instances[n_].state = runs ? hb::InstanceState::kRunning : hb::InstanceState::kFree;
    ++n_;
  }
  std::string name(std::uint16_t number, const char* tag, const char* asked = "") {
    return hb::service_name(*registry_, number, tag, asked);
  }
  std::unique_ptr<hb::Registry> registry_;
  std::uint32_t n_ = 0;
};

TEST_F(OnvmServiceName, IsTheTagIfNothingElseApplies) {
  EXPECT_EQ(name(3, "bridge"), "bridge");
  EXPECT_EQ(name(0, "bridge"), "bridge");
  EXPECT_EQ(name(3, "my nf!"), "my_nf_");
}

TEST_F(OnvmServiceName, IsWhatTheUserAskedForBeforeAll) {
  add("3", 3, true);
  EXPECT_EQ(name(3, "bridge", "edge"), "edge");
}

TEST_F(OnvmServiceName, IsTheNumberIfTheRoutesNameIt) {
  add("3", 0, false);
  EXPECT_EQ(name(3, "bridge"), "3");
  EXPECT_EQ(name(4, "bridge"), "bridge");
}

TEST_F(OnvmServiceName, JoinsARunningServiceOfTheNumber) {
  add("edge", 3, true);
  EXPECT_EQ(name(3, "bridge"), "edge");
}

TEST_F(OnvmServiceName, LeavesAnEndedServiceAlone) {
  add("edge", 3, false);
  EXPECT_EQ(name(3, "bridge"), "bridge");
}

TEST_F(OnvmServiceName, DoesNotJoinATagOfAnotherNumber) {
  add("bridge", 2, true);
  EXPECT_EQ(name(3, "bridge"), "bridge-3");
  EXPECT_EQ(name(2, "bridge"), "bridge");
  EXPECT_EQ(name(0, "bridge"), "bridge") << "any number: that one's";
}

TEST_F(OnvmServiceName, IsNoneOfTheRoutesOwnWords) {
  for (const char* const word : {"rx", "tx", "drop", ""}) {
    EXPECT_EQ(name(3, word), "nf-3");
    EXPECT_EQ(name(0, word), "nf");
  }
}

}  // namespace
