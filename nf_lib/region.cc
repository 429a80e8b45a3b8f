#include "nf_lib/region.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace hb {
namespace {

std::uint64_t align_up(std::uint64_t value, std::uint64_t to) { return (value + to - 1) / to * to; }

}  // namespace

RegionLayout plan_region(const RegionDemand& d) {
  RegionLayout layout{};
  std::uint64_t next = 0;
  const auto place = [&](std::uint64_t bytes, std::uint64_t alignment = kFalseSharingRange) {
    const std::uint64_t at = align_up(next, alignment);
    next = at + bytes;
    return at;
  };
  const auto ring_bytes = [](std::uint32_t slots) {
    return align_up(static_cast<std::uint64_t>(rte_ring_get_memsize(slots)), kFalseSharingRange);
  };
  layout.page_bytes = d.page_bytes;
  layout.n_contexts = d.n_contexts;
  layout.n_endpoints = d.n_endpoints;
  layout.ring_size = d.ring_size;
  layout.fill_size = d.fill_size;
  // A ring holds one packet less than it has slots; the reclaimer's must hold the whole pool.
  layout.reclaim_size = 1;
  while (layout.reclaim_size <= d.pool_size) layout.reclaim_size *= 2;
  layout.ring_stride = ring_bytes(layout.ring_size);
  layout.reclaim_stride = ring_bytes(layout.reclaim_size);
  layout.fill_stride = ring_bytes(layout.fill_size);
  layout.reclaim_rings = place(layout.reclaim_stride * d.n_contexts);
  layout.rings = place(layout.ring_stride * d.n_contexts * (d.n_endpoints - 1));
  layout.fill_rings = place(layout.fill_stride * d.n_contexts);
  layout.n_work_groups = d.n_work_groups;
  layout.work_group_size = d.work_group_size;
  layout.n_rounds = d.n_rounds;
  const std::uint64_t slot_bytes =
      std::uint64_t{d.n_work_groups} * d.n_rounds * d.work_group_size * sizeof(u64);
  layout.queue_controls = place(std::uint64_t{d.n_work_groups} * sizeof(HbQueueControl));
  layout.slots = place(slot_bytes);
  layout.results = place(slot_bytes);
  layout.words = place(slot_bytes / sizeof(u64) * sizeof(HbSlotWords));
  layout.slice_controls = place(kMaxSlices * sizeof(HbSliceControl));
  layout.litmus = place(4096, 4096);
  layout.n_copy_queues = d.n_copy_queues;
  layout.copy_records = d.copy_records;
  layout.copy_bytes = d.copy_bytes;
  layout.copy_stride = 2 * kFalseSharingRange +
                       align_up(std::uint64_t{d.copy_records} * d.copy_bytes, kFalseSharingRange);
  layout.copy_queues = place(layout.copy_stride * d.n_copy_queues);
  layout.packet_bytes = align_up(d.packet_bytes, d.page_bytes);
  layout.packets = place(layout.packet_bytes, d.page_bytes);
  layout.total_bytes = align_up(next, d.page_bytes);
  return layout;
}

void RegionView::format() const {
  for (std::uint32_t id = 0; id < n_rings(); ++id) {
    rte_ring_init(ring(RingId(id)), "hb", planned_size(RingId(id)), RING_F_SP_ENQ | RING_F_SC_DEQ);
  }
  std::memset(base_ + layout_.queue_controls, 0, layout_.packets - layout_.queue_controls);
}

Result<std::byte*> map_region(int fd, std::uint64_t bytes) {
  void* const wanted = reinterpret_cast<void*>(kRegionBase);
  void* const got =
      mmap(wanted, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
  if (got == MAP_FAILED) {
    const int error = errno;
    return Error{fmt::format("the SVM region ({} MB at {:#x}) can't be mapped: {}", bytes >> 20,
                             kRegionBase, std::strerror(error)),
                 error == EEXIST ? "that address range is taken in this process"
                                 : "run scripts/setup.sh, which reserves hugepages"};
  }
  if (got != wanted) {
    munmap(got, bytes);
    return Error{
        fmt::format("the kernel put the SVM region at {} instead of {:#x}", got, kRegionBase),
        "a kernel of 4.17 or later is needed"};
  }
  return static_cast<std::byte*>(got);
}

}  // namespace hb
