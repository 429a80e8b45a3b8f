#include "nf_lib/region.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace hb::test {
namespace {

struct Part {
  std::string name;
  std::uint64_t at, bytes;
};

/// A view whose memory nobody touches.
RegionView imagined(const RegionLayout& layout) {
  return {reinterpret_cast<std::byte*>(kRegionBase), layout};
}

/// Every ring, queue and packet page of the layout, each by itself.
std::vector<Part> parts_of(const RegionLayout& layout) {
  const RegionView view = imagined(layout);
  std::vector<Part> parts;
  const auto add = [&](std::string name, const void* at, std::uint64_t bytes) {
    parts.push_back({std::move(name), reinterpret_cast<std::uint64_t>(at) - kRegionBase, bytes});
  };
  for (std::uint32_t id = 0; id < view.n_rings(); ++id)
    add("ring " + std::to_string(id), view.ring(RingId(id)),
        static_cast<std::uint64_t>(rte_ring_get_memsize(view.planned_size(RingId(id)))));
  const std::uint64_t queue_bytes = std::uint64_t{view.slots_per_queue()} * sizeof(u64);
  for (std::uint32_t group = 0; group < layout.n_work_groups; ++group) {
    add("control " + std::to_string(group), view.queue_control(group), sizeof(HbQueueControl));
    add("slots " + std::to_string(group), view.slots(group), queue_bytes);
    add("results " + std::to_string(group), view.results(group), queue_bytes);
  }
  for (std::uint32_t slice = 0; slice < kMaxSlices; ++slice)
    add("slice " + std::to_string(slice), view.slice_control(slice), sizeof(HbSliceControl));
  add("litmus", view.litmus(), 4096);
  for (std::uint32_t queue = 0; queue < layout.n_copy_queues; ++queue)
    add("copies " + std::to_string(queue), view.copy_queue(queue),
        2 * kFalseSharingRange + std::uint64_t{layout.copy_records} * layout.copy_bytes);
  parts.push_back({"packets", layout.packets, layout.packet_bytes});
  return parts;
}

void expect_sound(const RegionDemand& demand, const std::string& trial) {
  const RegionLayout layout = plan_region(demand);
  std::vector<Part> parts = parts_of(layout);
  std::ranges::sort(parts, {}, &Part::at);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::uint64_t end = i + 1 < parts.size() ? parts[i + 1].at : layout.total_bytes;
    ASSERT_LE(parts[i].at + parts[i].bytes, end)
        << parts[i].name << " overlaps what follows; " << trial;
    if (!parts[i].name.starts_with("ring")) continue;
    ASSERT_EQ(parts[i].at % kFalseSharingRange, 0u) << parts[i].name << ", " << trial;
  }
  ASSERT_EQ(layout.packets % demand.page_bytes, 0u) << trial;
  ASSERT_GE(layout.packet_bytes, demand.packet_bytes) << trial;
  ASSERT_EQ(layout.packet_bytes % demand.page_bytes, 0u) << trial;
  ASSERT_EQ(layout.total_bytes % demand.page_bytes, 0u) << trial;
  ASSERT_GT(layout.reclaim_size, demand.pool_size)
      << trial << ": the reclaimer's rings must hold all";
  ASSERT_EQ(layout.slots % kFalseSharingRange, 0u) << trial;
  ASSERT_EQ(layout.results % kFalseSharingRange, 0u) << trial;
  ASSERT_EQ(layout.litmus % 4096, 0u) << trial;
}

TEST(PlanRegion, PartsNeitherOverlapNorReachOutside) {
  expect_sound({}, "default");
  std::mt19937 rng(2);
  for (int trial = 0; trial < 200; ++trial) {
    RegionDemand demand;
    demand.n_contexts = 1 + rng() % 20;
    demand.n_endpoints = 1 + rng() % 20;
    demand.ring_size = 2u << (rng() % 12);
    demand.fill_size = 2u << (rng() % 10);
    demand.pool_size = 1 + rng() % 70'000;
    demand.n_work_groups = rng() % 20;
    demand.work_group_size = 1u << (rng() % 9);
    demand.n_rounds = 1 + rng() % 5;
    demand.n_copy_queues = rng() % 5;
    demand.copy_records = 1u << (rng() % 8);
    demand.copy_bytes = 64 * (1 + rng() % 50);
    demand.packet_bytes = rng() % (1u << 26);
    demand.page_bytes = trial % 2 == 0 ? 2u << 20 : 4096;
    expect_sound(demand, "trial " + std::to_string(trial));
  }
}

