#include "manager/packet_pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <numa.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "manager/free_packets.h"
#include "nf_lib/ring.h"

namespace hb {
namespace {

constexpr const char* kHeapName = "hummingbird";

std::uint64_t default_hugepage_bytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string line;
  while (std::getline(meminfo, line)) {
    if (line.rfind("Hugepagesize:", 0) == 0)
      return std::strtoull(line.c_str() + std::strlen("Hugepagesize:"), nullptr, 10) << 10;
  }
  return 0;
}

struct ObjectSize {
  std::uint32_t element_bytes;
  std::uint32_t stride_bytes;
  std::uint32_t header_bytes;
};

ObjectSize object_size(std::uint32_t data_room) {
  rte_mempool_objsz size{};
  const auto element =
      static_cast<std::uint32_t>(sizeof(rte_mbuf) + RTE_PKTMBUF_HEADROOM + data_room);
  rte_mempool_calc_obj_size(element, 0, &size);
  return {element, size.total_size, size.header_size};
}

Error pool_error(const std::string& what) {
  return Error{fmt::format("{}: {}", what, rte_strerror(rte_errno)),
               "give it more hugepages (scripts/setup.sh --pages N) or a smaller --pool"};
}

}  // namespace

Result<HugepageMount> find_hugepages() {
  const std::uint64_t wanted = default_hugepage_bytes();
  std::ifstream mounts("/proc/mounts");
  std::string line;
  while (std::getline(mounts, line)) {
    std::istringstream fields(line);
    std::string device, directory, type, options;
    fields >> device >> directory >> type >> options;
    if (type != "hugetlbfs") continue;
    const std::size_t at = options.find("pagesize=");
    std::uint64_t bytes = wanted;
    if (at != std::string::npos) {
      const char* const number = options.c_str() + at + std::strlen("pagesize=");
      char* unit = nullptr;
      bytes = std::strtoull(number, &unit, 10);
      if (*unit == 'K') bytes <<= 10;
      if (*unit == 'M') bytes <<= 20;
      if (*unit == 'G') bytes <<= 30;
    }
    if (bytes == wanted && access(directory.c_str(), W_OK) == 0)
      return HugepageMount{directory, bytes};
  }
  return Error{"no hugepages are mounted", "run scripts/setup.sh as root"};
}

std::uint64_t free_hugepages(std::uint64_t page_bytes) {
  std::ifstream file(
      fmt::format("/sys/kernel/mm/hugepages/hugepages-{}kB/free_hugepages", page_bytes >> 10));
  std::uint64_t n = 0;
  file >> n;
  return n;
}

Result<std::unique_ptr<Region>> Region::create(const std::string& path, const RegionDemand& demand,
                                               int node) {
  const RegionLayout layout = plan_region(demand);
  std::unique_ptr<Region> region(new Region);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return Error{fmt::format("'{}' can't be made: {}", path, std::strerror(errno)),
                 "run this as root, or choose another --prefix"};
  region->path_ = path;
  if (ftruncate(fd, static_cast<off_t>(layout.total_bytes)) != 0) {
    const int error = errno;
    close(fd);
    return Error{fmt::format("'{}' can't be {} MB long: {}", path, layout.total_bytes >> 20,
                             std::strerror(error)),
                 "run scripts/setup.sh to reserve more hugepages"};
  }
  Result<std::byte*> base = map_region(fd, layout.total_bytes);
  close(fd);
  if (!base)
    return Error{fmt::format("{} MB of hugepages are not free", layout.total_bytes >> 20),
                 "run scripts/setup.sh --pages N to reserve more, or use a smaller --pool"};
  if (node >= 0 && numa_available() >= 0) numa_tonode_memory(*base, layout.total_bytes, node);
  // Children (gpu_host) map the region themselves.
  madvise(*base, layout.total_bytes, MADV_DONTFORK);
  region->view_ = RegionView(*base, layout);
  region->view_.format();
  return region;
}

Region::~Region() {
  if (view_.base() != nullptr) munmap(view_.base(), view_.layout().total_bytes);
  if (!path_.empty()) unlink(path_.c_str());
}

std::uint64_t packet_part_bytes(std::uint32_t n_packets, std::uint32_t data_room,
                                std::uint64_t page_bytes) {
  const std::uint64_t per_page = page_bytes / object_size(data_room).stride_bytes;
  // One page more: the heap keeps its own element headers at the part's start and end.
  return ((n_packets + per_page - 1) / per_page + 1) * page_bytes;
}

