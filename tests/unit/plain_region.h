// What test platforms in plain memory have in common: a region with its packets, and a registry and
// routes that are still empty. No hugepages, no manager, no EAL.
#pragma once

#include <rte_mbuf.h>

#include <cstring>
#include <memory>

#include "nf_lib/control_layout.h"
#include "nf_lib/packet_meta.h"
#include "nf_lib/platform_view.h"

namespace hb::test {

/// The packets of a region, and where pages end that none of them crosses.
struct PacketShape {
  std::uint32_t n = 0;
  std::uint32_t headroom = 0;
  std::uint32_t data_room = 0;
  std::uint32_t stride = 0;
  std::uint64_t page_bytes = 0;
};

class PlainRegion {
 public:
  PlainRegion(const PlainRegion&) = delete;
  PlainRegion& operator=(const PlainRegion&) = delete;

  [[nodiscard]] std::uint32_t n_packets() const { return pool_.size; }
  [[nodiscard]] rte_mbuf* packet(std::uint32_t i) const {
    return reinterpret_cast<rte_mbuf*>(base() + view.region.layout().packets +
                                       i / pool_.per_page * page_bytes_ +
                                       i % pool_.per_page * pool_.stride_bytes);
  }
  /// 64 bytes of data behind the headroom, type 0.
  void reset(rte_mbuf* mbuf) const {
    std::memset(static_cast<void*>(mbuf), 0, sizeof(*mbuf));
    mbuf->buf_addr = reinterpret_cast<std::byte*>(mbuf) + sizeof(rte_mbuf);
    mbuf->buf_len = static_cast<std::uint16_t>(pool_.headroom + pool_.data_room);
    mbuf->data_off = static_cast<std::uint16_t>(pool_.headroom);
    mbuf->data_len = mbuf->pkt_len = 64;
    mbuf->nb_segs = 1;
    rte_mbuf_refcnt_set(mbuf, 1);
  }

  std::unique_ptr<Registry> registry = std::make_unique<Registry>();
  std::unique_ptr<RouteTables> routes = std::make_unique<RouteTables>();
  PlatformView view;

 protected:
  /// @param demand    of all but packets
  /// @param allocate  gives the region's memory, zeroed, to be freed by the derived class; called
  ///                  with the bytes
  template <typename F>
  PlainRegion(const PacketShape& packets, RegionDemand demand, F&& allocate)
      : page_bytes_(packets.page_bytes) {
    pool_.stride_bytes = packets.stride;
    pool_.per_page = static_cast<std::uint32_t>(page_bytes_ / packets.stride);
    pool_.size = packets.n;
    pool_.data_room = packets.data_room;
    pool_.headroom = packets.headroom;
    pool_.mbuf_bytes = sizeof(rte_mbuf);
    demand.pool_size = packets.n;
    demand.packet_bytes = (packets.n / pool_.per_page + 1) * page_bytes_;
    demand.page_bytes = page_bytes_;
    const RegionLayout layout = plan_region(demand);
    std::byte* const memory = allocate(layout.total_bytes);
    packet_meta_offset = offsetof(rte_mbuf, dynfield1) / 8 * 8 + 8;
    carried_word_offset = offsetof(rte_mbuf, dynfield1);
    view.region = RegionView(memory, layout);
    view.region.format();
    view.registry = registry.get();
    view.routes = routes.get();
    view.check = PacketCheck(layout, pool_, reinterpret_cast<std::uint64_t>(memory));
    registry->region = layout;
    registry->pool = pool_;
    for (auto& service : registry->endpoint_service)
      service.store(kMaxServices, std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < packets.n; ++i) reset(packet(i));
  }
  ~PlainRegion() = default;

  [[nodiscard]] std::byte* base() const { return view.region.base(); }

 private:
  PoolLayout pool_{};
  std::uint64_t page_bytes_;
};

}  // namespace hb::test
