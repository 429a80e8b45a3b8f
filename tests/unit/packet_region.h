// A region of plain memory with a real packet pool, without hugepages.
#pragma once

#include <rte_mbuf.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "manager/packet_pool.h"
#include "nf_lib/packet_meta.h"
#include "tests/unit/eal_fixture.h"

namespace hb::test {

/// DPDK takes the packet part as a heap once in a process, so all tests of a program share this.
struct PacketRegion {
  static constexpr std::uint32_t kPackets = 200;
  static constexpr std::uint32_t kDataRoom = 512;

  RegionView view;
  std::unique_ptr<PacketPool> pool;  ///< a test may take it, if it puts it back

  static PacketRegion& shared() {
    static PacketRegion region;
    return region;
  }

 private:
  PacketRegion() {
    start_eal();
    carried_word_offset = offsetof(rte_mbuf, dynfield1);
    RegionDemand demand;
    demand.n_contexts = 3;
    demand.n_endpoints = 3;
    demand.ring_size = 64;
    demand.fill_size = 64;
    demand.pool_size = kPackets;
    demand.n_work_groups = 2;
    demand.work_group_size = 16;
    demand.page_bytes = 4096;  // what a pool without hugepages keeps its packets within
    demand.packet_bytes = packet_part_bytes(kPackets, kDataRoom, demand.page_bytes);
    const RegionLayout layout = plan_region(demand);
    void* const memory =
        mmap(reinterpret_cast<void*>(kRegionBase), layout.total_bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (memory == MAP_FAILED) {
      std::perror("mmap");
      std::abort();
    }
    view = RegionView(static_cast<std::byte*>(memory), layout);
    view.format();
    auto made = PacketPool::create(view, kPackets, kDataRoom, 0);
    if (!made) {
      std::fprintf(stderr, "%s\n", made.error().line().c_str());
      std::abort();
    }
    pool = std::move(*made);
  }
};

}  // namespace hb::test
