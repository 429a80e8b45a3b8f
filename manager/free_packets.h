// The pool's free packets: DPDK's ring of them, in the manager's private memory.
#pragma once

#include <rte_mempool.h>

#include "nf_lib/result.h"

namespace hb {

/// What is done to the n packets, rte_mbufs, that are taken from the ring, by the pool's owner.
using RebuildPackets = void (*)(const void* owner, void* const* packets, unsigned n);

/// Makes the pool, which is still empty, keep its free packets in a ring from which each comes
/// rebuilt: while it lay there, any process could write to its header, and drivers believe it. From
/// there they come into the caches of the threads that use them, some hundred at a time.
/// @param owner  given to rebuild; must live as long as the pool
Result<void> keep_free_packets(rte_mempool* pool, RebuildPackets rebuild, const void* owner);

/// Takes up to n packets of such a pool past all caches, as they are: whoever takes them rebuilds
/// them. Any thread.
/// @return how many
unsigned take_as_they_are(const rte_mempool* pool, void** packets, unsigned n) noexcept;
/// Puts packets back past all caches; what they look like does not matter. Any thread.
void put_as_they_are(const rte_mempool* pool, void* const* packets, unsigned n) noexcept;

}  // namespace hb
