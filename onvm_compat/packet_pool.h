// The pool that NFs know as MProc_pktmbuf_pool. It lies in the NF's own process: taking from it
// takes from the context's fill ring, giving back hands the packet to its holder's loop.
#pragma once

#include <rte_mempool.h>

#include "nf_lib/control_layout.h"

namespace hb::onvm {

/// @return nullptr and rte_errno on failure
rte_mempool* make_packet_pool(const PoolLayout& layout);

}  // namespace hb::onvm
