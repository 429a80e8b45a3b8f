#include "nf_lib/copy_queue.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

namespace hb::test {
namespace {

/// Two queues of 4 records with 96 bytes of packet each.
class CopyQueueTest : public ::testing::Test {
 protected:
  CopyQueueTest() {
    RegionDemand demand;
    demand.n_contexts = 1;
    demand.n_endpoints = 1;
    demand.pool_size = 1;
    demand.n_work_groups = 0;
    demand.n_copy_queues = 2;
    demand.copy_records = 4;
    demand.copy_bytes = 192;
    demand.page_bytes = 4096;
    const RegionLayout layout = plan_region(demand);
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(4096, layout.total_bytes)));
    region_ = RegionView(memory_.get(), layout);
    region_.format();
  }
  /// Sets a queue's two indices, as if that many records had gone through.
  void start_at(std::uint32_t queue, std::uint32_t index) const {
    std::memcpy(region_.copy_queue(queue), &index, sizeof(index));
    std::memcpy(region_.copy_queue(queue) + kFalseSharingRange, &index, sizeof(index));
  }
  static bool push(CopyQueue& queue, std::uint32_t number, std::uint32_t length = 60) {
    std::vector<std::uint8_t> bytes(length, static_cast<std::uint8_t>(number));
    PacketMeta meta{};
    meta.flow_hash = number;
    queue.collect([](std::uint32_t, std::uint64_t) {});
    return queue.push(meta, static_cast<std::uint16_t>(number), bytes.data(), length, 1);
  }

  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  RegionView region_;
};

TEST_F(CopyQueueTest, GivesRecordsInOrderWithTheirBytes) {
  CopyQueue writer(region_, 1), reader(region_, 1);
  EXPECT_EQ(reader.front(), nullptr);
  for (std::uint32_t n = 1; n <= 3; ++n) EXPECT_TRUE(push(writer, n, 10 * n));
  for (std::uint32_t n = 1; n <= 3; ++n) {
    const CopyRecord* const record = reader.front();
    ASSERT_NE(record, nullptr);
    EXPECT_EQ(record->meta.flow_hash, n);
    EXPECT_EQ(record->port, n);
    ASSERT_EQ(record->length, 10 * n);
    for (std::uint32_t i = 0; i < record->length; ++i) ASSERT_EQ(record->bytes()[i], n);
    reader.pop();
  }
  EXPECT_EQ(reader.front(), nullptr);
}

TEST_F(CopyQueueTest, RefusesWhenFullAndTakesAgainAfterAPop) {
  CopyQueue queue(region_, 0);
  for (std::uint32_t n = 0; n < 4; ++n) EXPECT_TRUE(push(queue, n));
  EXPECT_FALSE(push(queue, 4));
  EXPECT_EQ(queue.front()->meta.flow_hash, 0u);
  queue.pop();
  EXPECT_TRUE(push(queue, 5));
  EXPECT_FALSE(push(queue, 6));
}

TEST_F(CopyQueueTest, CutsWhatDoesNotFitARecordAndLeavesTheNextAlone) {
  CopyQueue queue(region_, 0);
  EXPECT_EQ(queue.max_length(), 192u - sizeof(CopyRecord));
  EXPECT_TRUE(push(queue, 1, 1500));
  EXPECT_TRUE(push(queue, 2, queue.max_length()));
  EXPECT_EQ(queue.front()->length, queue.max_length());
  queue.pop();
  EXPECT_EQ(queue.front()->meta.flow_hash, 2u);
  EXPECT_EQ(queue.front()->bytes()[queue.max_length() - 1], 2);
}

TEST_F(CopyQueueTest, IsRightOverTheWrapOfItsIndices) {
  start_at(0, 0xfffffffeu);
  CopyQueue queue(region_, 0);
  for (std::uint32_t n = 0; n < 4; ++n) EXPECT_TRUE(push(queue, n));
  EXPECT_FALSE(push(queue, 4));
  for (std::uint32_t n = 0; n < 4; ++n) {
    ASSERT_NE(queue.front(), nullptr);
    EXPECT_EQ(queue.front()->meta.flow_hash, n);
    queue.pop();
  }
  EXPECT_EQ(queue.front(), nullptr);
}

TEST_F(CopyQueueTest, BringsAnswersBackBeforeTheirRecordsAreUsedAgain) {
  start_at(0, 0xfffffffeu);
  CopyQueue writer(region_, 0), reader(region_, 0);
  const std::uint8_t byte = 0;
  std::uint32_t next_answer = 0xfffffffeu;
  for (std::uint32_t lap = 0; lap < 100; ++lap) {
    for (std::uint32_t n = 0; n < 1 + lap % 4; ++n) {
      ASSERT_TRUE(writer.push(PacketMeta{}, 0, &byte, 1, 1, n % 2 == 0));
    }
    for (; reader.front() != nullptr; reader.pop()) {
      if (reader.front()->answer == CopyRecord::kAsked) reader.answer(0xabc000ull + reader.taken());
    }
    const std::uint32_t first = next_answer;
    EXPECT_EQ(writer.room(), 3 - lap % 4) << "not collected yet";
    writer.collect([&](std::uint32_t number, std::uint64_t answer) {
      ASSERT_EQ(number, next_answer++);
      ASSERT_EQ(answer, (number - first) % 2 == 0 ? 0xabc000ull + number : 0);
    });
    EXPECT_EQ(next_answer, writer.next());
    EXPECT_EQ(writer.room(), 4u);
  }
}

TEST_F(CopyQueueTest, NeighboursDoNotTouchEachOther) {
  CopyQueue first(region_, 0), second(region_, 1);
  EXPECT_TRUE(push(second, 77, 96));
  for (std::uint32_t n = 0; n < 4; ++n) EXPECT_TRUE(push(first, n, 96));
  EXPECT_EQ(second.front()->meta.flow_hash, 77u);
  EXPECT_EQ(second.front()->bytes()[95], 77);
}

TEST_F(CopyQueueTest, IsEmptyAfterAReset) {
  start_at(0, 9);
  CopyQueue queue(region_, 0);
  EXPECT_TRUE(push(queue, 1));
  queue.reset();
  EXPECT_EQ(queue.front(), nullptr);
  EXPECT_TRUE(push(queue, 2));
  EXPECT_EQ(queue.front()->meta.flow_hash, 2u);
}

TEST_F(CopyQueueTest, CarriesEverythingBetweenTwoThreads) {
  constexpr std::uint32_t kCopies = 20'000;
  std::jthread writer([this] {
    CopyQueue queue(region_, 0);
    for (std::uint32_t n = 0; n < kCopies;) {
      if (push(queue, n, n % 97))
        ++n;
      else
        std::this_thread::yield();
    }
  });
  CopyQueue queue(region_, 0);
  for (std::uint32_t n = 0; n < kCopies; ++n) {
    const CopyRecord* record = nullptr;
    while ((record = queue.front()) == nullptr) std::this_thread::yield();
    ASSERT_EQ(record->meta.flow_hash, n);
    ASSERT_EQ(record->length, n % 97);
    for (std::uint32_t i = 0; i < record->length; ++i)
      ASSERT_EQ(record->bytes()[i], static_cast<std::uint8_t>(n));
    queue.pop();
  }
}

}  // namespace
}  // namespace hb::test
