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

#include "nf_lib/control_layout.h"
#include "nf_lib/packet_meta.h"
#include "nf_lib/platform_view.h"
#include "nf_lib/ring.h"

namespace hb::test {

struct SmallOptions {
  std::uint32_t n_packets = 96;
  std::uint32_t ring_size = 16;
  std::uint32_t fill_size = 16;
  /// Where all rings' indices start.
  std::uint32_t first_index = 0;
};

/// Type t goes from the NF to port t % 3; every producer may send to the NF.
class SmallPlatform {
 public:
  static constexpr ContextId kManager{0}, kProducer{1}, kOtherProducer{2}, kNf{3};
  static constexpr EndpointId kNfEndpoint{1};
  static constexpr ServiceId kService{5};
  static constexpr InstanceId kInstance{7};
  static constexpr std::uint32_t kPorts = 3;
  static constexpr EndpointId port(std::uint32_t number) { return EndpointId(2 + number); }

  static constexpr std::uint32_t kHeadroom = 64;
  static constexpr std::uint32_t kDataRoom = 128;
  static constexpr std::uint32_t kStride = sizeof(rte_mbuf) + kHeadroom + kDataRoom;
  static constexpr std::uint64_t kPage = 4096;

  explicit SmallPlatform(const SmallOptions& options = {}) {
    pool_.stride_bytes = kStride;
    pool_.per_page = static_cast<std::uint32_t>(kPage / kStride);
    pool_.size = options.n_packets;
    pool_.data_room = kDataRoom;
    pool_.headroom = kHeadroom;
    pool_.mbuf_bytes = sizeof(rte_mbuf);
    RegionDemand demand;
    demand.n_contexts = 4;
    demand.n_endpoints = 2 + kPorts;
    demand.ring_size = options.ring_size;
    demand.fill_size = options.fill_size;
    demand.pool_size = options.n_packets;
    demand.n_work_groups = 0;
    demand.packet_bytes = (options.n_packets / pool_.per_page + 1) * kPage;
    demand.page_bytes = kPage;
    const RegionLayout layout = plan_region(demand);
    page_at_ = layout.total_bytes;
    bytes_ = page_at_ + (sizeof(ContextPage) + kPage - 1) / kPage * kPage;
    void* const memory =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      std::perror("mmap");
      std::abort();
    }
    base_ = static_cast<std::byte*>(memory);
    packet_meta_offset = offsetof(rte_mbuf, dynfield1) / 8 * 8 + 8;
    carried_word_offset = offsetof(rte_mbuf, dynfield1);
    view.region = RegionView(base_, layout);
    view.region.format();
    view.registry = registry.get();
    view.routes = routes.get();
    view.check = PacketCheck(layout, pool_, reinterpret_cast<std::uint64_t>(base_));
    for (std::uint32_t id = 0; id < view.region.n_rings(); ++id)
      start_at(view.region.ring(RingId(id)), options.first_index);
    set_up_registry(layout);
    for (std::uint32_t i = 0; i < options.n_packets; ++i) reset(packet(i));
  }
  ~SmallPlatform() { munmap(base_, bytes_); }
  SmallPlatform(const SmallPlatform&) = delete;
  SmallPlatform& operator=(const SmallPlatform&) = delete;

  /// The NF's page, behind the region.
  [[nodiscard]] ContextPage* page() const {
    return reinterpret_cast<ContextPage*>(base_ + page_at_);
  }
  [[nodiscard]] std::uint32_t n_packets() const { return pool_.size; }
  [[nodiscard]] rte_mbuf* packet(std::uint32_t i) const {
    return reinterpret_cast<rte_mbuf*>(base_ + view.region.layout().packets +
                                       i / pool_.per_page * kPage + i % pool_.per_page * kStride);
  }
  void reset(rte_mbuf* mbuf) const {
    std::memset(static_cast<void*>(mbuf), 0, sizeof(*mbuf));
    mbuf->buf_addr = reinterpret_cast<std::byte*>(mbuf) + sizeof(rte_mbuf);
    mbuf->buf_len = kHeadroom + kDataRoom;
    mbuf->data_off = kHeadroom;
    mbuf->data_len = mbuf->pkt_len = 64;
    mbuf->nb_segs = 1;
    rte_mbuf_refcnt_set(mbuf, 1);
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
  [[nodiscard]] std::size_t shared_bytes() const { return bytes_; }
  [[nodiscard]] std::byte* shared() const { return base_; }

  std::unique_ptr<Registry> registry = std::make_unique<Registry>();
  std::unique_ptr<RouteTables> routes = std::make_unique<RouteTables>();
  PlatformView view;

 private:
  void set_up_registry(const RegionLayout& layout) {
    registry->region = layout;
    registry->pool = pool_;
    registry->n_ports = kPorts;
    for (auto& service : registry->endpoint_service)
      service.store(kMaxServices, std::memory_order_relaxed);
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

  PoolLayout pool_{};
  std::byte* base_ = nullptr;
  std::uint64_t page_at_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace hb::test
