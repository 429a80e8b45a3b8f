// OpenNetVM's flow director: what processes see of each other's flows. A director of its own on the
// same file is another process.
#include "onvm_compat/flow_director.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <rte_malloc.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "onvm_compat/include/onvm_sc_mgr.h"
#include "tests/unit/eal_fixture.h"

namespace {

using hb::onvm::FlowDirector;

onvm_ft_ipv4_5tuple key_of(std::uint32_t number) {
  return {.src_addr = number, .dst_addr = 7, .src_port = 1, .dst_port = 2, .proto = 17};
}

class OnvmFlowDirector : public hb::test::EalTest {
 protected:
  void SetUp() override {
    const int fd = mkstemp(path_.data());
    ASSERT_GE(fd, 0);
    close(fd);
    ASSERT_TRUE(one_.open(path_));
    ASSERT_TRUE(two_.open(path_));
  }
  void TearDown() override { unlink(path_.c_str()); }

  /// As flow_table does it: the entry, its chain, and then what is in that.
  static onvm_flow_entry* add(FlowDirector& director, std::uint32_t number, std::uint16_t to) {
    onvm_ft_ipv4_5tuple key = key_of(number);
    onvm_flow_entry* entry = nullptr;
    EXPECT_GE(director.add(&key, &entry), 0);
    entry->sc = onvm_sc_create();
    onvm_sc_append_entry(entry->sc, ONVM_NF_ACTION_TONF, to);
    return entry;
  }
  /// @return where the flow's chain leads; -1: to nowhere; -2: there is no such flow
  static int leads_to(FlowDirector& director, std::uint32_t number) {
    onvm_ft_ipv4_5tuple key = key_of(number);
    onvm_flow_entry* entry = nullptr;
    if (director.find(&key, &entry) < 0) return -2;
    if (entry->sc == nullptr || entry->sc->chain_length == 0) return -1;
    return onvm_next_destination(entry->sc, 0);
  }
  static int remove(FlowDirector& director, std::uint32_t number) {
    onvm_ft_ipv4_5tuple key = key_of(number);
    return director.remove(&key, false);
  }
  static onvm_flow_entry* get(FlowDirector& director, std::uint32_t number) {
    onvm_ft_ipv4_5tuple key = key_of(number);
    onvm_flow_entry* entry = nullptr;
    return director.get_key(&key, &entry) < 0 ? nullptr : entry;
  }
  /// What nothing announces is looked for from time to time.
  template <typename Condition>
  static bool comes(FlowDirector& publisher, Condition&& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      publisher.publish();
    }
    return true;
  }

  std::string path_ = "/tmp/onvm-flows-XXXXXX";
  FlowDirector one_, two_;
};

TEST_F(OnvmFlowDirector, OthersSeeAFlowOnceItIsPublished) {
  add(one_, 1, 5);
  EXPECT_EQ(leads_to(two_, 1), -2);
  one_.publish();
  EXPECT_EQ(leads_to(two_, 1), 5);
  EXPECT_EQ(leads_to(two_, 2), -2);
}

TEST_F(OnvmFlowDirector, ADeletionReachesOthersAndTheyDoNotUndoIt) {
  add(one_, 1, 5);
  one_.publish();
  ASSERT_NE(get(two_, 1), nullptr) << "its NF may change the entry from here on";
  EXPECT_GE(remove(one_, 1), 0);
  two_.publish();  // writes nothing of what is deleted
  EXPECT_EQ(get(two_, 1), nullptr);
  two_.publish();
  EXPECT_EQ(leads_to(one_, 1), -2);
  FlowDirector three;
  ASSERT_TRUE(three.open(path_));
  EXPECT_EQ(leads_to(three, 1), -2);
}

TEST_F(OnvmFlowDirector, ADeletionHidesBehindNoChange) {
  add(one_, 1, 5);
  one_.publish();
  onvm_flow_entry* const entry = get(two_, 1);
  ASSERT_NE(entry, nullptr);
  entry->sc->sc[1].destination = 6;
  EXPECT_GE(remove(one_, 1), 0);
  two_.publish();
  EXPECT_EQ(leads_to(two_, 1), -2);
  EXPECT_EQ(leads_to(one_, 1), -2);
  EXPECT_EQ(entry->sc->sc[1].destination, 6) << "who still looks at it finds memory";
}

TEST_F(OnvmFlowDirector, AnotherProcessCanDeleteWhatThisOneHasMade) {
  add(one_, 1, 5);
  one_.publish();
  EXPECT_EQ(leads_to(two_, 1), 5);
  EXPECT_GE(remove(two_, 1), 0);
  EXPECT_EQ(leads_to(one_, 1), -2);
  add(two_, 1, 9);  // and make it anew
  two_.publish();
  EXPECT_EQ(leads_to(one_, 1), 9);
}

TEST_F(OnvmFlowDirector, AFlowThatNobodyHasPublishedStays) {
  add(one_, 1, 5);
  add(two_, 2, 6);
  two_.publish();
  EXPECT_EQ(leads_to(one_, 2), 6);
  EXPECT_GE(remove(two_, 2), 0);
  EXPECT_EQ(leads_to(one_, 2), -2);
  EXPECT_EQ(leads_to(one_, 1), 5);
}

