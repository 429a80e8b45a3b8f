/* An NF's own DPDK has no ports: they are the manager's. What NFs ask of a port is answered from
 * what the manager publishes. Each function is as its namesake in rte_ethdev.h, for the platform's
 * port numbers; any thread may call it.
 */
#ifndef ONVM_COMPAT_PORTS_H
#define ONVM_COMPAT_PORTS_H

#include <rte_ethdev.h>

#ifdef __cplusplus
extern "C" {
#endif

int onvm_compat_eth_dev_is_valid_port(uint16_t port);
uint16_t onvm_compat_eth_dev_count(void);
/** The next port from `port` on; RTE_MAX_ETHPORTS after the last. */
uint64_t onvm_compat_eth_find_next(uint16_t port, uint64_t owner);
uint16_t onvm_compat_eth_find_next_port(uint16_t port);
/** 0, -ENODEV, or -EINVAL without a place for the address. */
int onvm_compat_eth_macaddr_get(uint16_t port, struct rte_ether_addr *mac);
/** Asks the manager, which takes a round trip: 0, -ENODEV, -EINVAL, or -EIO if it is gone. */
int onvm_compat_eth_stats_get(uint16_t port, struct rte_eth_stats *stats);
/** Counters are the manager's, which never resets them: -ENOTSUP, or -ENODEV. */
int onvm_compat_eth_stats_reset(uint16_t port);
/** What is known: MTU bounds, one queue each way, no offloads. */
int onvm_compat_eth_dev_info_get(uint16_t port, struct rte_eth_dev_info *info);
/** Up, full duplex, speed unknown. */
int onvm_compat_eth_link_get(uint16_t port, struct rte_eth_link *link);
/** Ports receive whatever arrives: 1, or -1 for no such port. */
int onvm_compat_eth_promiscuous_get(uint16_t port);
int onvm_compat_eth_dev_socket_id(uint16_t port);
int onvm_compat_eth_dev_get_name_by_port(uint16_t port, char *name);

#ifdef __cplusplus
}
#endif

#ifndef ONVM_COMPAT_IMPLEMENTATION
#define rte_eth_dev_is_valid_port onvm_compat_eth_dev_is_valid_port
#define rte_eth_dev_count_avail onvm_compat_eth_dev_count
#define rte_eth_dev_count_total onvm_compat_eth_dev_count
#define rte_eth_find_next onvm_compat_eth_find_next_port
#define rte_eth_find_next_owned_by onvm_compat_eth_find_next
#define rte_eth_macaddr_get onvm_compat_eth_macaddr_get
#define rte_eth_stats_get onvm_compat_eth_stats_get
#define rte_eth_stats_reset onvm_compat_eth_stats_reset
#define rte_eth_dev_info_get onvm_compat_eth_dev_info_get
#define rte_eth_link_get onvm_compat_eth_link_get
#define rte_eth_link_get_nowait onvm_compat_eth_link_get
#define rte_eth_promiscuous_get onvm_compat_eth_promiscuous_get
#define rte_eth_dev_socket_id onvm_compat_eth_dev_socket_id
#define rte_eth_dev_get_name_by_port onvm_compat_eth_dev_get_name_by_port
#endif

#endif /* ONVM_COMPAT_PORTS_H */
