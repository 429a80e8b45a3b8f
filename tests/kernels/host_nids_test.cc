// The two ways of nids through a round, as host C++: packets moved by the group, and read by each
// work-item where they lie. Same answers, packet for packet.
#include "tests/kernels/nids_rounds.h"  // first: it decides how kernels/platform.h reads

#include <gtest/gtest.h>

#include "tests/kernels/run_group.h"

namespace hb::test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Work-items are threads there, which wait for one another at each barrier.
constexpr std::uint32_t kRoundsEach = 2;
constexpr std::uint32_t kLengthStep = 37;
#else
constexpr std::uint32_t kRoundsEach = 40;
constexpr std::uint32_t kLengthStep = 1;
#endif

void run_together(const NidsRounds& rounds, const u8* table, std::size_t table_bytes) {
  run_group(rounds.view().layout().work_group_size, [&] {
    HbRound round = rounds.round(LOCAL_ID(), table, table_bytes);
    round.scratch = hb_host_item.local;
    hb_round_nids_together(&round);
  });
}

TEST(NidsRounds, TogetherAndAloneSayTheSame) {
  std::uint64_t n_hits = 0;
  std::uint64_t n_others = 0;
  std::uint64_t n_refused = 0;
  for (const std::uint32_t n_lanes : {8u, 16u, 24u, 64u}) {
    NidsRounds rounds(n_lanes, n_lanes);
    for (const NidsTestTable& table : nids_test_tables()) {
      const std::vector<NidsLine> lines = nids_aligned(table.bytes);
      const auto* const data = reinterpret_cast<const u8*>(lines.data());
      if (table.name != "no table") {
        ASSERT_TRUE(nids_table_valid(data, table.bytes.size())) << table.name;
      }
      for (std::uint32_t i = 0; i < kRoundsEach; ++i) {
        rounds.fill(true);
        const auto* const base = rounds.view().base();
        const auto& layout = rounds.view().layout();
        const std::vector<std::byte> before(base + layout.packets, base + layout.total_bytes);
        const std::vector<u64> wanted = rounds.alone(data, table.bytes.size());
        run_together(rounds, data, table.bytes.size());
        const std::vector<u64> got = rounds.take_results();
        for (std::uint32_t lane = 0; lane < n_lanes; ++lane) {
          ASSERT_EQ(got[lane], wanted[lane])
              << table.name << ", " << n_lanes << " lanes, round " << i << ", slot " << std::hex
              << rounds.view().slots(0)[lane];
          n_hits += HB_RESULT_FLAGS(got[lane]) != 0;
          n_refused += HB_RESULT_VERDICT(got[lane]) == HB_VERDICT_DROP;
          n_others += got[lane] != 0 && HB_RESULT_FLAGS(got[lane]) == 0;
        }
        ASSERT_TRUE(std::equal(before.begin(), before.end(), base + layout.packets));
      }
    }
  }
  const std::uint64_t least = 20ull * kRoundsEach;
  EXPECT_GT(n_hits, least);
  EXPECT_GT(n_others - n_refused, least);
  EXPECT_GT(n_refused, least);
}

// A pattern at a packet's very end is found wherever chunks and words end, and no byte earlier.
TEST(NidsRounds, EveryLengthAtEveryOffset) {
  constexpr std::uint32_t kLanes = 16;
  const std::vector<std::string_view> patterns = {"needle"};
  const std::vector<std::byte> narrow = *nids::build_nids_table(patterns, {});
  NidsRounds rounds(kLanes, 1);
  const RegionView& view = rounds.view();
  constexpr std::uint32_t kStride = 1024;
  for (const auto& bytes : {narrow, widened(narrow)}) {
    const std::vector<NidsLine> lines = nids_aligned(bytes);
    const auto* const data = reinterpret_cast<const u8*>(lines.data());
    for (std::uint32_t length = 6; length < 300; length += kLengthStep) {
      for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
        const u64 base = view.layout().packets + lane * kStride;
        const std::uint32_t offset = kNidsFirst + lane;
        char* const packet = reinterpret_cast<char*>(view.base()) + base + offset;
        std::memset(packet, '.', length);
        std::memcpy(packet + length - 6, "Needle", 6);
        view.slots(0)[lane] = HB_SLOT(base / 64, length, offset);
      }
      run_together(rounds, data, bytes.size());
      for (const u64 result : rounds.take_results())
        ASSERT_EQ(HB_RESULT_FLAGS(result),
                  length >= HB_NIDS_SCAN_OFFSET + 6 ? HB_RESULT_COPY_TO_CPU : 0)
            << length;
      for (std::uint32_t lane = 0; lane < kLanes; ++lane)  // all but its last byte
        view.slots(0)[lane] -= u64{1} << 32;
      run_together(rounds, data, bytes.size());
      for (const u64 result : rounds.take_results())
        ASSERT_EQ(HB_RESULT_FLAGS(result), 0u) << length;
    }
  }
}

TEST(NidsRounds, GroupsThatDoNotFitGoAlone) {
  for (const u32 n_lanes : {8u, 16u, 32u, 64u, 128u, 256u}) EXPECT_TRUE(hb_nids_fits(n_lanes));
  for (const u32 n_lanes : {1u, 4u, 12u, 100u, 512u, 1024u}) EXPECT_FALSE(hb_nids_fits(n_lanes));
}

}  // namespace
}  // namespace hb::test
