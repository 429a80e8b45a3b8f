// Feeds the manager what a process with a broken memory could leave behind: context pages, ledgers,
// ring headers and contents, work-group queues, packet headers. Recovery, orphan service, the
// reclaimer, audit and statistics must survive it and end.
#include <fcntl.h>

#include <array>
#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <nlohmann/json.hpp>

#include "manager/audit.h"
#include "manager/recovery.h"
#include "manager/statistics.h"
#include "tests/fuzz/fuzz_platform.h"

namespace hb::test {
namespace {

namespace bip = boost::interprocess;

constexpr ContextId kNf{2};
constexpr EndpointId kEndpoint{2};

/// One CPU NF and one GPU NF that the manager believes to be alive.
struct World {
  World() {
    const auto add = [this](Compute compute) {
      auto service = std::make_unique<Service>();
      service->id = static_cast<std::uint32_t>(p.services.size());
      service->name = compute == Compute::kCpu ? "cpu" : "gpu";
      service->compute = compute;
      auto instance = std::make_unique<Instance>();
      instance->id = static_cast<std::uint32_t>(p.instances.size());
      instance->service = service.get();
      instance->start_order = 1;
      instance->pidfd = 0;  // alive; nobody closes it
      instance->context = ContextId(kNf.value + instance->id);
      instance->endpoints = {EndpointId(kEndpoint.value + instance->id)};
      if (compute == Compute::kGpu) instance->work_groups = {0, 1};
      char path[] = "/tmp/hb-fuzz-XXXXXX";
      const int fd = mkstemp(path);
      if (fd < 0 || ftruncate(fd, sizeof(ContextPage)) != 0) std::abort();
      close(fd);
      bip::mapped_region mapped(bip::file_mapping(path, bip::read_write), bip::read_write);
      pages.push_back(static_cast<std::byte*>(mapped.get_address()));
      instance->page = std::make_unique<ContextFile>(path, "context", std::move(mapped));
      unlink(path);
      service->instances.push_back(instance.get());
      p.services.push_back(std::move(service));
      p.instances.push_back(std::move(instance));
    };
    add(Compute::kCpu);
    add(Compute::kGpu);
    const RegionLayout& layout = p.view.region.layout();
    start.assign(p.view.region.base(), p.view.region.base() + layout.total_bytes);
    Registry& registry = p.control->registry();
    for (auto& endpoint : registry.endpoints) endpoint.producers[0].store(0xfff);
  }
  Platform& p = FuzzPlatform::instance().p;
  std::vector<std::byte*> pages;
  std::vector<std::byte> start;
};

/// Each command overwrites one word or one interesting field with a value of the input.
void scribble(World& world, Bytes& input) {
  const RegionView& region = world.p.view.region;
  while (!input.empty()) {
    const auto command = input.take<std::uint8_t>();
    const auto at = input.take<std::uint32_t>();
    auto value = input.take<std::uint64_t>();
    if ((command & 0x80) != 0)  // a pointer to a packet, or beside one
      value = reinterpret_cast<std::uint64_t>(region.base() + region.layout().packets) +
              value % region.layout().packet_bytes;
    switch (command & 7) {
      case 0: {  // a page
        std::byte* const page = world.pages[command >> 3 & 1];
        std::memcpy(page + at % (sizeof(ContextPage) - sizeof(value)), &value, sizeof(value));
        break;
      }
      case 1: {  // a ledger
        auto* const page = reinterpret_cast<ContextPage*>(world.pages[command >> 3 & 1]);
        auto* const ledger = reinterpret_cast<std::byte*>(&page->ledger);
        std::memcpy(ledger + at % (sizeof(Ledger) - sizeof(value)), &value, sizeof(value));
        break;
      }
      case 2: {  // a ring's indices
        rte_ring* const ring = region.ring(RingId(at % region.n_rings()));
        std::uint32_t* const words[] = {const_cast<std::uint32_t*>(&ring->prod.head),
                                        const_cast<std::uint32_t*>(&ring->prod.tail),
                                        const_cast<std::uint32_t*>(&ring->cons.head),
                                        const_cast<std::uint32_t*>(&ring->cons.tail)};
        *words[command >> 3 & 3] = static_cast<std::uint32_t>(value);
        break;
      }
      case 3: {  // a ring's slot
        rte_ring* const ring = region.ring(RingId(at % region.n_rings()));
        const std::uint32_t size = region.planned_size(RingId(at % region.n_rings()));
        reinterpret_cast<std::uint64_t*>(ring + 1)[(at >> 16) % size] = value;
        break;
      }
      default: {  // anything: headers of free packets, too
        const std::uint64_t end = region.layout().total_bytes;
        std::memcpy(region.base() + at % (end - sizeof(value)), &value, sizeof(value));
        break;
      }
    }
  }
}

void run(const std::uint8_t* data, std::size_t size) {
  static World world;
  Platform& p = world.p;
  for (std::byte* const page : world.pages) std::memset(page, 0, sizeof(ContextPage));
  // All packets are in the pool, but some that are on their way, in the NF's ring.
  std::vector<void*> out(16);
  if (rte_mempool_get_bulk(p.pool->mempool(), out.data(), 16) != 0) std::abort();
  for (void* const mbuf : out) {
    p.book->set_out(p.view.check.number(mbuf), PacketState::kRx);
    rte_ring_sp_enqueue(p.view.region.ring(kEndpoint, ContextId(1)), mbuf);
  }
  p.flow.rx[0].admitted.store(p.flow.rx[0].admitted.load() + out.size());
  Bytes input(data, size);
  const bool keep = (input.take<std::uint8_t>() & 1) != 0;
  scribble(world, input);

  (void)statistics(p, nullptr);
  (void)audit_packets(p, false);
  Recovery recovery(p);
  recovery.recover({.context = kNf,
                    .page = &p.instances[0]->page->page(),
                    .endpoints = {kEndpoint},
                    .work_groups = {},
                    .keep_windows = keep},
                   0, DropReason::kLostInCrash);
  recovery.recover({.context = ContextId(kNf.value + 1),
                    .page = &p.instances[1]->page->page(),
                    .endpoints = {EndpointId(kEndpoint.value + 1)},
                    .work_groups = {0, 1},
                    .keep_windows = false},
                   1, DropReason::kLostInCrash);
  for (std::uint32_t e = 1; e < p.view.region.layout().n_endpoints; ++e) {
    recovery.serve(EndpointId(e), 0);
    (void)recovery.is_empty(EndpointId(e));
  }
  // As a driver does, which believes what it finds in a packet of the pool.
  std::array<rte_mbuf*, 32> received;
  if (rte_pktmbuf_alloc_bulk(p.pool->mempool(), received.data(), received.size()) == 0) {
    for (rte_mbuf* const mbuf : received) std::memset(rte_pktmbuf_append(mbuf, 60), 0xff, 60);
    rte_pktmbuf_free_bulk(received.data(), received.size());
  }
  p.flow.quit.store(true);
  p.tx_threads.front()->run();  // until its rings are empty
  p.tx_threads.front()->empty_fill_rings();
  const AuditReport report = audit_packets(p, true);
  (void)statistics(p, &report);

  // What the garbage has made of the packets that were out: lost ones come home, for the next run.
  std::vector<std::byte>& start = world.start;
  std::memcpy(p.view.region.base(), start.data(), p.view.region.layout().packets);
  for (void* const mbuf : out) {
    if (p.book->take_home(p.view.check.number(mbuf)).state == PacketState::kHome) continue;
    p.pool->rebuild_header(static_cast<rte_mbuf*>(mbuf));
    rte_mempool_put(p.pool->mempool(), mbuf);
  }
  if (p.pool->n_free() != kFuzzPackets) std::abort();  // none was freed twice, none is missing
}

}  // namespace
}  // namespace hb::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  hb::test::run(data, size);
  return 0;
}
