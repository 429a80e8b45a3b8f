/* A table of flows: IPv4 5-tuple to the NF's own data. Lies in the NF's own memory. One writer. */
#ifndef ONVM_FLOW_TABLE_H
#define ONVM_FLOW_TABLE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_jhash.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "onvm_pkt_helper.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DEFAULT_HASH_FUNC rte_hash_crc

/** 6d 5a twenty times: with it both directions of a flow have one hash. */
extern uint8_t rss_symmetric_key[40];

/** All in network byte order. 16 bytes; those behind proto are 0 in a key that is looked up. */
struct onvm_ft_ipv4_5tuple {
  uint32_t src_addr;
  uint32_t dst_addr;
  uint16_t src_port;
  uint16_t dst_port;
  uint8_t proto;
};

struct onvm_ft {
  struct rte_hash *hash;
  char *data; /**< cnt entries of entry_size bytes, by the hash's index */
  int cnt;
  int entry_size;
};

/** @return NULL on failure */
struct onvm_ft *onvm_ft_create(int cnt, int entry_size);
void onvm_ft_free(struct onvm_ft *table);

/* Of a packet, or of a key. Both find the same entry.
 * @return the entry's index; -EPROTONOSUPPORT: not IPv4; -EINVAL; -ENOSPC or -ENOENT */
int onvm_ft_add_pkt(struct onvm_ft *table, struct rte_mbuf *pkt, char **data);
int onvm_ft_lookup_pkt(struct onvm_ft *table, struct rte_mbuf *pkt, char **data);
int32_t onvm_ft_remove_pkt(struct onvm_ft *table, struct rte_mbuf *pkt);
int onvm_ft_add_key(struct onvm_ft *table, struct onvm_ft_ipv4_5tuple *key, char **data);
int onvm_ft_lookup_key(struct onvm_ft *table, struct onvm_ft_ipv4_5tuple *key, char **data);
int32_t onvm_ft_remove_key(struct onvm_ft *table, struct onvm_ft_ipv4_5tuple *key);
/** @param next  where to go on; 0 at first. @return the entry's index, -ENOENT after the last */
int32_t onvm_ft_iterate(struct onvm_ft *table, const void **key, void **data, uint32_t *next);

/** The Toeplitz hash of the key with rss_symmetric_key; hash.rss of its packets is the same. */
uint32_t onvm_softrss(struct onvm_ft_ipv4_5tuple *key);
/** rte_hash_function over a struct onvm_ft_ipv4_5tuple. */
uint32_t onvm_ft_ipv4_hash_crc(const void *data, uint32_t bytes, uint32_t init);
void _onvm_ft_print_key(struct onvm_ft_ipv4_5tuple *key);

static inline char *onvm_ft_get_data(struct onvm_ft *table, int32_t index) {
  return &table->data[(size_t)index * (size_t)table->entry_size];
}

/** @return 0, or -EPROTONOSUPPORT. Ports are 0 unless it is TCP or UDP. */
static inline int onvm_ft_fill_key(struct onvm_ft_ipv4_5tuple *key, struct rte_mbuf *pkt) {
  const struct rte_ipv4_hdr *const ip = onvm_pkt_ipv4_hdr(pkt);
  memset(key, 0, sizeof(*key));
  if (ip == NULL) return -EPROTONOSUPPORT;
  key->proto = ip->next_proto_id;
  key->src_addr = ip->src_addr;
  key->dst_addr = ip->dst_addr;
  if (key->proto == IP_PROTOCOL_TCP) {
    const struct rte_tcp_hdr *const tcp = onvm_pkt_tcp_hdr(pkt);
    if (tcp != NULL) {
      key->src_port = tcp->src_port;
      key->dst_port = tcp->dst_port;
    }
  } else if (key->proto == IP_PROTOCOL_UDP) {
    const struct rte_udp_hdr *const udp = onvm_pkt_udp_hdr(pkt);
    if (udp != NULL) {
      key->src_port = udp->src_port;
      key->dst_port = udp->dst_port;
    }
  }
  return 0;
}

/** One key for both directions: of the addresses, and of the ports, the larger is the source's. */
static inline int onvm_ft_fill_key_symmetric(struct onvm_ft_ipv4_5tuple *key,
                                             struct rte_mbuf *pkt) {
  if (onvm_ft_fill_key(key, pkt) < 0) return -EPROTONOSUPPORT;
  if (key->dst_addr > key->src_addr) {
    const uint32_t addr = key->src_addr;
    key->src_addr = key->dst_addr;
    key->dst_addr = addr;
  }
  if (key->dst_port > key->src_port) {
    const uint16_t port = key->src_port;
    key->src_port = key->dst_port;
    key->dst_port = port;
  }
  return 0;
}

#ifdef __cplusplus
}
#endif

#endif /* ONVM_FLOW_TABLE_H */
