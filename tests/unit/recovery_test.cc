// What recovery does beside judging crash points, which crash_point_test.cc has.
#include "manager/recovery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "tests/unit/small_platform.h"

namespace hb::test {
namespace {

using World = SmallPlatform;
using Numbers = std::vector<std::uint32_t>;

class RecoveryTest : public ::testing::Test {
 protected:
  RecoveryTest() { manager_.view = world_.view; }
  rte_ring* source() { return world_.ring(World::kNfEndpoint, World::kProducer); }
  void feed(std::uint32_t first, std::uint32_t n) {
    for (std::uint32_t i = first; i < first + n; ++i) world_.put(source(), world_.packet(i));
  }
  std::uint64_t recover(DropReason reason = DropReason::kLostInCrash, bool keep_windows = false) {
    return Recovery(manager_).recover({.context = World::kNf,
                                       .page = world_.page(),
                                       .endpoints = {World::kNfEndpoint},
                                       .work_groups = {},
                                       .keep_windows = keep_windows},
                                      World::kInstance.value, reason);
  }
  Numbers sent_away() { return world_.contents(kReclaimer, World::kManager); }
  std::uint8_t reason_of(std::uint32_t packet) {
    return packet_meta(world_.packet(packet)).drop_reason;
  }

  World world_;
  Platform manager_;
};

TEST_F(RecoveryTest, OfAContextThatHadNothingTakesNothing) {
  feed(0, 3);
  EXPECT_EQ(recover(), 0u);
  EXPECT_EQ(Recovery(manager_).recover({.context = World::kNf,
                                        .page = nullptr,
                                        .endpoints = {},
                                        .work_groups = {},
                                        .keep_windows = false},
                                       1, DropReason::kLostInCrash),
            0u);
  EXPECT_EQ(world_.contents(source()), (Numbers{0, 1, 2}));
}

TEST_F(RecoveryTest, ASecondOneFindsNothing) {
  feed(0, 3);
  peek(source(), source()->size);
  EXPECT_EQ(recover(), 3u);
  EXPECT_EQ(recover(), 0u) << "the page of a dead process is not used again, its rings are";
  EXPECT_EQ(sent_away(), (Numbers{0, 1, 2}));
}

TEST_F(RecoveryTest, SaysWhyPacketsAreDropped) {
  world_.page()->held[5] = reinterpret_cast<std::uint64_t>(world_.packet(9));
  EXPECT_EQ(recover(DropReason::kHeldAtExit), 1u);
  EXPECT_EQ(sent_away(), Numbers{9});
  EXPECT_EQ(reason_of(9), static_cast<std::uint8_t>(DropReason::kHeldAtExit));
  EXPECT_EQ(packet_meta(world_.packet(9)).drop_service, World::kInstance.value);
}

TEST_F(RecoveryTest, WindowsThatAreKeptAreUnreadAgain) {
  feed(0, 9);
  const Window window = peek(source(), source()->size, 6);
  LedgerRecord record{};
  record.source =
      Place::ring(world_.view.region.ring_id(World::kNfEndpoint, World::kProducer).value);
  record.source_tail = window.tail;
  record.destination = Place::ring(0x3fffffff);
  record.done = 0b010010;  // packets 1 and 4 have moved
  world_.page()->ledger.write(record);
  EXPECT_EQ(recover(DropReason::kLostInCrash, true), 0u);
  EXPECT_EQ(world_.contents(source()), (Numbers{0, 2, 3, 5, 6, 7, 8}));
  EXPECT_EQ(source()->cons.head, source()->cons.tail);
  EXPECT_TRUE(sent_away().empty());
}

TEST_F(RecoveryTest, OfAKeptWindowHeldPacketsAreLost) {
  feed(0, 4);
  peek(source(), source()->size);
  world_.page()->held[3] = reinterpret_cast<std::uint64_t>(world_.packet(2));
  EXPECT_EQ(recover(DropReason::kLostInCrash, true), 1u);
  EXPECT_EQ(world_.contents(source()), (Numbers{0, 1, 3}));
  EXPECT_EQ(sent_away(), Numbers{2});
}

TEST_F(RecoveryTest, HeldSlotsThatNameNoPacketAreIgnored) {
  world_.page()->held[0] = 1;
  world_.page()->held[1] = reinterpret_cast<std::uint64_t>(world_.page());
  world_.page()->held[2] = world_.page()->held[3] =
      reinterpret_cast<std::uint64_t>(world_.packet(9));
  EXPECT_EQ(recover(), 1u);
}

TEST_F(RecoveryTest, AHeadThatNoPeekLeavesIsPutBack) {
  for (const std::uint32_t head : {4u, 100u, 0xffffffffu}) {
    feed(0, 3);
    source()->cons.head = source()->cons.tail + head;
    EXPECT_EQ(recover(), 0u) << head;
    EXPECT_EQ(world_.contents(source()), (Numbers{0, 1, 2}));
    EXPECT_EQ(peek(source(), source()->size).n, 3u) << "the ring can be used";
    EXPECT_EQ(recover(), 3u);
  }
}

TEST_F(RecoveryTest, ARingIsReckonedWithAsPlannedWhateverItsConstantsSay) {
  feed(0, 3);
  peek(source(), source()->size);
  source()->size = source()->mask = source()->capacity = 1u << 30;
  EXPECT_EQ(recover(), 3u);
}

TEST_F(RecoveryTest, ALedgerThatNamesNonsenseIsHarmless) {
  feed(0, 4);
  const Window window = peek(source(), source()->size);
  Ledger& ledger = world_.page()->ledger;
  const Place source_place =
      Place::ring(world_.view.region.ring_id(World::kNfEndpoint, World::kProducer).value);
  for (const Place destination :
       {Place::ring(0x3fffffff), Place::queue(0x3fffffff), Place::held(), Place{}}) {
    ledger.write({.source = source_place,
                  .source_tail = window.tail + 1,
                  .destination = destination,
                  .destination_tail = 0,
                  .done = ~std::uint64_t{0},
                  .mask = ~std::uint64_t{0}});
    for (std::uint16_t& slot : ledger.release_slots) slot = 0xffff;
    recover();
  }
  EXPECT_EQ(sent_away().size(), 4u);
}

TEST_F(RecoveryTest, ServingDropsWhatWaitsForAMissingNf) {
  feed(0, 14);
  world_.put(world_.ring(World::kNfEndpoint, World::kOtherProducer), world_.packet(50));
  Recovery recovery(manager_);
  EXPECT_FALSE(recovery.is_empty(World::kNfEndpoint));
  EXPECT_EQ(recovery.serve(World::kNfEndpoint, World::kService.value), 15u);
  EXPECT_TRUE(recovery.is_empty(World::kNfEndpoint));
  EXPECT_EQ(sent_away().size(), 15u);
  EXPECT_EQ(reason_of(50), static_cast<std::uint8_t>(DropReason::kMissingNf));
  EXPECT_EQ(packet_meta(world_.packet(50)).drop_service, World::kService.value);
}

TEST_F(RecoveryTest, ServingSendsAlongWhatSkipsAMissingNf) {
  manager_.options.missing_nf = MissingNf::kSkip;
  feed(0, 6);
  for (std::uint32_t i = 0; i < 6; ++i) packet_meta(world_.packet(i)).type = i % 2;
  world_.put(source(), nullptr);
  EXPECT_EQ(Recovery(manager_).serve(World::kNfEndpoint, World::kService.value), 7u);
  EXPECT_EQ(world_.contents(World::port(0), World::kManager), (Numbers{0, 2, 4}));
  EXPECT_EQ(world_.contents(World::port(1), World::kManager), (Numbers{1, 3, 5}));
}

TEST_F(RecoveryTest, ServingAfterARecoveryTakesOnlyWhatTheDeadOneHadNot) {
  feed(0, 5);
  peek(source(), source()->size, 2);
  EXPECT_EQ(recover(), 2u);
  EXPECT_EQ(Recovery(manager_).serve(World::kNfEndpoint, World::kService.value), 3u);
  EXPECT_EQ(reason_of(1), static_cast<std::uint8_t>(DropReason::kLostInCrash));
  EXPECT_EQ(reason_of(2), static_cast<std::uint8_t>(DropReason::kMissingNf));
}

TEST_F(RecoveryTest, ServingEndsThoughAProducerNeverDoes) {
  manager_.options.missing_nf = MissingNf::kSkip;  // all packets have type 0: they go to port 0
  rte_ring* const out = world_.ring(World::port(0), World::kManager);
  for (std::uint32_t i = 0; i < 8; ++i) packet_meta(world_.packet(i)).type = 0;
  std::atomic<std::uint32_t> n_rounds{0};
  feed(0, 8);
  // Puts back whatever is served as soon as it comes out, so that there is always more.
  std::jthread producer([&](const std::stop_token& end) {
    while (!end.stop_requested()) {
      const Window window = peek(out, out->size);
      if (window.n == 0) continue;
      std::array<rte_mbuf*, kMaxBurst> packets;
      std::copy_n(window.packets, window.n, packets.begin());
      commit(out, window);
      // Served, but not committed yet: their places are still taken.
      while (room(source(), source()->size) < window.n && !end.stop_requested()) rte_pause();
      publish(source(), source()->size, packets.data(), window.n);
      n_rounds.fetch_add(1, std::memory_order_relaxed);
    }
  });
  Recovery recovery(manager_);
  while (n_rounds.load(std::memory_order_relaxed) < 1000)
    ASSERT_LE(recovery.serve(World::kNfEndpoint, World::kService.value), 8u);
}

}  // namespace
}  // namespace hb::test
