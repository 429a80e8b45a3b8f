#include "onvm_compat/packet_pool.h"

#include <rte_errno.h>
#include <rte_mbuf.h>

#include "onvm_compat/include/onvm_common.h"
#include "onvm_compat/process.h"

namespace hb::onvm {
namespace {

int pool_alloc(rte_mempool* /*pool*/) { return 0; }
void pool_free(rte_mempool* /*pool*/) {}

int pool_enqueue(rte_mempool* /*pool*/, void* const* objects, unsigned n) {
  for (unsigned i = 0; i < n; ++i) Process::get().give_back(static_cast<rte_mbuf*>(objects[i]));
  return 0;
}

int pool_dequeue(rte_mempool* /*pool*/, void** objects, unsigned n) {
  return Process::get().allocate(reinterpret_cast<rte_mbuf**>(objects), n) ? 0 : -ENOENT;
}

unsigned pool_count(const rte_mempool* /*pool*/) { return Process::get().n_allocatable(); }

constexpr const char* kOpsName = "hummingbird";

int register_ops() {
  rte_mempool_ops ops{};
  std::snprintf(ops.name, sizeof(ops.name), "%s", kOpsName);
  ops.alloc = pool_alloc;
  ops.free = pool_free;
  ops.enqueue = pool_enqueue;
  ops.dequeue = pool_dequeue;
  ops.get_count = pool_count;
  return rte_mempool_register_ops(&ops);
}

}  // namespace

rte_mempool* make_packet_pool(const PoolLayout& layout) {
  if (register_ops() < 0) return nullptr;
  const std::uint32_t element = layout.mbuf_bytes + layout.headroom + layout.data_room;
  // Never populated: its objects are the platform's.
  rte_mempool* const pool =
      rte_mempool_create_empty(PKTMBUF_POOL_NAME, layout.size, element, 0,
                               sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, 0);
  if (pool == nullptr) return nullptr;
  if (rte_mempool_set_ops_byname(pool, kOpsName, nullptr) != 0) {
    rte_mempool_free(pool);
    return nullptr;
  }
  rte_pktmbuf_pool_private priv{};
  priv.mbuf_data_room_size = static_cast<std::uint16_t>(layout.headroom + layout.data_room);
  rte_pktmbuf_pool_init(pool, &priv);
  return pool;
}

}  // namespace hb::onvm
