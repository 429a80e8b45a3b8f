// A platform in plain memory: region, registry, routes, packets, one CPUSyncer's page. No
// hugepages, no manager, no EAL.
#pragma once

#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "nf_lib/control_layout.h"
#include "nf_lib/packet_meta.h"
#include "nf_lib/platform_view.h"
#include "nf_lib/ring.h"

namespace hb::test {

struct PlainOptions {
  std::uint32_t pool_size = 4096;
  std::uint32_t n_work_groups = 4;
  std::uint32_t work_group_size = 64;
  std::uint32_t n_rounds = 4;
  std::uint32_t ring_size = 1024;
  std::uint32_t copy_records = 8;
};

/// Contexts: 0 the test as reclaimer, 1 and 2 producers, 3 and 4 CPUSyncers. Endpoints: 0 the
/// reclaimer, 1 and 2 the GPU NFs', 3 and 4 ports 0 and 1. Services 5 and 6 are the GPU NFs, with
/// instances 7 and 8; type t goes from both to port t % 2.
class PlainPlatform {
 public:
  static constexpr std::uint32_t kHeadroom = 128;
  static constexpr std::uint32_t kDataRoom = 512;
  static constexpr std::uint32_t kStride = 768;
  static constexpr std::uint64_t kPage = 2u << 20;

  explicit PlainPlatform(const PlainOptions& options = {}) {
    pool_.stride_bytes = kStride;
    pool_.per_page = static_cast<std::uint32_t>(kPage / kStride);
    pool_.size = options.pool_size;
    pool_.data_room = kDataRoom;
    pool_.headroom = kHeadroom;
    pool_.mbuf_bytes = sizeof(rte_mbuf);
    RegionDemand demand;
    demand.n_contexts = 5;
    demand.n_endpoints = 5;
    demand.ring_size = options.ring_size;
    demand.fill_size = 8;
    demand.pool_size = options.pool_size;
    demand.n_work_groups = options.n_work_groups;
    demand.work_group_size = options.work_group_size;
    demand.n_rounds = options.n_rounds;
    demand.n_copy_queues = 2;
    demand.copy_records = options.copy_records;
    demand.copy_bytes = 768;
    demand.packet_bytes = (options.pool_size / pool_.per_page + 1) * kPage;
    demand.page_bytes = kPage;
    const RegionLayout layout = plan_region(demand);
    bytes_ = layout.total_bytes;
    base_ = static_cast<std::byte*>(std::aligned_alloc(kPage, bytes_));
    std::memset(base_, 0, bytes_);
    packet_meta_offset = offsetof(rte_mbuf, dynfield1) / 8 * 8 + 8;
    carried_word_offset = offsetof(rte_mbuf, dynfield1);
    view.region = RegionView(base_, layout);
    view.region.format();
    view.registry = registry.get();
    view.routes = routes.get();
    view.check = PacketCheck(layout, pool_, reinterpret_cast<std::uint64_t>(base_));
    set_up_registry(layout);
    for (std::uint32_t i = 0; i < options.pool_size; ++i) reset(packet(i));
  }
  ~PlainPlatform() { std::free(base_); }
  PlainPlatform(const PlainPlatform&) = delete;
  PlainPlatform& operator=(const PlainPlatform&) = delete;

  [[nodiscard]] rte_mbuf* packet(std::uint32_t i) const {
    return reinterpret_cast<rte_mbuf*>(base_ + view.region.layout().packets +
                                       i / pool_.per_page * kPage + i % pool_.per_page * kStride);
  }
  [[nodiscard]] std::uint8_t* data(rte_mbuf* mbuf) const {
    return reinterpret_cast<std::uint8_t*>(mbuf) + sizeof(rte_mbuf) + mbuf->data_off;
  }
  /// 64 bytes of data behind the headroom, type 0.
  void reset(rte_mbuf* mbuf) const {
    std::memset(mbuf, 0, sizeof(*mbuf));
    mbuf->data_off = kHeadroom;
    mbuf->data_len = 64;
    mbuf->pkt_len = 64;
    mbuf->nb_segs = 1;
    rte_mbuf_refcnt_set(mbuf, 1);
  }
  /// @return false if the ring is full
  bool send(std::uint32_t producer, std::uint32_t endpoint, rte_mbuf* mbuf) const {
    rte_ring* const ring = view.region.ring(EndpointId(endpoint), ContextId(producer));
    return rte_ring_sp_enqueue(ring, mbuf) == 0;
  }
  [[nodiscard]] rte_mbuf* receive(std::uint32_t endpoint, std::uint32_t from) const {
    void* object = nullptr;
    rte_ring* const ring = view.region.ring(EndpointId(endpoint), ContextId(from));
    return rte_ring_sc_dequeue(ring, &object) == 0 ? static_cast<rte_mbuf*>(object) : nullptr;
  }
  [[nodiscard]] std::uint32_t waiting(std::uint32_t endpoint, std::uint32_t from) const {
    return rte_ring_count(view.region.ring(EndpointId(endpoint), ContextId(from)));
  }

  std::unique_ptr<Registry> registry = std::make_unique<Registry>();
  std::unique_ptr<RouteTables> routes = std::make_unique<RouteTables>();
  PlatformView view;

 private:
  void set_up_registry(const RegionLayout& layout) {
    registry->region = layout;
    registry->pool = pool_;
    registry->n_ports = 2;
    for (auto& service : registry->endpoint_service)
      service.store(kMaxServices, std::memory_order_relaxed);
    registry->n_types = 4;
    for (const std::uint32_t instance : {7u, 8u})
      registry->instances[instance].state = InstanceState::kRunning;
    for (const std::uint32_t service : {5u, 6u}) registry->services[service].n_reasons = 2;
    for (const std::uint32_t endpoint : {1u, 2u})
      registry->endpoints[endpoint].producers[0] = (1u << 1) | (1u << 2);
    for (RouteTable& table : routes->table) {
      for (std::uint32_t type = 0; type < kMaxTypes; ++type)
        for (const std::uint32_t service : {5u, 6u})
          table.next[type][service] = make_hop(HopKind::kPort, type % 2);
      table.port_endpoint[0] = 3;
      table.port_endpoint[1] = 4;
    }
  }

  PoolLayout pool_{};
  std::byte* base_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace hb::test
