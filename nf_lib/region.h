// The SVM region's map: where rings, work-group queues, copy queues and packets lie in it.
// Plain numbers, computed once by the manager, published in the registry, checked by who attaches.
#pragma once

#include <rte_ring.h>

#include <cstdint>
#include <span>
#include <string>

#include "kernels/layout.h"
#include "nf_lib/ids.h"
#include "nf_lib/limits.h"
#include "nf_lib/result.h"

namespace hb {

/// What the manager wants the region to hold.
struct RegionDemand {
  std::uint32_t n_contexts = 32;
  std::uint32_t n_endpoints = 48;
  std::uint32_t ring_size = 2048;   ///< slots of an endpoint's ring, a power of two
  std::uint32_t fill_size = 256;    ///< slots of a fill ring, a power of two
  std::uint32_t pool_size = 16384;  ///< packets
  std::uint32_t n_work_groups = 8;  ///< 0 without a GPU
  std::uint32_t work_group_size = 64;
  std::uint32_t n_rounds = 4;
  std::uint32_t n_copy_queues = 0;   ///< (slice, CPUSyncer) pairs
  std::uint32_t copy_records = 256;  ///< records of a copy queue, a power of two
  std::uint32_t copy_bytes = 2304;   ///< bytes of a record, a multiple of 64
  std::uint64_t packet_bytes = 0;    ///< bytes of the packet part
  std::uint64_t page_bytes = 2u << 20;
};

/// Offsets from the region's base; every part starts on a kFalseSharingRange boundary.
struct RegionLayout {
  std::uint64_t total_bytes;
  std::uint64_t page_bytes;
  std::uint64_t
      rings;  ///< rings of endpoint e and context c at rings + (e*n_contexts+c)*ring_stride
  std::uint64_t ring_stride;
  std::uint64_t reclaim_rings;  ///< rings of endpoint 0, as large as the pool
  std::uint64_t reclaim_stride;
  std::uint64_t fill_rings;  ///< one per context
  std::uint64_t fill_stride;
  std::uint64_t queue_controls;  ///< HbQueueControl[n_work_groups]
  std::uint64_t slots;           ///< u64[n_work_groups][n_rounds][work_group_size]
  std::uint64_t results;         ///< same shape
  std::uint64_t words;           ///< HbSlotWords, same shape
  std::uint64_t slice_controls;  ///< HbSliceControl[kMaxSlices]
  std::uint64_t litmus;          ///< one page-sized scratch area for the litmus test
  std::uint64_t copy_queues;
  std::uint64_t copy_stride;
  std::uint64_t packets;  ///< a page boundary
  std::uint64_t packet_bytes;
  std::uint32_t n_contexts, n_endpoints;
  std::uint32_t ring_size, reclaim_size, fill_size;
  std::uint32_t n_work_groups, work_group_size, n_rounds;
  std::uint32_t n_copy_queues, copy_records, copy_bytes;
  std::uint32_t reserved;
};
static_assert(sizeof(RegionLayout) == 18 * 8 + 12 * 4);

/// @return the layout; pages of page_bytes, rings first, packets last
RegionLayout plan_region(const RegionDemand& demand);

/// Endpoint 0 is the reclaimer: packets to drop go there.
inline constexpr EndpointId kReclaimer{0};

/// A mapped region (or plain memory, in unit tests). Not owning; cheap to copy.
class RegionView {
 public:
  RegionView() = default;
  RegionView(std::byte* base, const RegionLayout& layout) : base_(base), layout_(layout) {}

  [[nodiscard]] std::byte* base() const noexcept { return base_; }
  [[nodiscard]] const RegionLayout& layout() const noexcept { return layout_; }

  /// The ring from a context to an endpoint. Both must be below the layout's counts.
  [[nodiscard]] rte_ring* ring(EndpointId to, ContextId from) const noexcept {
    return ring(ring_id(to, from));
  }
  [[nodiscard]] RingId ring_id(EndpointId to, ContextId from) const noexcept {
    return RingId(to.value * layout_.n_contexts + from.value);
  }
  /// The ring that the manager keeps filled with fresh packets for a context. Its id follows those
  /// of all endpoints' rings.
  [[nodiscard]] RingId fill_ring_id(ContextId context) const noexcept {
    return RingId(layout_.n_endpoints * layout_.n_contexts + context.value);
  }
  [[nodiscard]] rte_ring* ring(RingId id) const noexcept {
    const std::uint32_t n = layout_.n_contexts;
    std::uint64_t at = 0;
    if (id.value < n)
      at = layout_.reclaim_rings + id.value * layout_.reclaim_stride;
    else if (id.value < layout_.n_endpoints * n)
      at = layout_.rings + (id.value - n) * layout_.ring_stride;
    else
      at = layout_.fill_rings + (id.value - layout_.n_endpoints * n) * layout_.fill_stride;
    return reinterpret_cast<rte_ring*>(base_ + at);
  }
  [[nodiscard]] std::uint32_t n_rings() const noexcept {
    return (layout_.n_endpoints + 1) * layout_.n_contexts;
  }
  /// Slots of that ring as planned; what the ring itself says may have been overwritten.
  [[nodiscard]] std::uint32_t planned_size(RingId id) const noexcept {
    if (id.value < layout_.n_contexts) return layout_.reclaim_size;
    return id.value < layout_.n_endpoints * layout_.n_contexts ? layout_.ring_size
                                                               : layout_.fill_size;
  }

  [[nodiscard]] HbQueueControl* queue_control(std::uint32_t work_group) const noexcept {
    return at<HbQueueControl>(layout_.queue_controls) + work_group;
  }
  /// slots[n_rounds * work_group_size] of a work-group's queue.
  [[nodiscard]] u64* slots(std::uint32_t work_group) const noexcept {
    return at<u64>(layout_.slots) + std::uint64_t{work_group} * slots_per_queue();
  }
  [[nodiscard]] u64* results(std::uint32_t work_group) const noexcept {
    return at<u64>(layout_.results) + std::uint64_t{work_group} * slots_per_queue();
  }
  /// The private words of those slots.
  [[nodiscard]] HbSlotWords* words(std::uint32_t work_group) const noexcept {
    return at<HbSlotWords>(layout_.words) + std::uint64_t{work_group} * slots_per_queue();
  }
  [[nodiscard]] std::uint32_t slots_per_queue() const noexcept {
    return layout_.n_rounds * layout_.work_group_size;
  }
  [[nodiscard]] HbSliceControl* slice_control(std::uint32_t slice) const noexcept {
    return at<HbSliceControl>(layout_.slice_controls) + slice;
  }
  [[nodiscard]] std::byte* litmus() const noexcept { return base_ + layout_.litmus; }
  [[nodiscard]] std::byte* copy_queue(std::uint32_t queue) const noexcept {
    return base_ + layout_.copy_queues + queue * layout_.copy_stride;
  }

  /// Makes every ring an empty SPSC ring and zeroes the queues. Manager only, at start.
  void format() const;

 private:
  template <typename T>
  [[nodiscard]] T* at(std::uint64_t offset) const noexcept {
    return reinterpret_cast<T*>(base_ + offset);
  }

  std::byte* base_ = nullptr;
  RegionLayout layout_{};
};

/// Maps the file at kRegionBase, all of it, shared and writable.
/// @return the base; an Error if the range is taken or the file is too short
Result<std::byte*> map_region(int fd, std::uint64_t bytes);

}  // namespace hb