Result<std::unique_ptr<PacketPool>> PacketPool::create(const RegionView& region,
                                                       std::uint32_t n_packets,
                                                       std::uint32_t data_room,
                                                       std::uint32_t cache_size) {
  const RegionLayout& at = region.layout();
  std::byte* const packets = region.base() + at.packets;
  if (rte_malloc_heap_create(kHeapName) != 0 ||
      rte_malloc_heap_memory_add(kHeapName, packets, at.packet_bytes, nullptr,
                                 static_cast<unsigned>(at.packet_bytes / at.page_bytes),
                                 at.page_bytes) != 0)
    return pool_error("the packet part can't be given to DPDK as a heap");
  const int socket = rte_malloc_heap_get_socket(kHeapName);

  std::unique_ptr<PacketPool> pool(new PacketPool);
  const ObjectSize size = object_size(data_room);
  pool->pool_ = rte_mempool_create_empty("hb_packets", n_packets, size.element_bytes, cache_size,
                                         sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, 0);
  if (pool->pool_ == nullptr) return pool_error("the packet pool can't be made");
  pool->iova_as_va_ = rte_eal_iova_mode() == RTE_IOVA_VA;
  rte_pktmbuf_pool_private priv{};
  priv.mbuf_data_room_size = static_cast<std::uint16_t>(RTE_PKTMBUF_HEADROOM + data_room);
  const auto rebuild = [](const void* owner, void* const* taken, unsigned n) {
    constexpr unsigned kAhead = 8;
    for (unsigned i = 0; i < n && i < kAhead; ++i) prefetch_mbuf_to_write(taken[i]);
    for (unsigned i = 0; i < n; ++i) {
      if (i + kAhead < n) prefetch_mbuf_to_write(taken[i + kAhead]);
      static_cast<const PacketPool*>(owner)->rebuild_header(static_cast<rte_mbuf*>(taken[i]));
    }
  };
  if (const auto kept = keep_free_packets(pool->pool_, rebuild, pool.get()); !kept)
    return kept.error();
  rte_pktmbuf_pool_init(pool->pool_, &priv);

  // One block of whole pages, so that a packet's address says which one it is.
  const std::uint64_t per_page = at.page_bytes / size.stride_bytes;
  const std::uint64_t block = (n_packets + per_page - 1) / per_page * at.page_bytes;
  void* const memory = rte_malloc_socket("hb_packets", block, at.page_bytes, socket);
  if (memory == nullptr) return pool_error("the packets do not fit their part of the region");
  if (rte_mempool_populate_virt(pool->pool_, static_cast<char*>(memory), block, at.page_bytes,
                                nullptr, nullptr) < 0 ||
      pool->pool_->populated_size != n_packets)
    return pool_error("the packet pool can't be filled");
  rte_mempool_obj_iter(pool->pool_, rte_pktmbuf_init, nullptr);

  PoolLayout& layout = pool->layout_;
  layout.first_page =
      static_cast<std::uint32_t>((static_cast<std::byte*>(memory) - packets) / at.page_bytes);
  layout.first_bytes = size.header_bytes;
  layout.stride_bytes = size.stride_bytes;
  layout.per_page = static_cast<std::uint32_t>(per_page);
  layout.size = n_packets;
  layout.data_room = data_room;
  layout.headroom = RTE_PKTMBUF_HEADROOM;
  layout.mbuf_bytes = sizeof(rte_mbuf);
  pool->buffer_bytes_ = static_cast<std::uint16_t>(layout.headroom + layout.data_room);

  // The pool decides where each object lies; everyone else relies on the formula.
  struct Audit {
    PacketCheck check;
    std::uint32_t wrong = 0;
  } audit{PacketCheck(at, layout), 0};
  rte_mempool_obj_iter(
      pool->pool_,
      [](rte_mempool*, void* arg, void* object, unsigned) {
        auto* const a = static_cast<Audit*>(arg);
        a->wrong += !a->check.is_packet(object);
      },
      &audit);
  if (audit.wrong != 0)
    return Error{fmt::format("{} packets lie where they are not expected", audit.wrong),
                 "report this with your DPDK version and --mbuf-size"};
  return pool;
}

PacketPool::~PacketPool() {
  if (pool_ == nullptr) return;
  // DPDK would go from packet to packet, by words that any process may have written over.
  STAILQ_INIT(&pool_->elt_list);
  rte_mempool_free(pool_);
}

std::uint32_t PacketPool::take_as_they_are(rte_mbuf** packets, std::uint32_t n) const noexcept {
  auto** const taken = reinterpret_cast<void**>(packets);
  if (const std::uint32_t n_taken = hb::take_as_they_are(pool_, taken, n); n_taken != 0)
    return n_taken;
  const rte_mempool_cache* const cache = rte_mempool_default_cache(pool_, rte_lcore_id());
  n = std::min(n, cache != nullptr ? cache->len : 0);
  return n != 0 && rte_mempool_get_bulk(pool_, taken, n) == 0 ? n : 0;
}

void PacketPool::put_as_they_are(rte_mbuf* const* packets, std::uint32_t n) const noexcept {
  hb::put_as_they_are(pool_, reinterpret_cast<void* const*>(packets), n);
}

}  // namespace hb
