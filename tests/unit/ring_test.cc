#include "nf_lib/ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <memory>
#include <random>
#include <vector>

namespace hb::test {
namespace {

/// A ring whose entries are numbers dressed as packets.
class TestRing {
 public:
  explicit TestRing(std::uint32_t size, std::uint32_t first_index = 0)
      : memory_(std::aligned_alloc(kFalseSharingRange, bytes(size))) {
    rte_ring_init(get(), "test", size, RING_F_SP_ENQ | RING_F_SC_DEQ);
    for (rte_ring_headtail* const end : {&get()->prod, &get()->cons}) {
      end->head = first_index;
      end->tail = first_index;
    }
  }
  [[nodiscard]] rte_ring* get() const { return static_cast<rte_ring*>(memory_.get()); }
  void publish_numbers(std::uint64_t first, std::uint32_t n) const {
    std::array<rte_mbuf*, 256> packets;
    for (std::uint32_t i = 0; i < n; ++i) packets[i] = reinterpret_cast<rte_mbuf*>(first + i);
    publish(get(), get()->size, packets.data(), n);
  }
  static std::vector<std::uint64_t> numbers(const Window& window) {
    std::vector<std::uint64_t> out;
    for (std::uint32_t i = 0; i < window.n; ++i)
      out.push_back(reinterpret_cast<std::uint64_t>(window.packets[i]));
    return out;
  }

 private:
  static std::size_t bytes(std::uint32_t size) {
    const auto n = static_cast<std::size_t>(rte_ring_get_memsize(size));
    return (n + kFalseSharingRange - 1) / kFalseSharingRange * kFalseSharingRange;
  }
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
};

using Numbers = std::vector<std::uint64_t>;

TEST(Ring, PeekTakesNothingFromAnEmptyRing) {
  const TestRing ring(16);
  EXPECT_EQ(peek(ring.get(), ring.get()->size).n, 0u);
  EXPECT_FALSE(has_packets(ring.get()));
}

TEST(Ring, AWindowEndsAtTheRingsEndAndTheNextBeginsThere) {
  const TestRing ring(16, 12);
  ring.publish_numbers(100, 10);
  const Window first = peek(ring.get(), ring.get()->size);
  EXPECT_EQ(TestRing::numbers(first), (Numbers{100, 101, 102, 103}));
  EXPECT_EQ(first.tail, 12u);
  commit(ring.get(), first);
  const Window second = peek(ring.get(), ring.get()->size);
  EXPECT_EQ(TestRing::numbers(second), (Numbers{104, 105, 106, 107, 108, 109}));
  EXPECT_EQ(second.tail, 16u);
  commit(ring.get(), second);
  EXPECT_FALSE(has_packets(ring.get()));
}

TEST(Ring, AWindowIsNoLargerThanAskedFor) {
  const TestRing ring(256);
  ring.publish_numbers(1, 200);
  EXPECT_EQ(peek(ring.get(), ring.get()->size, 5).n, 5u);
  const TestRing full(256);
  full.publish_numbers(1, 200);
  EXPECT_EQ(peek(full.get(), full.get()->size).n, kMaxBurst);
}

TEST(Ring, PeekedPacketsKeepTheirSlotsUntilTheCommit) {
  const TestRing ring(16);
  ring.publish_numbers(1, 15);
  EXPECT_EQ(room(ring.get(), ring.get()->size), 0u);
  const Window window = peek(ring.get(), ring.get()->size, 6);
  EXPECT_EQ(room(ring.get(), ring.get()->size), 0u);
  EXPECT_EQ(ring.get()->cons.tail, 0u);
  EXPECT_EQ(ring.get()->cons.head, 6u);
  commit(ring.get(), window);
  EXPECT_EQ(room(ring.get(), ring.get()->size), 6u);
}

TEST(Ring, TailAfterIsTheTailThatAPublishLeaves) {
  for (const std::uint32_t start : {0u, 9u, 0xfffffff8u, 0xffffffffu}) {
    const TestRing ring(16, start);
    const std::uint32_t expected = tail_after(ring.get(), 11);
    ring.publish_numbers(1, 11);
    EXPECT_EQ(ring.get()->prod.tail, expected) << "start " << start;
    EXPECT_EQ(room(ring.get(), ring.get()->size), 4u) << "start " << start;
  }
}

TEST(Ring, WorksWhateverAWildWriteLeavesInItsConstants) {
  const TestRing ring(16);
  ring.publish_numbers(0, 3);
  ring.get()->size = 0;
  ring.get()->mask = ring.get()->capacity = ~0u;
  ring.get()->prod.sync_type = ring.get()->cons.sync_type = RTE_RING_SYNC_MT;
  EXPECT_EQ(room(ring.get(), 16), 12u);
  const Window window = peek(ring.get(), 16);
  EXPECT_EQ(window.n, 3u);
  commit(ring.get(), window);
  rte_mbuf* packets[12] = {};
  for (int turn = 0; turn < 5; ++turn) {  // round its end
    publish(ring.get(), 16, packets, 12);
    EXPECT_EQ(n_waiting(ring.get(), 16), 12u);
    while (n_waiting(ring.get(), 16) != 0) commit(ring.get(), peek(ring.get(), 16));
  }
}

TEST(Ring, GivesNothingWhenItsIndicesMakeNoSense) {
  const TestRing ring(16);
  ring.get()->prod.tail = 16;
  EXPECT_EQ(peek(ring.get(), 16).n, 0u);
  EXPECT_EQ(n_waiting(ring.get(), 16), 0u);
  EXPECT_EQ(room(ring.get(), 16), 0u);
}

TEST(Ring, BehavesAsAQueueOverTheWrapOfItsIndices) {
  std::mt19937 rng(32);
  for (const std::uint32_t size : {2u, 16u, 128u}) {
    const TestRing ring(size, 0xffffff00u);
    std::deque<std::uint64_t> model;
    std::uint64_t next = 1;
    for (int trial = 0; trial < 3000; ++trial) {
      const std::uint32_t space = room(ring.get(), ring.get()->size);
      ASSERT_EQ(space, size - 1 - model.size()) << "size " << size << ", trial " << trial;
      const std::uint32_t n = std::min<std::uint32_t>(rng() % (size + 1), space);
      if (n != 0) ring.publish_numbers(next, n);
      for (std::uint32_t i = 0; i < n; ++i) model.push_back(next++);
      ASSERT_EQ(has_packets(ring.get()), !model.empty());
      const Window window = peek(ring.get(), ring.get()->size, 1 + rng() % kMaxBurst);
      ASSERT_EQ(window.n == 0, model.empty()) << "size " << size << ", trial " << trial;
      for (const std::uint64_t number : TestRing::numbers(window)) {
        ASSERT_EQ(number, model.front()) << "size " << size << ", trial " << trial;
        model.pop_front();
      }
      commit(ring.get(), window);
    }
  }
}

}  // namespace
}  // namespace hb::test
