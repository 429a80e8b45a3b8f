// The CPUSyncer over plain memory, with the test as its device. Links hb_gpu_host, GTest.
#include "gpu_host/syncer.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <random>

#include "tests/unit/plain_platform.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kSyncer = 3;  ///< context
constexpr std::uint32_t kReclaim = 0, kIn = 1, kPort0 = 3, kPort1 = 4;

using Answer = std::function<u64(u64 slot)>;
u64 unchanged(u64 slot) { return HB_RESULT_UNCHANGED(slot, 0); }

class SyncerTest : public ::testing::Test {
 protected:
  void SetUp() override { make({}); }

  void make(const PlainOptions& options) {
    platform_ = std::make_unique<PlainPlatform>(options);
    page_ = std::make_unique<ContextPage>();
    syncer_ = std::make_unique<Syncer>(platform_->view, ContextId(kSyncer), page_.get());
  }
  void add(std::vector<std::uint32_t> work_groups = {0, 1},
           std::uint32_t copy_queue = ShareSpec::kNoCopyQueue) {
    const Result<void> added = syncer_->add({.slice = 2,
                                             .service = ServiceId(5),
                                             .instance = InstanceId(7),
                                             .endpoint = EndpointId(kIn),
                                             .copy_queue = copy_queue,
                                             .work_groups = std::move(work_groups)});
    ASSERT_TRUE(added) << added.error().line();
  }
  /// Answers up to `most` published rounds of a work-group.
  std::uint32_t answer(std::uint32_t work_group, const Answer& with = unchanged,
                       std::uint32_t most = ~0u) {
    const RegionView& region = platform_->view.region;
    HbQueueControl* const queue = region.queue_control(work_group);
    const RegionLayout& layout = region.layout();
    std::uint32_t n = 0;
    for (; queue->completed.value != queue->published.value && n < most; ++n) {
      const std::uint64_t at =
          queue->completed.value % layout.n_rounds * std::uint64_t{layout.work_group_size};
      for (std::uint32_t lane = 0; lane < layout.work_group_size; ++lane) {
        const u64 slot = region.slots(work_group)[at + lane];
        region.results(work_group)[at + lane] = slot == 0 ? 0 : with(slot);
      }
      ++queue->completed.value;
    }
    return n;
  }
  void send(std::uint32_t first, std::uint32_t n, std::uint32_t producer = 1) {
    for (std::uint32_t i = first; i < first + n; ++i)
      ASSERT_TRUE(platform_->send(producer, kIn, platform_->packet(i)));
  }
  HbQueueControl* queue(std::uint32_t i) { return platform_->view.region.queue_control(i); }

  std::unique_ptr<PlainPlatform> platform_;
  std::unique_ptr<ContextPage> page_;
  std::unique_ptr<Syncer> syncer_;
};

TEST_F(SyncerTest, PassesPacketsInTheirOrder) {
  add();
  std::uint32_t next = 0;
  for (std::uint32_t sent = 0; sent < 1000; sent += 50) {
    send(sent, 50);
    for (int i = 0; i < 4; ++i) {
      syncer_->poll();
      answer(1);  // in another order than they were handed out
      answer(0);
    }
    while (rte_mbuf* const mbuf = platform_->receive(kPort0, kSyncer))
      ASSERT_EQ(mbuf, platform_->packet(next++));
  }
  EXPECT_EQ(next, 1000u);
  EXPECT_EQ(page_->counters.slice_tx[2].load(), 1000u);
  EXPECT_EQ(page_->bursts.load() % 2, 0u);
  EXPECT_FALSE(syncer_->poll()) << "nothing is left to do";
}

TEST_F(SyncerTest, HandsASinglePacketOverAtOncePaddedWithDummies) {
  add();
  send(0, 1);
  EXPECT_TRUE(syncer_->poll());
  const std::uint32_t used = queue(0)->published.value == 1 ? 0 : 1;
  EXPECT_EQ(queue(used)->published.value, 1u);
  EXPECT_EQ(queue(used)->filled.value, 64u);
  const u64* const slots = platform_->view.region.slots(used);
  EXPECT_EQ(std::count(slots, slots + 64, u64{0}), 63);
}