TEST_F(OnvmFlowDirector, ASlotThatIsBeingWrittenIsNoDeletion) {
  add(one_, 1, 5);
  one_.publish();
  EXPECT_EQ(leads_to(two_, 1), 5);
  // The first slot's sequence: odd while somebody writes it.
  const int fd = open(path_.c_str(), O_RDWR);
  std::uint32_t sequence = 0;
  ASSERT_EQ(pread(fd, &sequence, sizeof(sequence), 16), 4);
  ASSERT_EQ(sequence, 2u);
  ++sequence;
  ASSERT_EQ(pwrite(fd, &sequence, sizeof(sequence), 16), 4);
  add(one_, 2, 6);
  one_.publish();
  EXPECT_EQ(leads_to(two_, 2), 6);
  EXPECT_EQ(leads_to(two_, 1), 5);
  --sequence;
  ASSERT_EQ(pwrite(fd, &sequence, sizeof(sequence), 16), 4);
  close(fd);
  EXPECT_GE(remove(one_, 1), 0);
  EXPECT_EQ(leads_to(two_, 1), -2);
}

TEST_F(OnvmFlowDirector, AnEntryIsPublishedWhenItGetsItsChain) {
  onvm_ft_ipv4_5tuple key = key_of(1);
  onvm_flow_entry* entry = nullptr;
  ASSERT_GE(one_.add(&key, &entry), 0);
  one_.publish();  // another thread's loop
  EXPECT_EQ(leads_to(two_, 1), -2);
  entry->sc = onvm_sc_create();
  onvm_sc_append_entry(entry->sc, ONVM_NF_ACTION_TONF, 5);
  one_.publish();
  EXPECT_EQ(leads_to(two_, 1), 5);
}

TEST_F(OnvmFlowDirector, AHalfBuiltChainIsNotPutInPlaceOfTheFinishedOne) {
  onvm_ft_ipv4_5tuple key = key_of(1);
  onvm_flow_entry* entry = nullptr;
  ASSERT_GE(one_.add(&key, &entry), 0);
  entry->sc = onvm_sc_create();
  one_.publish();
  EXPECT_EQ(leads_to(two_, 1), -1) << "it has no entries yet";
  onvm_sc_append_entry(entry->sc, ONVM_NF_ACTION_TONF, 5);
  EXPECT_EQ(leads_to(one_, 1), 5) << "its own export was news";
  add(two_, 2, 6);
  two_.publish();
  EXPECT_EQ(leads_to(one_, 1), 5) << "and so was another's";
  one_.publish();
  EXPECT_EQ(leads_to(two_, 1), 5);
}

TEST_F(OnvmFlowDirector, WhatAnNfChangesByAPointerItKeepsIsSeen) {
  onvm_flow_entry* const entry = add(one_, 1, 5);
  one_.publish();
  EXPECT_EQ(leads_to(one_, 1), 5);
  entry->sc->sc[1].destination = 8;
  EXPECT_TRUE(comes(one_, [&] { return leads_to(two_, 1) == 8; }));
}

TEST_F(OnvmFlowDirector, AChangeOfAnImportedFlowReachesItsMaker) {
  add(one_, 1, 5);
  one_.publish();
  get(two_, 1)->sc->sc[1].destination = 8;
  two_.publish();
  EXPECT_EQ(leads_to(one_, 1), 8);
}

TEST_F(OnvmFlowDirector, PositionsThatComeAndGoTakeNoMoreMemory) {
  rte_malloc_socket_stats before{}, after{};
  for (int round = 0; round < 8; ++round) {
    if (round == 4) rte_malloc_get_socket_stats(0, &before);
    std::vector<onvm_service_chain*> made;
    for (std::uint32_t i = 0; i < SDN_FT_ENTRIES; ++i) made.push_back(add(one_, i, 5)->sc);
    one_.publish();
    EXPECT_EQ(leads_to(two_, SDN_FT_ENTRIES - 1), 5);
    for (std::uint32_t i = 0; i < SDN_FT_ENTRIES; ++i) EXPECT_GE(remove(one_, i), 0);
    for (onvm_service_chain* const chain : made) rte_free(chain);
    EXPECT_EQ(leads_to(two_, 0), -2);
  }
  rte_malloc_get_socket_stats(0, &after);
  EXPECT_EQ(after.heap_allocsz_bytes, before.heap_allocsz_bytes);
}

TEST_F(OnvmFlowDirector, TwoThreadsOfAProcessAndAnotherProcessAgreeInTheEnd) {
  constexpr std::uint32_t kFlows = 64;
  constexpr int kRounds = 100'000;
  ASSERT_EQ(one_.make_table(), 0);
  std::atomic<int> at_work{3};
  const auto change = [&](FlowDirector& director, std::uint32_t first, unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < kRounds; ++i) {
      const std::uint32_t number = first + random() % kFlows;
      if (random() % 2 == 0)
        add(director, number, static_cast<std::uint16_t>(1 + random() % 30));
      else
        remove(director, number);
    }
    for (std::uint32_t i = 0; i < kFlows; ++i) add(director, first + i, 31);
    --at_work;
  };
  std::thread lcore([&] { change(one_, 0, 1); });
  std::thread other([&] { change(two_, 1000, 2); });
  std::thread loop([&] {
    std::mt19937 random(3);
    for (int i = 0; i < kRounds; ++i) {
      one_.publish();
      get(one_, random() % (2 * kFlows));
      leads_to(one_, 1000 + random() % kFlows);
    }
    --at_work;
  });
  while (at_work != 0) two_.publish();
  for (std::thread* const thread : {&lcore, &other, &loop}) thread->join();
  EXPECT_TRUE(comes(one_, [&] {
    two_.publish();
    for (std::uint32_t i = 0; i < kFlows; ++i)
      if (leads_to(one_, i) != 31 || leads_to(two_, i) != 31 || leads_to(one_, 1000 + i) != 31 ||
          leads_to(two_, 1000 + i) != 31)
        return false;
    return true;
  }));
}

}  // namespace
