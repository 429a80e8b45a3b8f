#include "manager/free_packets.h"

#include <rte_errno.h>
#include <rte_ring.h>

#include <cstring>
#include <memory>

namespace hb {
namespace {

constexpr const char* kOpsName = "hb_rebuilt";

/// Made by keep_free_packets(), which DPDK lets name one pointer; the pool's from then on.
struct FreePackets {
  rte_ring* ring = nullptr;
  RebuildPackets rebuild;
  const void* owner;
};

FreePackets& of(const rte_mempool* pool) noexcept {
  return *static_cast<FreePackets*>(pool->pool_config);
}

int make(rte_mempool* pool) {
  of(pool).ring = rte_ring_create(pool->name, rte_align32pow2(pool->size + 1), pool->socket_id, 0);
  return of(pool).ring != nullptr ? 0 : -rte_errno;
}

void end(rte_mempool* pool) {
  const std::unique_ptr<FreePackets> free(&of(pool));
  rte_ring_free(free->ring);
}

int put(rte_mempool* pool, void* const* packets, unsigned n) {
  return rte_ring_mp_enqueue_bulk(of(pool).ring, packets, n, nullptr) == n ? 0 : -ENOBUFS;
}

int take(rte_mempool* pool, void** packets, unsigned n) {
  const FreePackets& free = of(pool);
  if (rte_ring_mc_dequeue_bulk(free.ring, packets, n, nullptr) != n) return -ENOBUFS;
  free.rebuild(free.owner, packets, n);
  return 0;
}

unsigned count(const rte_mempool* pool) { return rte_ring_count(of(pool).ring); }

bool register_ops() {
  rte_mempool_ops ops{};
  std::strcpy(ops.name, kOpsName);
  ops.alloc = make;
  ops.free = end;
  ops.enqueue = put;
  ops.dequeue = take;
  ops.get_count = count;
  return rte_mempool_register_ops(&ops) >= 0;  // it keeps a copy
}

}  // namespace

unsigned take_as_they_are(const rte_mempool* pool, void** packets, unsigned n) noexcept {
  return rte_ring_mc_dequeue_burst(of(pool).ring, packets, n, nullptr);
}

void put_as_they_are(const rte_mempool* pool, void* const* packets, unsigned n) noexcept {
  rte_ring_mp_enqueue_bulk(of(pool).ring, packets, n, nullptr);  // it holds the whole pool
}

Result<void> keep_free_packets(rte_mempool* pool, RebuildPackets rebuild, const void* owner) {
  static const bool registered = register_ops();
  auto free = std::make_unique<FreePackets>();
  free->rebuild = rebuild;
  free->owner = owner;
  if (!registered || rte_mempool_set_ops_byname(pool, kOpsName, free.get()) != 0)
    return Error{"DPDK takes no more kinds of packet pools", "report this with your DPDK version"};
  free.release();  // end() deletes it
  return {};
}

}  // namespace hb