TEST_F(SyncerTest, CollectsFullRoundsWhileTheDeviceIsBusy) {
  add({0});
  send(0, 1);
  syncer_->poll();
  for (std::uint32_t i = 1; i <= 64; ++i) {
    EXPECT_EQ(queue(0)->published.value, 1u) << "before packet " << i;
    send(i, 1);
    syncer_->poll();
  }
  EXPECT_EQ(queue(0)->published.value, 2u);
  EXPECT_EQ(queue(0)->filled.value, 128u);
}

TEST_F(SyncerTest, AnOpenRoundIsHandedOverOnceItsWorkGroupIsIdle) {
  add({0});
  send(0, 1);
  syncer_->poll();
  send(1, 3);
  syncer_->poll();
  EXPECT_EQ(queue(0)->published.value, 1u);
  answer(0);
  syncer_->poll();
  EXPECT_EQ(queue(0)->published.value, 2u);
}

TEST_F(SyncerTest, TakesNoMoreThanItsQueuesHold) {
  add({0});
  send(0, 700);
  for (int i = 0; i < 40; ++i) syncer_->poll();
  EXPECT_EQ(queue(0)->filled.value, 4u * 64);
  EXPECT_EQ(platform_->waiting(kIn, 1), 700u - 256);
}

TEST_F(SyncerTest, TakesAllThatAnotherOfItsSlicesSent) {
  for (RouteTable& table : platform_->routes->table) {
    for (auto& hops : table.next) hops[5] = make_hop(HopKind::kService, 6);
    table.targets[6].n = 1;
    table.targets[6].endpoint[0] = 2;
  }
  platform_->registry->endpoints[2].producers[0] |= 1u << kSyncer;
  add({0, 1});
  ASSERT_TRUE(syncer_->add({.slice = 3,
                            .service = ServiceId(6),
                            .instance = InstanceId(8),
                            .endpoint = EndpointId(2),
                            .work_groups = {2, 3}}));
  send(0, 256);
  for (int i = 0; i < 4; ++i) syncer_->poll();
  EXPECT_EQ(answer(0) + answer(1), 4u);
  syncer_->poll();
  EXPECT_EQ(queue(2)->filled.value + queue(3)->filled.value, 256u);
  EXPECT_EQ(platform_->waiting(2, kSyncer), 0u);
}

TEST_F(SyncerTest, ABurstMayStraddleWorkGroups) {
  make({.work_group_size = 16});
  add({0, 1, 2, 3});
  send(0, 64);
  syncer_->poll();
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_EQ(queue(i)->published.value, 1u) << i;
  for (const std::uint32_t i : {3u, 1u, 0u, 2u}) answer(i);
  syncer_->poll();
  for (std::uint32_t i = 0; i < 64; ++i)
    ASSERT_EQ(platform_->receive(kPort0, kSyncer), platform_->packet(i));
}

TEST_F(SyncerTest, TheLedgerNamesTheLastMove) {
  add({1});
  send(0, 5);
  syncer_->poll();
  LedgerRecord record;
  ASSERT_TRUE(page_->ledger.read(record));
  EXPECT_EQ(record.source,
            Place::ring(platform_->view.region.ring_id(EndpointId(kIn), ContextId(1)).value));
  EXPECT_EQ(record.destination, Place::queue(1));
  EXPECT_EQ(record.source_tail, 0u);
  EXPECT_EQ(record.destination_tail, 5u) << "padding moves no packet";
  EXPECT_EQ(record.mask, 0x1fu);
  answer(1);
  syncer_->poll();
  ASSERT_TRUE(page_->ledger.read(record));
  EXPECT_EQ(record.source, Place::queue(1));
  EXPECT_EQ(record.source_tail, 0u);
  EXPECT_EQ(record.mask, 0x1fu);
  EXPECT_EQ(queue(1)->drained.value, 64u);
}

