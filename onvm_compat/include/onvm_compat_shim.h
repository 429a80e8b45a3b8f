/* Included before everything else (-include, in hummingbird-onvm.pc's Cflags): lets sources that
 * were written for DPDK 20.05 compile with 22.11, sends what needs the manager's ports there, and
 * ends the process by exit() alone.
 */
#ifndef ONVM_COMPAT_SHIM_H
#define ONVM_COMPAT_SHIM_H

/* Including libc headers here would freeze the feature macros. Empty, so that a source's own
 * "#define _GNU_SOURCE" is the same definition. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

/* DPDK 21.11 renamed d_addr and s_addr to dst_addr and src_addr. Both names work here. A macro for
 * the members would hit in_addr.s_addr too, so the struct is replaced. */
#define rte_ether_hdr hb_dpdk_ether_hdr
#include <rte_ether.h>
#undef rte_ether_hdr

struct rte_ether_hdr {
  __extension__ union {
    struct rte_ether_addr dst_addr; /**< destination */
    struct rte_ether_addr d_addr;   /**< its name until DPDK 21.08 */
  };
  __extension__ union {
    struct rte_ether_addr src_addr; /**< source */
    struct rte_ether_addr s_addr;   /**< its name until DPDK 21.08 */
  };
  rte_be16_t ether_type; /**< of what follows */
} __rte_aligned(2);

#ifdef __cplusplus
static_assert(sizeof(struct rte_ether_hdr) == 14, "an Ethernet header has 14 bytes");
#else
_Static_assert(sizeof(struct rte_ether_hdr) == 14, "an Ethernet header has 14 bytes");
#endif

#include "onvm_compat_exit.h"
#include "onvm_compat_ports.h"

#endif /* ONVM_COMPAT_SHIM_H */
