// What the packet accessors cost the nids kernel: rounds of it as it is, against rounds that take
// address and length out of the slot unchecked. The kernels as host C++, one work-item after
// another.
//   packet_access_bench [--quick]
#define HB_KERNEL_ON_HOST
#include "kernels/nids.cl"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <vector>

namespace hb::bench {
namespace {

constexpr u32 kLanes = 64, kRounds = 16, kStride = 2048, kOffset = 256;

/// Sixteen rounds of packets without a hit, which are the dearest: every byte is looked at.
struct World {
  explicit World(u32 length) : region(u64{kLanes} * kRounds * kStride), slots(kLanes * kRounds) {
    std::mt19937 random(length);
    for (u32 i = 0; i < slots.size(); ++i) {
      u8* const data = region.data() + u64{i} * kStride + kOffset;
      for (u32 k = 0; k < length; ++k) data[k] = static_cast<u8>('c' + random() % 20);
      slots[i] = HB_SLOT(u64{i} * kStride / 64, length, kOffset);
    }
    results.resize(slots.size());
    // The automaton for "ab": columns for a, b and the rest.
    table.resize(sizeof(HbNidsTable) + 9 * sizeof(u16) + 16);
    auto* const header = reinterpret_cast<HbNidsTable*>(table.data());
    header->magic = HB_NIDS_TABLE_MAGIC;
    header->version = HB_NIDS_TABLE_VERSION;
    header->transitions_offset = sizeof(HbNidsTable);
    header->n_columns = 3;
    header->n_states = 3;
    header->columns['a'] = 1;
    header->columns['b'] = 2;
    constexpr std::array<u16, 9> kNext = {0, 1, 0, 0, 1, 2, 2, 2, 2};
    std::memcpy(table.data() + sizeof(HbNidsTable), kNext.data(), sizeof kNext);
    round.region = region.data();
    round.table = table.data();
    round.region_bytes = region.size();
    round.packet_first = 128;
    round.packet_limit = kStride;
    round.n_lanes = kLanes;
  }
  void start_round(u32 i) {
    round.slots = slots.data() + i * kLanes;
    round.results = results.data() + i * kLanes;
  }

  std::vector<u8> region;
  std::vector<u64> slots, results;
  std::vector<u8> table;
  HbRound round{};
};

/// As the kernel was before there were accessors.
void raw_round(const HbRound* round) {
  const u64 slot = round->slots[round->lane];
  u64 result = 0;
  if (slot != 0) {
    const u8* packet = round->region + HB_SLOT_BASE(slot) + HB_SLOT_DATA_OFFSET(slot);
    const u32 length = HB_SLOT_LENGTH(slot);
    const auto* header = reinterpret_cast<const HbNidsTable*>(round->table);
    u32 suspect = 0;
    if (header->magic != HB_NIDS_TABLE_MAGIC || header->version != HB_NIDS_TABLE_VERSION ||
        (header->flags & HB_NIDS_COPY_ALL) != 0)
      suspect = 1;
    else if (length > HB_NIDS_SCAN_OFFSET)
      suspect =
          hb_nids_found(packet + HB_NIDS_SCAN_OFFSET, length - HB_NIDS_SCAN_OFFSET, round->table);
    result = HB_RESULT_UNCHANGED(slot, suspect != 0 ? HB_RESULT_COPY_TO_CPU : 0);
  }
  round->results[round->lane] = result;
}

[[gnu::noinline]] void checked(World& world) {
  for (u32 i = 0; i < kRounds; ++i) {
    world.start_round(i);
    for (world.round.lane = 0; world.round.lane < kLanes; ++world.round.lane)
      hb_round_nids_alone(&world.round);
  }
}
[[gnu::noinline]] void unchecked(World& world) {
  for (u32 i = 0; i < kRounds; ++i) {
    world.start_round(i);
    for (world.round.lane = 0; world.round.lane < kLanes; ++world.round.lane)
      raw_round(&world.round);
  }
}
[[gnu::noinline]] void unchecked_again(World& world) {
  for (u32 i = 0; i < kRounds; ++i) {
    world.start_round(i);
    for (world.round.lane = 0; world.round.lane < kLanes; ++world.round.lane)
      raw_round(&world.round);
  }
}

double seconds(const std::function<void()>& body, int n) {
  // Time on the core, not on the wall: others may want the core too.
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  const double begin = now();
  for (int i = 0; i < n; ++i) body();
  return now() - begin;
}

void report(const char* name, int n_pairs, int n, const std::function<void()>& baseline,
            const std::function<void()>& candidate) {
  std::vector<double> ratios;
  for (int i = 0; i < n_pairs; ++i) {
    const bool first = i % 2 == 0;
    const double a = seconds(first ? baseline : candidate, n);
    const double b = seconds(first ? candidate : baseline, n);
    ratios.push_back(first ? a / b : b / a);
  }
  std::ranges::sort(ratios);
  const auto at = [&](double part) {
    return ratios[static_cast<std::size_t>(part * static_cast<double>(ratios.size() - 1))];
  };
  std::printf("%-32s %.3fx  [%.3f .. %.3f]  %d pairs\n", name, at(0.5), at(0.25), at(0.75),
              n_pairs);
}

}  // namespace
}  // namespace hb::bench

int main(int argc, char** argv) {
  using namespace hb::bench;
  const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
  const int n_pairs = quick ? 3 : 21;
  for (const u32 length : {64u, 256u, 1472u}) {
    World world(length);
    unchecked(world);
    const std::vector<u64> wanted = world.results;
    checked(world);
    if (world.results != wanted) {
      std::printf("the answers differ\n");
      return 1;
    }
    const int n = static_cast<int>((quick ? 500'000 : 4'000'000) / (length * kLanes * kRounds)) + 1;
    char name[64];
    if (length == 64)
      report(
          "unchecked/its copy, 64 B", n_pairs, n, [&] { unchecked(world); },
          [&] { unchecked_again(world); });
    std::snprintf(name, sizeof name, "unchecked/accessors, %u B", length);
    report(
        name, n_pairs, n, [&] { unchecked(world); }, [&] { checked(world); });
  }
  return 0;
}
