// Packets that wait for the control process, over plain memory; the test is the device and the
// control process. Links hb_gpu_host, GTest.
#include "gpu_host/waiting_room.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <vector>

#include "gpu_host/syncer.h"
#include "tests/unit/plain_platform.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kSyncer = 3;  ///< context
constexpr std::uint32_t kReclaim = 0, kIn = 1, kRoom = 2, kPort0 = 3, kPort1 = 4;
constexpr u64 kPass = HB_RESULT(HB_VERDICT_NEXT, 0, 0, 0, 0, 0);
constexpr u64 kDrop1 = HB_RESULT(HB_VERDICT_DROP, 0, 0, 0, 0, 1);
constexpr u64 kType1 = HB_RESULT(HB_VERDICT_NEXT, HB_RESULT_NEW_TYPE, 0, 0, 1, 0);

class WaitingRoomTest : public ::testing::Test {
 protected:
  void SetUp() override { make({.copy_records = 128}); }

  void make(const PlainOptions& options) {
    syncer_.reset();
    platform_ = std::make_unique<PlainPlatform>(options);
    page_ = std::make_unique<ContextPage>();
    syncer_ = std::make_unique<Syncer>(platform_->view, ContextId(kSyncer), page_.get());
    copies_ = CopyQueue(platform_->view.region, 0);
    const Result<void> added = syncer_->add({.slice = 2,
                                             .service = ServiceId(5),
                                             .instance = InstanceId(7),
                                             .endpoint = EndpointId(kIn),
                                             .copy_queue = 0,
                                             .waiting_room = EndpointId(kRoom),
                                             .work_groups = {0, 1}});
    ASSERT_TRUE(added) << added.error().line();
  }
  /// Packet i is of that flow; its data says whether the device is to ask about it.
  void send(std::uint32_t i, std::uint32_t flow, bool asks, std::uint32_t producer = 1) {
    rte_mbuf* const mbuf = platform_->packet(i);
    packet_meta(mbuf).flow_hash = flow;
    platform_->data(mbuf)[0] = asks;
    ASSERT_TRUE(platform_->send(producer, kIn, mbuf));
  }
  /// The device answers all rounds, the CPUSyncer takes them back.
  void turn() {
    for (int i = 0; i < 3; ++i) {
      syncer_->poll();
      const RegionView& region = platform_->view.region;
      const RegionLayout& layout = region.layout();
      for (const std::uint32_t group : {0u, 1u}) {
        HbQueueControl* const queue = region.queue_control(group);
        for (; queue->completed.value != queue->published.value; ++queue->completed.value) {
          const std::uint64_t at =
              queue->completed.value % layout.n_rounds * std::uint64_t{layout.work_group_size};
          for (std::uint32_t lane = 0; lane < layout.work_group_size; ++lane) {
            const u64 slot = region.slots(group)[at + lane];
            if (slot == 0) continue;
            auto* const mbuf = reinterpret_cast<rte_mbuf*>(region.base() + HB_SLOT_BASE(slot));
            const std::uint32_t flags = platform_->data(mbuf)[0] != 0 ? HB_RESULT_ASK_CPU : 0;
            region.results(group)[at + lane] = HB_RESULT_UNCHANGED(slot, flags);
          }
        }
      }
    }
  }
  /// The control process answers its oldest record.
  void answer(u64 result) {
    const CopyRecord* const record = copies_.front();
    EXPECT_NE(record, nullptr);
    EXPECT_EQ(record->answer, CopyRecord::kAsked);
    copies_.answer(result);
    copies_.pop();
  }
  std::vector<std::uint32_t> received(std::uint32_t endpoint) {
    std::vector<std::uint32_t> numbers;
    while (rte_mbuf* const mbuf = platform_->receive(endpoint, kSyncer))
      numbers.push_back(platform_->view.check.number(mbuf));
    return numbers;
  }

  std::unique_ptr<PlainPlatform> platform_;
  std::unique_ptr<ContextPage> page_;
  std::unique_ptr<Syncer> syncer_;
  CopyQueue copies_;
};

using Numbers = std::vector<std::uint32_t>;

TEST_F(WaitingRoomTest, AFlowWaitsForTheAnswerAndOthersDoNot) {
  send(0, 1, true);
  send(1, 1, false);
  send(2, 2, false);
  turn();
  EXPECT_EQ(received(kPort0), Numbers{2});
  send(3, 1, false);
  send(4, 2, false);
  turn();
  EXPECT_EQ(received(kPort0), Numbers{4});
  EXPECT_EQ(platform_->waiting(kRoom, kSyncer), 3u);
  answer(kPass);
  turn();
  EXPECT_EQ(received(kPort0), (Numbers{0, 1, 3}));
  send(5, 1, false);
  turn();
  EXPECT_EQ(received(kPort0), Numbers{5}) << "nothing of the flow waits any more";
  EXPECT_EQ(page_->counters.slice_tx[2].load(), 6u);
}

