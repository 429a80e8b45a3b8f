// What CPUSyncers work on without a platform around them: a region, routes, packets that never run
// out. For benchmarks.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "gpu_host/slice_share.h"
#include "tools/hb_doctor/measure.h"

namespace hb::bench {

inline constexpr std::uint32_t kService = 5;
inline constexpr std::uint32_t kInstance = 7;

struct WorldShape {
  std::uint32_t n_syncers = 1;
  std::uint32_t work_groups = 16;  ///< of each CPUSyncer
  std::uint32_t work_group_size = 256;
  std::uint32_t rounds = 4;
};

/// Contexts 1.. are the threads that feed, then come the CPUSyncers. Endpoints 1.. are the GPU
/// NF's, one for each CPUSyncer, then come ports: type t leaves by port t.
class World {
 public:
  static constexpr std::uint32_t kHeadroom = 128;
  static constexpr std::uint32_t kDataRoom = 512;
  static constexpr std::uint32_t kStride = 768;
  static constexpr std::uint32_t kBytes = 64;  ///< of a packet, unless fill_packets() was called

  static Result<std::unique_ptr<World>> make(const WorldShape& shape) {
    std::unique_ptr<World> world(new World(shape.n_syncers));
    const std::uint32_t slots = shape.work_groups * shape.work_group_size * shape.rounds;
    world->pool_.stride_bytes = kStride;
    world->pool_.size = shape.n_syncers * 2 * slots;
    world->pool_.data_room = kDataRoom;
    world->pool_.headroom = kHeadroom;
    world->pool_.mbuf_bytes = sizeof(rte_mbuf);
    RegionDemand demand;
    demand.n_contexts = 1 + 2 * shape.n_syncers;
    demand.n_endpoints = 1 + 2 * shape.n_syncers;
    demand.ring_size = std::bit_ceil(2 * slots + 1);
    demand.fill_size = 8;
    demand.pool_size = world->pool_.size;
    demand.n_work_groups = shape.n_syncers * shape.work_groups;
    demand.work_group_size = shape.work_group_size;
    demand.n_rounds = shape.rounds;
    demand.packet_bytes = std::uint64_t{world->pool_.size} * 1024 + (4u << 20);  // any page size
    auto region = doctor::TestRegion::make(demand);
    if (!region) return region.error();
    world->region_ = std::move(*region);
    world->set_up();
    return world;
  }

  [[nodiscard]] const PlatformView& view() const { return view_; }
  [[nodiscard]] RegionFile file() const { return region_->file(); }
  [[nodiscard]] ContextId feeder(std::uint32_t i) const { return ContextId(1 + i); }
  [[nodiscard]] ContextId syncer(std::uint32_t i) const { return ContextId(1 + n_ + i); }
  [[nodiscard]] EndpointId nf(std::uint32_t i) const { return EndpointId(1 + i); }
  [[nodiscard]] EndpointId port(std::uint32_t i) const { return EndpointId(1 + n_ + i); }
  /// Where packets for that CPUSyncer go in, and where they come out.
  [[nodiscard]] rte_ring* source(std::uint32_t i) const {
    return view_.region.ring(nf(i), feeder(i));
  }
  [[nodiscard]] rte_ring* sink(std::uint32_t i) const {
    return view_.region.ring(port(i), syncer(i));
  }
  [[nodiscard]] PacketBounds bounds() const {
    return {pool_.mbuf_bytes, pool_.mbuf_bytes + pool_.headroom + pool_.data_room};
  }

  /// Makes an mbuf what RX leaves: a packet of these bytes at most, behind the headroom.
  /// @param head  its first bytes; the rest stays as it is
  static void receive(rte_mbuf* mbuf, std::span<const std::uint8_t> head, std::uint32_t bytes) {
    mbuf->data_off = kHeadroom;
    mbuf->data_len = static_cast<std::uint16_t>(bytes);
    mbuf->pkt_len = bytes;
    std::memcpy(data(mbuf), head.data(), head.size());
  }
  [[nodiscard]] static std::uint8_t* data(rte_mbuf* mbuf) {
    return reinterpret_cast<std::uint8_t*>(mbuf + 1) + mbuf->data_off;
  }

 private:
  explicit World(std::uint32_t n) : n_(n) {}

  void set_up() {
    const RegionLayout& layout = region_->view().layout();
    pool_.per_page = static_cast<std::uint32_t>(layout.page_bytes / kStride);
    packet_meta_offset = offsetof(rte_mbuf, dynfield1) / 8 * 8 + 8;
    view_.region = region_->view();
    view_.registry = registry_.get();
    view_.routes = routes_.get();
    view_.check = PacketCheck(layout, pool_, reinterpret_cast<std::uint64_t>(view_.region.base()));
    registry_->region = layout;
    registry_->pool = pool_;
    registry_->n_ports = n_;
    registry_->n_types = n_;
    registry_->instances[kInstance].state = InstanceState::kRunning;
    registry_->services[kService].n_reasons = kMaxNfReasons;
    for (std::uint32_t i = 0; i < n_; ++i)
      registry_->endpoints[nf(i).value].producers[0] = 1u << feeder(i).value;
    for (RouteTable& table : routes_->table) {
      for (std::uint32_t type = 0; type < n_; ++type) {
        table.next[type][kService] = make_hop(HopKind::kPort, type);
        table.port_endpoint[type] = static_cast<std::uint16_t>(port(type).value);
      }
    }
    const std::uint32_t each = pool_.size / n_;
    for (std::uint32_t i = 0; i < pool_.size; ++i) {
      auto* const mbuf = reinterpret_cast<rte_mbuf*>(view_.region.base() + layout.packets +
                                                     i / pool_.per_page * layout.page_bytes +
                                                     i % pool_.per_page * kStride);
      std::memset(static_cast<void*>(mbuf), 0, sizeof(*mbuf));
      mbuf->nb_segs = 1;
      rte_mbuf_refcnt_set(mbuf, 1);
      receive(mbuf, {}, kBytes);
      const std::uint32_t owner = std::min(i / each, n_ - 1);
      packet_meta(mbuf).type = static_cast<std::uint8_t>(owner);
      // One for which the ring has no room stays unused.
      rte_ring_sp_enqueue(source(owner), mbuf);
    }
  }

  std::uint32_t n_;
  PoolLayout pool_{};
  std::unique_ptr<doctor::TestRegion> region_;
  std::unique_ptr<Registry> registry_ = std::make_unique<Registry>();
  std::unique_ptr<RouteTables> routes_ = std::make_unique<RouteTables>();
  PlatformView view_;
};

}  // namespace hb::bench