TEST_F(SyncerTest, AVerdictChangesLengthOffsetAndType) {
  add({0});
  send(0, 1);
  syncer_->poll();
  answer(0, [](u64 slot) {
    return HB_RESULT(HB_VERDICT_NEXT, HB_RESULT_NEW_TYPE, 100, HB_SLOT_DATA_OFFSET(slot) - 20, 1,
                     0);
  });
  syncer_->poll();
  rte_mbuf* const mbuf = platform_->receive(kPort1, kSyncer);
  ASSERT_EQ(mbuf, platform_->packet(0)) << "type 1 goes to port 1";
  EXPECT_EQ(mbuf->data_off, PlainPlatform::kHeadroom - 20);
  EXPECT_EQ(mbuf->data_len, 100);
  EXPECT_EQ(mbuf->pkt_len, 100u);
}

TEST_F(SyncerTest, ADropGoesToTheReclaimerWithTheNfsReason) {
  add({0});
  send(0, 2);
  syncer_->poll();
  answer(0, [](u64 slot) {
    return HB_RESULT(HB_VERDICT_DROP, 0, HB_SLOT_LENGTH(slot), HB_SLOT_DATA_OFFSET(slot), 0, 1);
  });
  syncer_->poll();
  rte_mbuf* const mbuf = platform_->receive(kReclaim, kSyncer);
  ASSERT_NE(mbuf, nullptr);
  EXPECT_EQ(packet_meta(mbuf).drop_reason, kNfReasons + 1);
  EXPECT_EQ(packet_meta(mbuf).drop_service, 7) << "the instance";
  EXPECT_EQ(page_->counters.slice_drops[2].load(), 2u);
  EXPECT_EQ(page_->counters.slice_tx[2].load(), 0u);
}

TEST_F(SyncerTest, AnswersThatMakeNoSenseAreBadVerdicts) {
  add({0});
  const u64 base = sizeof(rte_mbuf) + PlainPlatform::kHeadroom;
  const std::array<u64, 9> nonsense = {
      ~u64{0},                                                         // everything
      HB_RESULT(HB_VERDICT_TO_PORT + 1, 0, 64, base, 0, 0),            // no such verdict
      HB_RESULT(HB_VERDICT_NEXT, 0, 64, sizeof(rte_mbuf) - 1, 0, 0),   // inside the header
      HB_RESULT(HB_VERDICT_NEXT, 0, 513, base, 0, 0),                  // a byte too long
      HB_RESULT(HB_VERDICT_NEXT, 0, 0, sizeof(rte_mbuf) + 641, 0, 0),  // behind the buffer
      HB_RESULT(HB_VERDICT_NEXT, HB_RESULT_NEW_TYPE, 64, base, 4, 0),  // no such type
      HB_RESULT(HB_VERDICT_DROP, 0, 64, base, 0, 2),                   // not a declared reason
      HB_RESULT(HB_VERDICT_TO_PORT, 0, 64, base, 0, 2),                // no such port
      HB_RESULT(HB_VERDICT_TO_SERVICE, 8, 64, base, 0, 0),             // no such flag
  };
  send(0, nonsense.size());
  syncer_->poll();
  std::size_t at = 0;
  answer(0, [&](u64) { return nonsense[at++]; });
  syncer_->poll();
  for (std::size_t i = 0; i < nonsense.size(); ++i) {
    rte_mbuf* const mbuf = platform_->receive(kReclaim, kSyncer);
    ASSERT_EQ(mbuf, platform_->packet(static_cast<std::uint32_t>(i)));
    EXPECT_EQ(packet_meta(mbuf).drop_reason, static_cast<int>(DropReason::kBadVerdict)) << i;
    EXPECT_EQ(mbuf->data_len, 64) << "left as it was";
  }
  EXPECT_EQ(platform_->waiting(kPort0, kSyncer), 0u);
}

TEST_F(SyncerTest, OverwrittenSlotsAndCountsDecideNothing) {
  add({0});
  send(0, 3);
  syncer_->poll();
  answer(0);
  std::fill_n(platform_->view.region.slots(0), 64, ~u64{0});
  syncer_->poll();
  for (std::uint32_t i = 0; i < 3; ++i)
    EXPECT_EQ(platform_->receive(kPort0, kSyncer), platform_->packet(i));
  queue(0)->completed.value = 1000;
  EXPECT_FALSE(syncer_->poll());
  EXPECT_EQ(queue(0)->drained.value, 64u);
}