TEST_F(WaitingRoomTest, AnswersDropAndChangeTheType) {
  for (std::uint32_t i = 0; i < 3; ++i) send(i, i, true);
  turn();
  for (const u64 result : {kDrop1, kType1, kPass}) answer(result);
  turn();
  EXPECT_EQ(received(kPort0), Numbers{2});
  EXPECT_EQ(received(kPort1), Numbers{1}) << "type 1 goes to port 1";
  EXPECT_EQ(received(kReclaim), Numbers{0});
  EXPECT_EQ(packet_meta(platform_->packet(0)).drop_reason, kNfReasons + 1);
  EXPECT_EQ(packet_meta(platform_->packet(0)).drop_service, 7);
  EXPECT_EQ(page_->counters.slice_drops[2].load(), 1u);
  EXPECT_EQ(page_->counters.slice_tx[2].load(), 2u);
}

TEST_F(WaitingRoomTest, AnswersThatMakeNoSenseAreBadVerdicts) {
  const std::array<u64, 6> nonsense = {
      CopyRecord::kAsked,                                          // taken, and not answered
      HB_RESULT(HB_VERDICT_TO_PORT + 1, 0, 0, 0, 0, 0),            // no such verdict
      HB_RESULT(HB_VERDICT_DROP, 0, 0, 0, 0, 2),                   // not a declared reason
      HB_RESULT(HB_VERDICT_NEXT, HB_RESULT_NEW_TYPE, 0, 0, 4, 0),  // no such type
      HB_RESULT(HB_VERDICT_TO_PORT, 0, 0, 0, 0, 2),                // no such port
      HB_RESULT(HB_VERDICT_NEXT, HB_RESULT_ASK_CPU, 0, 0, 0, 0),   // ask whom?
  };
  for (std::uint32_t i = 0; i < nonsense.size(); ++i) send(i, i, true);
  turn();
  for (const u64 result : nonsense) answer(result);
  turn();
  EXPECT_EQ(received(kReclaim), (Numbers{0, 1, 2, 3, 4, 5}));
  for (std::uint32_t i = 0; i < nonsense.size(); ++i)
    EXPECT_EQ(packet_meta(platform_->packet(i)).drop_reason,
              static_cast<int>(DropReason::kBadVerdict))
        << i;
}

TEST_F(WaitingRoomTest, NobodyWaitsForAControlProcessThatIsGone) {
  send(0, 1, true);
  send(1, 1, false);
  send(2, 1, true);
  turn();
  answer(kPass);  // and dies before the next
  platform_->registry->instances[7].state = InstanceState::kFailed;
  send(3, 1, true);
  send(4, 2, false);
  turn();
  EXPECT_EQ(received(kPort0), (Numbers{0, 1, 4}));
  EXPECT_EQ(received(kReclaim), (Numbers{2, 3}));
  EXPECT_EQ(packet_meta(platform_->packet(2)).drop_reason, static_cast<int>(DropReason::kUnjudged));
  EXPECT_EQ(packet_meta(platform_->packet(3)).drop_reason, static_cast<int>(DropReason::kUnjudged));
  EXPECT_EQ(page_->counters.slice_unevaluated[2].load(), 1u);
}

TEST_F(WaitingRoomTest, WhenItIsFullLateComersAreDroppedOrALosslessRoundWaits) {
  for (const bool lossless : {false, true}) {
    make({.ring_size = 64, .copy_records = 128});
    platform_->registry->lossless = lossless;
    for (std::uint32_t i = 0; i < 60; ++i) send(i, 1, i == 0 || i == 30);
    turn();
    for (std::uint32_t i = 60; i < 80; ++i) send(i, 1, false);
    turn();
    EXPECT_EQ(platform_->waiting(kRoom, kSyncer), lossless ? 60u : 63u);
    EXPECT_EQ(received(kReclaim).size(), lossless ? 0u : 17u) << "63 fit";
    Numbers out;
    for (int i = 0; i < 2; ++i) {  // the port's ring is no larger
      answer(kPass);
      turn();
      for (const std::uint32_t number : received(kPort0)) out.push_back(number);
    }
    EXPECT_EQ(out.size(), lossless ? 80u : 63u);
    EXPECT_TRUE(std::ranges::is_sorted(out));
    EXPECT_TRUE(received(kReclaim).empty());
  }
}

TEST_F(WaitingRoomTest, ARoundThatIsLargerThanTheRoomOrTheCopyQueueGoesThrough) {
  for (const PlainOptions& options : {PlainOptions{.ring_size = 64, .copy_records = 128},
                                      PlainOptions{.ring_size = 256, .copy_records = 16}}) {
    make(options);
    platform_->registry->lossless = 1;
    for (std::uint32_t i = 0; i < 64; ++i) send(i, 1, true, 1 + i / 32);
    Numbers out;
    for (int step = 0; step < 20; ++step) {
      turn();
      while (copies_.front() != nullptr) answer(kPass);
      for (const std::uint32_t number : received(kPort0)) out.push_back(number);
    }
    EXPECT_EQ(out.size(), 64u);
    EXPECT_TRUE(std::ranges::is_sorted(out));
    EXPECT_EQ(page_->counters.slice_rounds[2].load(), 1u);
    EXPECT_TRUE(received(kReclaim).empty());
  }
}

