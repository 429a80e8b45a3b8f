// A platform in plain memory: region, registry, routes, packets, one CPUSyncer's page. No
// hugepages, no manager, no EAL.
#pragma once

#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "nf_lib/ring.h"
#include "tests/unit/plain_region.h"

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
class PlainPlatform : public PlainRegion {
 public:
  static constexpr std::uint32_t kHeadroom = 128;

  explicit PlainPlatform(const PlainOptions& options = {})
      : PlainRegion({.n = options.pool_size,
                     .headroom = kHeadroom,
                     .data_room = 512,
                     .stride = 768,
                     .page_bytes = kPage},
                    demand_of(options), allocate) {
    set_up_registry();
  }
  ~PlainPlatform() { std::free(base()); }

  [[nodiscard]] std::uint8_t* data(rte_mbuf* mbuf) const {
    return reinterpret_cast<std::uint8_t*>(mbuf) + sizeof(rte_mbuf) + mbuf->data_off;
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

 private:
  static constexpr std::uint64_t kPage = 2u << 20;

  static RegionDemand demand_of(const PlainOptions& options) {
    RegionDemand demand;
    demand.n_contexts = 5;
    demand.n_endpoints = 5;
    demand.ring_size = options.ring_size;
    demand.fill_size = 8;
    demand.n_work_groups = options.n_work_groups;
    demand.work_group_size = options.work_group_size;
    demand.n_rounds = options.n_rounds;
    demand.n_copy_queues = 2;
    demand.copy_records = options.copy_records;
    demand.copy_bytes = 768;
    return demand;
  }
  static std::byte* allocate(std::uint64_t bytes) {
    void* const memory = std::aligned_alloc(kPage, bytes);
    if (memory == nullptr) std::abort();
    return static_cast<std::byte*>(std::memset(memory, 0, bytes));
  }
  void set_up_registry() {
    registry->n_ports = 2;
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
};

}  // namespace hb::test
