// Packets' way into local memory and back, as host threads.
#include "tests/kernels/host_device.h"  // first: it decides how kernels/platform.h reads

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "kernels/movement.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kLanes = 16;
constexpr std::uint32_t kStride = 2048;

/// A round of packets of random lengths at random offsets, some of them dummies.
struct Round {
  explicit Round(std::uint32_t seed) : memory(kLanes * kStride / sizeof(HbLine)) {
    std::mt19937 random(seed);
    for (HbLine& line : memory)
      line = {static_cast<u32>(random()), static_cast<u32>(random()), static_cast<u32>(random()),
              static_cast<u32>(random())};
    for (std::uint32_t lane = 0; lane < kLanes; ++lane)
      slots[lane] = random() % 5 == 0
                        ? 0
                        : HB_SLOT(lane * kStride / 64, random() % 1600, 128 + random() % 200);
    slots[0] = 0;  // not at the region's start: slot 0 is the dummy
    before = bytes();
  }
  [[nodiscard]] std::vector<u8> bytes() const {
    const auto* from = reinterpret_cast<const u8*>(memory.data());
    return {from, from + memory.size() * sizeof(HbLine)};
  }
  HbRound of(std::uint32_t lane) {
    HbRound round{};
    round.region = reinterpret_cast<u8*>(memory.data());
    round.region_bytes = memory.size() * sizeof(HbLine);
    round.packet_limit = kStride;
    round.slots = slots;
    round.results = results;
    round.lane = lane;
    round.n_lanes = kLanes;
    return round;
  }
  std::vector<HbLine> memory;
  u64 slots[kLanes];
  u64 results[kLanes] = {};
  std::vector<u8> before;
};

TEST(Movement, AWindowHoldsThePacketAndNoLineMore) {
  HbLine lines[8] = {};
  HbRound round{};
  round.region = reinterpret_cast<u8*>(lines);
  round.region_bytes = sizeof(lines);
  for (std::uint32_t offset = 0; offset < 40; ++offset) {
    for (std::uint32_t length = 1; length < 40; ++length) {
      const u64 slot = HB_SLOT(0, length, offset);
      if (slot == 0) continue;
      const HbWindow exact = hb_window(&round, slot);
      const auto start =
          static_cast<std::uint32_t>(reinterpret_cast<u8*>(exact.lines) - round.region);
      EXPECT_EQ(start + exact.skip, offset);
      EXPECT_LT(exact.skip, 16u);
      EXPECT_GE(exact.n_lines * 16, exact.skip + length);
      EXPECT_LT(exact.n_lines * 16, exact.skip + length + 16);
    }
  }
  EXPECT_EQ(hb_window(&round, 0).n_lines, 0u);
  EXPECT_EQ(hb_window(&round, HB_SLOT(0, sizeof(lines) - 1, 2)).n_lines, 0u) << "leaves the region";
}

/// All lines of a packet, there and back; its first `head` lines come with the first chunk.
HbMove move_all(const HbRound& round, u64 slot, u32 head) {
  HbMove move = hb_no_move();
  const u32 n_lines = hb_window(&round, slot).n_lines;
  const u64 start = HB_SLOT_BASE(slot) + HB_SLOT_DATA_OFFSET(slot);
  if (n_lines == 0) return move;
  move.base = hb_move_base(start);
  move.fetch_first = move.store_first = static_cast<u32>(start % HB_CHUNK_BYTES / HB_LINE16);
  move.fetch_end = move.store_end = move.fetch_first + n_lines;
  hb_move_in_chunks(&move, move.fetch_first, move.fetch_first + std::min(head, n_lines));
  return move;
}

TEST(Movement, ChunksAreLinesOfTheBusFromTheThirdOn) {
  for (u32 first = 0; first < HB_CHUNK_LINES; ++first) {
    for (u32 head = 1; head <= HB_CHUNK_LINES; ++head) {
      for (u32 end = first + 1; end < first + 70; ++end) {
        HbMove move = hb_no_move();
        move.fetch_first = first;
        move.fetch_end = end;
        hb_move_in_chunks(&move, first, std::min(first + head, end));
        std::array<u32, HB_MOVE_WORDS> moves{};
        hb_set_move(moves.data(), 0, &move);
        const u32 n_chunks = hb_move_chunks(&move);
        ASSERT_EQ(hb_chunk_start(moves.data(), 0, 0), first);
        ASSERT_GE(hb_chunk_start(moves.data(), 0, 1), std::min(first + head, end));
        ASSERT_LT(hb_chunk_start(moves.data(), 0, n_chunks - 1), end);
        ASSERT_GE(hb_chunk_start(moves.data(), 0, n_chunks), end);
        for (u32 chunk = 0; chunk < n_chunks; ++chunk) {
          const u32 start = hb_chunk_start(moves.data(), 0, chunk);
          const u32 next = hb_chunk_start(moves.data(), 0, chunk + 1);
          ASSERT_LT(start, next);
          ASSERT_LE(next - start, HB_CHUNK_LINES);
          if (chunk < 2) continue;
          ASSERT_EQ(start % HB_CHUNK_LINES, 0u);
        }
      }
    }
  }
}