TEST_F(WaitingRoomTest, QuestionsThatDoNotFitTheCopyQueue) {
  for (const bool lossless : {false, true}) {
    make({.copy_records = 64});
    platform_->registry->lossless = lossless;
    for (std::uint32_t i = 0; i < 100; ++i) send(i, i, true);
    turn();
    std::uint32_t n_answered = 0;
    for (int i = 0; i < 5; ++i, turn())
      for (; copies_.front() != nullptr; ++n_answered) answer(kPass);
    EXPECT_EQ(n_answered, lossless ? 100u : 64u);
    EXPECT_EQ(received(kPort0).size(), n_answered);
    EXPECT_EQ(received(kReclaim).size(), 100 - n_answered) << "unjudged";
    EXPECT_EQ(page_->counters.slice_unevaluated[2].load(), 100 - n_answered);
  }
}

TEST_F(WaitingRoomTest, ASliceIsGivenBackOnceNobodyWaits) {
  send(0, 1, true);
  turn();
  syncer_->begin_remove(2);
  turn();
  EXPECT_FALSE(syncer_->is_removed(2));
  answer(kPass);
  turn();
  EXPECT_TRUE(syncer_->is_removed(2));
  EXPECT_EQ(received(kPort0), Numbers{0});
}

TEST_F(WaitingRoomTest, WhoWaitedForAnEarlierOwnerIsUnjudged) {
  send(0, 1, true);
  turn();
  syncer_ = std::make_unique<Syncer>(platform_->view, ContextId(kSyncer), page_.get());
  const Result<void> added = syncer_->add({.slice = 2,
                                           .service = ServiceId(5),
                                           .instance = InstanceId(7),
                                           .endpoint = EndpointId(kIn),
                                           .copy_queue = 0,
                                           .waiting_room = EndpointId(kRoom),
                                           .work_groups = {2, 3}});
  ASSERT_TRUE(added) << added.error().line();
  answer(kPass);  // to nobody
  syncer_->poll();
  EXPECT_EQ(received(kReclaim), Numbers{0});
  EXPECT_EQ(packet_meta(platform_->packet(0)).drop_reason, static_cast<int>(DropReason::kUnjudged));
}

TEST_F(WaitingRoomTest, RandomLoadLosesNothingAndKeepsEachFlowsOrder) {
  for (const std::uint32_t ring_size : {64u, 1024u}) {
    make({.pool_size = 2048, .ring_size = ring_size, .copy_records = 64});
    platform_->registry->lossless = 1;
    std::mt19937 random(ring_size);
    std::map<std::uint32_t, std::uint32_t> next_of_flow;
    std::uint32_t sent = 0;
    std::array<std::uint32_t, 3> n_out{};
    for (std::uint32_t step = 0; n_out[0] + n_out[1] + n_out[2] < 2048; ++step) {
      ASSERT_LT(step, 100'000u) << "stuck";
      for (std::uint32_t n = random() % 40; n != 0 && sent < 2048; --n, ++sent) {
        if (platform_->waiting(kIn, 1) + 1 >= ring_size) break;
        send(sent, random() % 16, random() % 4 == 0);
      }
      if (random() % 2 != 0) turn();
      for (std::uint32_t n = random() % 8; n != 0 && copies_.front() != nullptr; --n)
        answer(random() % 3 == 0 ? kDrop1 : kPass);
      syncer_->poll();
      for (const std::uint32_t number : received(kPort0)) {
        ++n_out[0];
        std::uint32_t& next = next_of_flow[packet_meta(platform_->packet(number)).flow_hash];
        ASSERT_GE(number, next);
        next = number + 1;
      }
      for (const std::uint32_t number : received(kReclaim)) {
        const std::uint8_t reason = packet_meta(platform_->packet(number)).drop_reason;
        // A poll may bring more than the small port ring holds: nothing else may drop.
        const bool by_answer = reason == kNfReasons + 1;
        ASSERT_TRUE(by_answer ||
                    (ring_size == 64 && reason == static_cast<int>(DropReason::kRingFull)))
            << "reason " << int{reason};
        ++n_out[by_answer ? 1 : 2];
      }
    }
    EXPECT_GT(n_out[0], 1024u);
    EXPECT_GT(n_out[1], 64u);
    EXPECT_EQ(page_->counters.slice_drops[2].load(), n_out[1]) << "dropped by answers alone";
  }
}

}  // namespace
}  // namespace hb::test
