// onvm_compat_ports.h.
#define ONVM_COMPAT_IMPLEMENTATION
#include "onvm_compat/include/onvm_compat_ports.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "onvm_compat/include/onvm_pkt_common.h"
#include "onvm_compat/process.h"

extern "C" {

int onvm_compat_eth_dev_is_valid_port(uint16_t port) {
  return ports != nullptr && port < ports->num_ports;
}

uint16_t onvm_compat_eth_dev_count(void) { return ports != nullptr ? ports->num_ports : 0; }

uint16_t onvm_compat_eth_find_next_port(uint16_t port) {
  return onvm_compat_eth_dev_is_valid_port(port) ? port : RTE_MAX_ETHPORTS;
}

uint64_t onvm_compat_eth_find_next(uint16_t port, uint64_t /*owner*/) {
  return onvm_compat_eth_find_next_port(port);
}

int onvm_compat_eth_macaddr_get(uint16_t port, struct rte_ether_addr* mac) {
  if (!onvm_compat_eth_dev_is_valid_port(port)) return -ENODEV;
  if (mac == nullptr) return -EINVAL;
  *mac = ports->mac[port];
  return 0;
}

int onvm_compat_eth_stats_get(uint16_t port, struct rte_eth_stats* stats) {
  if (!onvm_compat_eth_dev_is_valid_port(port)) return -ENODEV;
  if (stats == nullptr) return -EINVAL;
  if (!hb::onvm::Process::get().refresh_ports()) return -EIO;
  memset(stats, 0, sizeof(*stats));
  stats->ipackets = ports->rx_stats.rx[port];
  stats->opackets = ports->tx_stats.tx[port];
  stats->oerrors = ports->tx_stats.tx_drop[port];
  return 0;
}

int onvm_compat_eth_stats_reset(uint16_t port) {
  return onvm_compat_eth_dev_is_valid_port(port) ? -ENOTSUP : -ENODEV;
}

int onvm_compat_eth_dev_info_get(uint16_t port, struct rte_eth_dev_info* info) {
  if (!onvm_compat_eth_dev_is_valid_port(port)) return -ENODEV;
  if (info == nullptr) return -EINVAL;
  memset(info, 0, sizeof(*info));
  info->driver_name = "hummingbird";
  info->min_mtu = RTE_ETHER_MIN_MTU;
  info->max_rx_pktlen = hb::onvm::Process::get().packets().check().pool().data_room;
  info->max_mtu = static_cast<uint16_t>(info->max_rx_pktlen - RTE_ETHER_HDR_LEN);
  info->max_rx_queues = info->max_tx_queues = info->nb_rx_queues = info->nb_tx_queues = 1;
  return 0;
}

int onvm_compat_eth_link_get(uint16_t port, struct rte_eth_link* link) {
  if (!onvm_compat_eth_dev_is_valid_port(port)) return -ENODEV;
  if (link == nullptr) return -EINVAL;
  memset(link, 0, sizeof(*link));
  link->link_speed = RTE_ETH_SPEED_NUM_UNKNOWN;
  link->link_duplex = RTE_ETH_LINK_FULL_DUPLEX;
  link->link_status = RTE_ETH_LINK_UP;
  return 0;
}

int onvm_compat_eth_promiscuous_get(uint16_t port) {
  return onvm_compat_eth_dev_is_valid_port(port) ? 1 : -1;
}

int onvm_compat_eth_dev_socket_id(uint16_t port) {
  return onvm_compat_eth_dev_is_valid_port(port) ? 0 : -1;
}

int onvm_compat_eth_dev_get_name_by_port(uint16_t port, char* name) {
  if (!onvm_compat_eth_dev_is_valid_port(port)) return -ENODEV;
  if (name == nullptr) return -EINVAL;
  const hb::Registry& registry = hb::onvm::Process::get().attachment().registry();
  snprintf(name, RTE_ETH_NAME_MAX_LEN, "%s", registry.ports[port].name);
  return 0;
}

}  // extern "C"