TEST_F(SyncerTest, PointersToNothingAreSkippedAndBadHeadersReclaimed) {
  add({0});
  std::array<int, 64> elsewhere{};
  platform_->packet(1)->data_len = 600;  // longer than its buffer
  platform_->packet(1)->pkt_len = 600;
  platform_->packet(3)->pkt_len = 65;  // another length than its only segment
  send(0, 2);
  ASSERT_TRUE(platform_->send(1, kIn, reinterpret_cast<rte_mbuf*>(elsewhere.data())));
  ASSERT_TRUE(platform_->send(1, kIn, nullptr));
  ASSERT_TRUE(platform_->send(
      1, kIn, reinterpret_cast<rte_mbuf*>(reinterpret_cast<char*>(platform_->packet(5)) + 64)));
  send(2, 3);
  syncer_->poll();
  answer(0);
  syncer_->poll();
  EXPECT_EQ(page_->counters.bad_pointers.load(), 3u);
  for (const std::uint32_t i : {0u, 2u, 4u})
    EXPECT_EQ(platform_->receive(kPort0, kSyncer), platform_->packet(i));
  for (const std::uint32_t i : {1u, 3u}) {
    rte_mbuf* const mbuf = platform_->receive(kReclaim, kSyncer);
    ASSERT_EQ(mbuf, platform_->packet(i));
    EXPECT_EQ(packet_meta(mbuf).drop_reason, static_cast<int>(DropReason::kBadPacket));
  }
  EXPECT_EQ(platform_->waiting(kIn, 1), 0u);
}

TEST_F(SyncerTest, CopiesGoToTheControlProcessAndAreCountedWhenTheyDoNotFit) {
  add({0}, 1);
  for (std::uint32_t i = 0; i < 20; ++i)
    platform_->data(platform_->packet(i))[0] = static_cast<std::uint8_t>(i);
  send(0, 20);
  syncer_->poll();
  answer(0, [](u64 slot) { return HB_RESULT_UNCHANGED(slot, HB_RESULT_COPY_TO_CPU); });
  syncer_->poll();
  EXPECT_EQ(platform_->waiting(kPort0, kSyncer), 20u);
  EXPECT_EQ(page_->counters.slice_copies[2].load(), 8u);
  EXPECT_EQ(page_->counters.slice_unevaluated[2].load(), 12u);
  CopyQueue copies(platform_->view.region, 1);
  for (std::uint32_t i = 0; i < 8; ++i, copies.pop()) {
    ASSERT_NE(copies.front(), nullptr);
    EXPECT_EQ(copies.front()->length, 64u);
    EXPECT_EQ(copies.front()->bytes()[0], i);
  }
}

TEST_F(SyncerTest, OnALosslessPlatformTheRoundWaitsForItsCopies) {
  platform_->registry->lossless = 1;
  add({0}, 0);
  send(0, 20);
  syncer_->poll();
  answer(0, [](u64 slot) { return HB_RESULT_UNCHANGED(slot, HB_RESULT_COPY_TO_CPU); });
  EXPECT_FALSE(syncer_->poll());
  EXPECT_EQ(platform_->waiting(kPort0, kSyncer), 0u);
  CopyQueue copies(platform_->view.region, 0);
  std::uint32_t n = 0;
  for (int i = 0; i < 10; ++i, syncer_->poll())
    for (; copies.front() != nullptr; copies.pop()) ++n;
  EXPECT_EQ(n, 20u) << "each once";
  EXPECT_EQ(platform_->waiting(kPort0, kSyncer), 20u);
  EXPECT_EQ(page_->counters.slice_unevaluated[2].load(), 0u);
}

