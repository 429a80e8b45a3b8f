#include "manager/flow_memory.h"

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace hb {
namespace {

constexpr const char* kHeapName = "hb_flows";
constexpr std::size_t kPageBytes = std::size_t{2} << 20;

}  // namespace

Result<std::unique_ptr<FlowMemory>> FlowMemory::create(std::size_t bytes) {
  std::unique_ptr<FlowMemory> memory(new FlowMemory);
  const std::size_t n_pages = (bytes + kPageBytes - 1) / kPageBytes;
  memory->bytes_ = n_pages * kPageBytes;
  memory->mapped_bytes_ = memory->bytes_ + kPageBytes;
  void* const mapping = mmap(nullptr, memory->mapped_bytes_, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED)
    return Error{fmt::format("{} MiB for flow rules can't be mapped: {}", memory->bytes_ >> 20,
                             std::strerror(errno)),
                 "free memory, or use a smaller --flow-memory"};
  memory->mapping_ = mapping;
  const auto address = reinterpret_cast<std::uintptr_t>(mapping);
  auto* const base = reinterpret_cast<char*>((address + kPageBytes - 1) / kPageBytes * kPageBytes);
  if (rte_malloc_heap_create(kHeapName) != 0 ||
      rte_malloc_heap_memory_add(kHeapName, base, memory->bytes_, nullptr,
                                 static_cast<unsigned>(n_pages), kPageBytes) != 0)
    return Error{fmt::format("{} MiB for flow rules can't be given to DPDK as a heap: {}",
                             memory->bytes_ >> 20, rte_strerror(rte_errno)),
                 "use a smaller --flow-memory"};
  memory->base_ = base;
  memory->socket_id_ = rte_malloc_heap_get_socket(kHeapName);
  // DPDK has zeroed it all. What lies between the heap's first and last words is given back to the
  // system, and reads as zeros when it is used.
  if (n_pages > 2) madvise(base + kPageBytes, memory->bytes_ - 2 * kPageBytes, MADV_DONTNEED);
  return memory;
}

FlowMemory::~FlowMemory() {
  if (base_ != nullptr) {
    rte_malloc_heap_memory_remove(kHeapName, base_, bytes_);
    rte_malloc_heap_destroy(kHeapName);
  }
  if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
}

}  // namespace hb
