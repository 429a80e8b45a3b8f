/* The flow director: service chains of single flows. OpenNetVM NFs of one manager see each other's
 * chains. Any thread may call its functions. Who reads and changes one entry in several threads
 * synchronises that himself, and so does who uses sdn_ft without these functions.
 */
#ifndef ONVM_FLOW_DIR_H
#define ONVM_FLOW_DIR_H

#include "onvm_common.h"
#include "onvm_flow_table.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SDN_FT_ENTRIES 1024

struct onvm_flow_entry {
  struct onvm_ft_ipv4_5tuple *key;
  struct onvm_service_chain *sc;
  uint64_t ref_cnt;
  uint16_t idle_timeout; /**< timeouts are kept, and never acted on */
  uint16_t hard_timeout;
  uint64_t packet_count;
  uint64_t byte_count;
};

/** This process' view of the director; NULL before onvm_flow_dir_nf_init. */
extern struct onvm_ft *sdn_ft;
extern struct onvm_ft **sdn_ft_p;

/** The manager's part in OpenNetVM: the same as onvm_flow_dir_nf_init here. */
int onvm_flow_dir_init(void);
/** @return 0, or negative */
int onvm_flow_dir_nf_init(void);

/* Return codes as those of onvm_flow_table.h. An added entry is zeroed; the NF fills it in. */
int onvm_flow_dir_get_pkt(struct rte_mbuf *pkt, struct onvm_flow_entry **entry);
int onvm_flow_dir_add_pkt(struct rte_mbuf *pkt, struct onvm_flow_entry **entry);
int onvm_flow_dir_del_pkt(struct rte_mbuf *pkt);
/** Also rte_free's the entry's key and, with its last user, its chain. */
int onvm_flow_dir_del_and_free_pkt(struct rte_mbuf *pkt);
int onvm_flow_dir_get_key(struct onvm_ft_ipv4_5tuple *key, struct onvm_flow_entry **entry);
int onvm_flow_dir_add_key(struct onvm_ft_ipv4_5tuple *key, struct onvm_flow_entry **entry);
int onvm_flow_dir_del_key(struct onvm_ft_ipv4_5tuple *key);
int onvm_flow_dir_del_and_free_key(struct onvm_ft_ipv4_5tuple *key);

#ifdef __cplusplus
}
#endif

#endif /* ONVM_FLOW_DIR_H */