TEST(Movement, EveryByteOfEveryPacketPassesThroughTheTile) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    Round round(seed);
    std::vector<u32> tile(HB_TILE_WORDS(kLanes));
    std::vector<u32> moves(HB_MOVE_WORDS * kLanes);
    const HbRound first = round.of(0);
    std::uint32_t n_chunks = 0;
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      const HbMove move = move_all(first, round.slots[lane], 1 + (seed + lane) % HB_CHUNK_LINES);
      hb_set_move(moves.data(), lane, &move);
      n_chunks = std::max(n_chunks, hb_move_chunks(&move));
    }
    constexpr u32 kLead = 4;
    std::vector<std::vector<u8>> collected(kLanes);
    run_work_groups(1, kLanes, [&] {
      const HbRound own = round.of(LOCAL_ID());
      const u64 slot = own.slots[own.lane];
      const u32 start = HB_SLOT_DATA_OFFSET(slot) % HB_CHUNK_BYTES;
      HbCarried carried;
      hb_chunk_fetch(&own, moves.data(), 0, &carried);
      for (u32 chunk = 0; chunk < n_chunks; ++chunk) {
        GROUP_BARRIER();
        hb_chunk_put(&own, tile.data(), kLead, &carried);
        hb_chunk_fetch(&own, moves.data(), chunk + 1, &carried);
        GROUP_BARRIER();
        // This lane works on its own packet's bytes, and changes them.
        u8* const row = reinterpret_cast<u8*>(tile.data() + own.lane * HB_TILE_ROW_WORDS + kLead);
        const u32 from = hb_chunk_start(moves.data(), own.lane, chunk) * HB_LINE16;
        const u32 to = hb_chunk_start(moves.data(), own.lane, chunk + 1) * HB_LINE16;
        for (u32 at = from; at < to; ++at) {
          if (slot == 0 || at < start || at >= start + HB_SLOT_LENGTH(slot)) continue;
          collected[own.lane].push_back(row[at - from]);
          row[at - from] = static_cast<u8>(~row[at - from]);
        }
        GROUP_BARRIER();
        hb_chunk_store(&own, moves.data(), tile.data(), kLead, chunk);
      }
    });
    std::vector<u8> expected = round.before;
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      const u64 slot = round.slots[lane];
      if (slot == 0) {
        EXPECT_TRUE(collected[lane].empty());
        continue;
      }
      const auto at = HB_SLOT_BASE(slot) + HB_SLOT_DATA_OFFSET(slot);
      ASSERT_EQ(collected[lane].size(), HB_SLOT_LENGTH(slot));
      for (u32 i = 0; i < HB_SLOT_LENGTH(slot); ++i) {
        ASSERT_EQ(collected[lane][i], round.before[at + i]) << "seed " << seed << " byte " << i;
        expected[at + i] = static_cast<u8>(~expected[at + i]);
      }
    }
    EXPECT_EQ(round.bytes(), expected) << "bytes beside the packets changed, seed " << seed;
  }
}

TEST(Movement, AllWorkItemsLearnTheHighestValue) {
  for (const std::uint32_t n_lanes : {1u, 4u, 16u, 24u, 64u}) {
    for (std::uint32_t highest = 0; highest < n_lanes; ++highest) {
      std::vector<u32> values(n_lanes);
      std::vector<u32> learnt(n_lanes);
      run_work_groups(1, n_lanes, [&] {
        HbRound round{};
        round.lane = LOCAL_ID();
        round.n_lanes = n_lanes;
        values[round.lane] = round.lane == highest ? 7 : round.lane % 3;
        GROUP_BARRIER();
        hb_fold_highest(&round, values.data());
        GROUP_BARRIER();
        learnt[round.lane] = hb_folded_highest(&round, values.data());
      });
      EXPECT_EQ(learnt, std::vector<u32>(n_lanes, 7)) << n_lanes << " lanes, " << highest;
    }
  }
}

TEST(Limit, WholeLinesAreInvertedAndNothingElseChanges) {
  for (std::uint32_t seed = 1; seed <= 10; ++seed) {
    Round round(seed);
    run_work_groups(1, kLanes, [&] {
      const HbRound own = round.of(LOCAL_ID());
      hb_round_limit(&own, 1);
    });
    std::vector<u8> expected = round.before;
    for (const u64 slot : round.slots) {
      if (slot == 0) continue;
      const u64 start = HB_SLOT_BASE(slot) + HB_SLOT_DATA_OFFSET(slot);
      const u64 end = (start + HB_SLOT_LENGTH(slot)) / 16 * 16;
      for (u64 at = (start + 15) / 16 * 16; at < end; ++at)
        expected[at] = static_cast<u8>(~expected[at]);
    }
    EXPECT_EQ(round.bytes(), expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace hb::test
