// OpenNetVM's service chains.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>

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

}  // namespace
