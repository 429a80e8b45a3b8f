// Packets' way into local memory and back, as host threads.
#include "tests/kernels/host_device.h"  // first: it decides how kernels/platform.h reads

#include <gtest/gtest.h>

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

TEST(Movement, EveryByteOfEveryPacketPassesThroughTheTile) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    Round round(seed);
    std::vector<u32> tile(HB_TILE_WORDS(kLanes));
    std::vector<u32> moved(2 * kLanes);
    const HbRound first = round.of(0);
    std::uint32_t n_chunks = 0;
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      hb_set_moved_slot(moved.data(), lane, round.slots[lane]);
      const u32 n_lines = hb_window(&first, round.slots[lane]).n_lines;
      n_chunks = std::max(n_chunks, (n_lines + HB_CHUNK_LINES - 1) / HB_CHUNK_LINES);
    }
    std::vector<std::vector<u8>> collected(kLanes);
    run_work_groups(1, kLanes, [&] {
      const HbRound own = round.of(LOCAL_ID());
      const u64 slot = own.slots[own.lane];
      const HbWindow window = hb_window(&own, slot);
      HbCarried carried;
      hb_chunk_fetch(&own, moved.data(), 0, &carried);
      for (u32 chunk = 0; chunk < n_chunks; ++chunk) {
        GROUP_BARRIER();
        hb_chunk_put(&own, tile.data(), 0, &carried);
        if (chunk + 1 < n_chunks)
          hb_chunk_fetch(&own, moved.data(), (chunk + 1) * HB_CHUNK_LINES, &carried);
        GROUP_BARRIER();
        // This lane works on its own packet's bytes, and changes them.
        u8* const row = reinterpret_cast<u8*>(tile.data() + own.lane * HB_TILE_ROW_WORDS);
        for (u32 i = 0; i < HB_CHUNK_BYTES; ++i) {
          const u32 at = chunk * HB_CHUNK_BYTES + i;
          if (slot == 0 || at < window.skip || at >= window.skip + HB_SLOT_LENGTH(slot)) continue;
          collected[own.lane].push_back(row[i]);
          row[i] = static_cast<u8>(~row[i]);
        }
        GROUP_BARRIER();
        hb_chunk_store(&own, moved.data(), tile.data(), chunk * HB_CHUNK_LINES);
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
