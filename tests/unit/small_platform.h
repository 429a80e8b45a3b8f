// A platform small enough to be copied at every step of a process: one CPU NF between two producers
// and three ports, in memory that children share. No EAL, no manager, no hugepages.
#pragma once

#include <rte_mbuf.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "nf_lib/ring.h"
#include "tests/unit/plain_region.h"

namespace hb::test {

struct SmallOptions {
  std::uint32_t n_packets = 96;
  std::uint32_t ring_size = 16;
  std::uint32_t fill_size = 16;
  /// Where all rings' indices start.
  std::uint32_t first_index = 0;
};

/// Type t goes from the NF to port t % 3; every producer may send to the NF.
class SmallPlatform : public PlainRegion {
 public:
  static constexpr ContextId kManager{0}, kProducer{1}, kOtherProducer{2}, kNf{3};
  static constexpr EndpointId kNfEndpoint{1};
  static constexpr ServiceId kService{5};
  static constexpr InstanceId kInstance{7};
  static constexpr std::uint32_t kPorts = 3;
  static constexpr EndpointId port(std::uint32_t number) { return EndpointId(2 + number); }

  static constexpr std::uint64_t kPage = 4096;

  explicit SmallPlatform(const SmallOptions& options = {})
      : PlainRegion({.n = options.n_packets,
                     .headroom = kHeadroom,
                     .data_room = kDataRoom,
                     .stride = sizeof(rte_mbuf) + kHeadroom + kDataRoom,
                     .page_bytes = kPage},
                    demand_of(options), map_shared) {
    for (std::uint32_t id = 0; id < view.region.n_rings(); ++id)
      start_at(view.region.ring(RingId(id)), options.first_index);
    set_up_registry();
  }
  ~SmallPlatform() { munmap(base(), shared_bytes()); }

  /// The NF's page, behind the region.
  [[nodiscard]] ContextPage* page() const {
    return reinterpret_cast<ContextPage*>(base() + view.region.layout().total_bytes);
  }
  [[nodiscard]] rte_ring* ring(EndpointId to, ContextId from) const {
    return view.region.ring(to, from);
  }
  [[nodiscard]] rte_ring* fill_ring() const {
    return view.region.ring(view.region.fill_ring_id(kNf));
  }
  /// Sets all indices of an empty ring.
  static void start_at(rte_ring* ring, std::uint32_t index) {
    for (rte_ring_headtail* const end : {&ring->prod, &ring->cons}) {
      end->head = index;
      end->tail = index;
    }
  }
  /// Puts a pointer into a ring, whatever it points to.
  void put(rte_ring* ring, const void* pointer) const {
    if (rte_ring_sp_enqueue(ring, const_cast<void*>(pointer)) != 0) std::abort();
  }
  /// Numbers of the packets that wait in a ring; kNotAPacket for other pointers.
  [[nodiscard]] std::vector<std::uint32_t> contents(const rte_ring* ring) const {
    std::vector<std::uint32_t> numbers;
    auto* const* const slots = reinterpret_cast<rte_mbuf* const*>(ring + 1);
    for (std::uint32_t at = ring->cons.tail; at != ring->prod.tail; ++at)
      numbers.push_back(view.check.number(slots[at & ring->mask]));
    return numbers;
  }
  [[nodiscard]] std::vector<std::uint32_t> contents(EndpointId to, ContextId from) const {
    return contents(ring(to, from));
  }

  /// All that a process of the platform can write, to be compared or put back.
  [[nodiscard]] std::size_t shared_bytes() const {
    return view.region.layout().total_bytes + kPageOfContext;
  }
  [[nodiscard]] std::byte* shared() const { return base(); }

 private:
  static constexpr std::uint32_t kHeadroom = 64;
  static constexpr std::uint32_t kDataRoom = 128;
  static constexpr std::size_t kPageOfContext = (sizeof(ContextPage) + kPage - 1) / kPage * kPage;

  static RegionDemand demand_of(const SmallOptions& options) {
    RegionDemand demand;
    demand.n_contexts = 4;
    demand.n_endpoints = 2 + kPorts;
    demand.ring_size = options.ring_size;
    demand.fill_size = options.fill_size;
    demand.n_work_groups = 0;
    return demand;
  }
  static std::byte* map_shared(std::uint64_t bytes) {
    void* const memory = mmap(nullptr, bytes + kPageOfContext, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      std::perror("mmap");
      std::abort();
    }
    return static_cast<std::byte*>(memory);
  }
  void set_up_registry() {
    registry->n_ports = kPorts;
    registry->n_types = 6;
    for (std::uint32_t type = 0; type < registry->n_types; ++type)
      std::snprintf(registry->types[type], kNameBytes, "type%u", type);
    std::snprintf(registry->services[kService.value].name, kNameBytes, "middle");
    registry->services[kService.value].n_reasons = 2;
    registry->endpoints[kNfEndpoint.value].producers[0] =
        (1u << kProducer.value) | (1u << kOtherProducer.value);
    for (RouteTable& table : routes->table) {
      for (std::uint32_t type = 0; type < kMaxTypes; ++type)
        table.next[type][kService.value] = make_hop(HopKind::kPort, type % kPorts);
      for (std::uint32_t number = 0; number < kPorts; ++number)
        table.port_endpoint[number] = static_cast<std::uint16_t>(port(number).value);
      table.targets[kService.value] = {.n = 1,
                                       .choice = InstanceChoice::kFlowHash,
                                       .key_bytes = 0,
                                       .key_offset = 0,
                                       .endpoint = {static_cast<std::uint16_t>(kNfEndpoint.value)}};
    }
  }
};

}  // namespace hb::test