TEST_F(SyncerTest, NobodyWaitsForAControlProcessThatIsGone) {
  platform_->registry->lossless = 1;
  add({0}, 0);
  send(0, 20);
  syncer_->poll();
  answer(0, [](u64 slot) { return HB_RESULT_UNCHANGED(slot, HB_RESULT_COPY_TO_CPU); });
  syncer_->poll();
  platform_->registry->instances[7].state = InstanceState::kFailed;
  EXPECT_TRUE(syncer_->poll());
  EXPECT_EQ(platform_->waiting(kPort0, kSyncer), 20u);
  EXPECT_EQ(page_->counters.slice_unevaluated[2].load(), 12u);
}

TEST_F(SyncerTest, ASliceIsGivenBackWhenItsLastPacketHasLeft) {
  add({0});
  send(0, 1);
  syncer_->poll();
  send(1, 3);
  syncer_->poll();  // open round
  syncer_->begin_remove(2);
  syncer_->poll();
  EXPECT_FALSE(syncer_->is_removed(2));
  answer(0);
  syncer_->poll();
  EXPECT_TRUE(syncer_->is_removed(2));
  EXPECT_EQ(platform_->waiting(kPort0, kSyncer), 4u);
  add({0});  // and taken again, its counts going on
  send(4, 1);
  syncer_->poll();
  EXPECT_EQ(queue(0)->published.value, 3u);
  answer(0);
  syncer_->poll();
  EXPECT_EQ(platform_->waiting(kPort0, kSyncer), 5u);
}

TEST_F(SyncerTest, AQueueThatHoldsPacketsIsNotTaken) {
  queue(0)->filled.value = 64;
  for (const std::vector<std::uint32_t>& work_groups :
       {std::vector<std::uint32_t>{0}, std::vector<std::uint32_t>{},
        std::vector<std::uint32_t>{99}}) {
    ShareSpec share;
    share.work_groups = work_groups;
    EXPECT_FALSE(syncer_->add(share));
  }
}

TEST_F(SyncerTest, RandomLoadLosesNothingAndKeepsEachFlowsOrder) {
  for (const std::uint32_t size : {16u, 64u, 128u}) {
    make({.pool_size = 2048, .work_group_size = size});
    for (std::uint32_t i = 0; i < 4; ++i) {  // close to the wrap of all counts
      queue(i)->published.value = queue(i)->completed.value = -7u;
      queue(i)->filled.value = queue(i)->drained.value = -7u * size;
    }
    add({0, 1, 2, 3});
    std::mt19937 random(size);
    std::array<std::uint32_t, 3> next_out{};
    std::uint32_t sent = 0;
    std::uint32_t n_out = 0;
    std::uint32_t n_bad = 0;
    std::map<rte_mbuf*, std::uint32_t> number_of;
    for (std::uint32_t step = 0; n_out < 2048; ++step) {
      ASSERT_LT(step, 200000u) << "stuck, work-group size " << size;
      for (std::uint32_t n = random() % 80; n != 0 && sent < 2048; --n, ++sent) {
        const std::uint32_t producer = 1 + random() % 2;
        rte_mbuf* const mbuf = platform_->packet(sent);
        packet_meta(mbuf).flow_hash = producer;
        number_of[mbuf] = sent;
        if (!platform_->send(producer, kIn, mbuf)) break;
      }
      syncer_->poll();
      answer(
          random() % 4,
          [&](u64 slot) {
            return random() % 32 == 0 ? u64{random()} << 32 | random() | 0xf0 : unchanged(slot);
          },
          random() % 3);
      for (const std::uint32_t endpoint : {kPort0, kReclaim}) {
        while (rte_mbuf* const mbuf = platform_->receive(endpoint, kSyncer)) {
          ++n_out;
          if (endpoint == kReclaim) {
            ASSERT_EQ(packet_meta(mbuf).drop_reason, static_cast<int>(DropReason::kBadVerdict));
            ++n_bad;
            continue;
          }
          std::uint32_t& last = next_out[packet_meta(mbuf).flow_hash];
          ASSERT_GE(number_of[mbuf] + 1, last) << "work-group size " << size << " step " << step;
          last = number_of[mbuf] + 1;
        }
      }
    }
    EXPECT_EQ(sent, 2048u);
    EXPECT_GT(n_bad, 0u);
    EXPECT_EQ(n_out, 2048u);
  }
}

}  // namespace
}  // namespace hb::test