TEST(PlanRegion, ReclaimRingsHoldAPoolOfAPowerOfTwo) {
  for (const std::uint32_t pool : {1u, 2u, 1023u, 1024u, 16384u})
    EXPECT_GT(plan_region({.pool_size = pool}).reclaim_size - 1, pool - 1) << pool;
}

TEST(RegionView, RingIdsAndPairsNameTheSameRings) {
  const RegionLayout layout = plan_region({.n_contexts = 5, .n_endpoints = 7});
  const RegionView view = imagined(layout);
  for (std::uint32_t to = 0; to < 7; ++to) {
    for (std::uint32_t from = 0; from < 5; ++from) {
      const RingId id = view.ring_id(EndpointId(to), ContextId(from));
      EXPECT_EQ(id.value, to * 5 + from);
      EXPECT_EQ(view.ring(id), view.ring(EndpointId(to), ContextId(from)));
      EXPECT_EQ(view.planned_size(id), to == 0 ? layout.reclaim_size : layout.ring_size);
    }
  }
  EXPECT_EQ(view.fill_ring_id(ContextId(4)).value + 1, view.n_rings());
  EXPECT_EQ(view.planned_size(view.fill_ring_id(ContextId(0))), layout.fill_size);
}

TEST(RegionView, FormatMakesEmptyRingsOfThePlannedSizesAndZeroQueues) {
  const RegionLayout layout = plan_region({.n_contexts = 3,
                                           .n_endpoints = 4,
                                           .ring_size = 16,
                                           .fill_size = 8,
                                           .pool_size = 50,
                                           .n_work_groups = 2,
                                           .n_copy_queues = 1,
                                           .page_bytes = 4096});
  const std::unique_ptr<void, void (*)(void*)> memory(std::aligned_alloc(4096, layout.total_bytes),
                                                      std::free);
  std::memset(memory.get(), 0xa5, layout.total_bytes);
  const RegionView view(static_cast<std::byte*>(memory.get()), layout);
  view.format();
  for (std::uint32_t id = 0; id < view.n_rings(); ++id) {
    const rte_ring* const ring = view.ring(RingId(id));
    EXPECT_EQ(ring->size, view.planned_size(RingId(id)));
    EXPECT_EQ(ring->capacity, ring->size - 1);
    EXPECT_EQ(rte_ring_count(ring), 0u);
    EXPECT_TRUE(rte_ring_is_prod_single(ring) && rte_ring_is_cons_single(ring));
  }
  for (std::uint64_t at = layout.queue_controls; at < layout.packets; ++at)
    ASSERT_EQ(view.base()[at], std::byte{0}) << at;
}

TEST(MapRegion, SaysWhenTheRangeIsTaken) {
  char name[] = "/tmp/hb-region-XXXXXX";
  const int fd = mkstemp(name);
  ASSERT_GE(fd, 0);
  unlink(name);
  ASSERT_EQ(ftruncate(fd, 8192), 0);
  const auto first = map_region(fd, 8192);
  if (!first.ok()) {  // another test of this program has it
    EXPECT_NE(first.error().fix.find("taken"), std::string::npos) << first.error().line();
  } else {
    EXPECT_EQ(reinterpret_cast<std::uint64_t>(*first), kRegionBase);
    const auto second = map_region(fd, 8192);
    ASSERT_FALSE(second.ok());
    EXPECT_NE(second.error().fix.find("taken"), std::string::npos) << second.error().line();
    munmap(*first, 8192);
  }
  close(fd);
}

}  // namespace
}  // namespace hb::test
