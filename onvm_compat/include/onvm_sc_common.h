/* Service chains. Entries 1 to ONVM_MAX_CHAIN_LENGTH - 1 are used. */
#ifndef ONVM_SC_COMMON_H
#define ONVM_SC_COMMON_H

#include "onvm_common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What this process knows of NFs: its own instances, by instance id and by service. */
extern struct onvm_nf *nfs;
extern uint16_t **services;
extern uint16_t *nf_per_service_count;

/** @return an instance of this process that offers the service, by the packet's hash; 0: none */
uint16_t onvm_sc_service_to_nf_map(uint16_t service_id, struct rte_mbuf *pkt);
/** @return 0, or ENOSPC */
int onvm_sc_append_entry(struct onvm_service_chain *chain, uint8_t action, uint16_t destination);
/** @return 0, or -1 for an entry that is not there */
int onvm_sc_set_entry(struct onvm_service_chain *chain, int entry, uint8_t action,
                      uint16_t destination);
void onvm_sc_print(struct onvm_service_chain *chain);

/* What comes after chain_index; ONVM_NF_ACTION_DROP past the chain's end. */
static inline uint8_t onvm_next_action(struct onvm_service_chain *chain, uint16_t chain_index) {
  return chain_index < chain->chain_length && chain_index + 1 < ONVM_MAX_CHAIN_LENGTH
             ? chain->sc[chain_index + 1].action
             : (uint8_t)ONVM_NF_ACTION_DROP;
}
static inline uint16_t onvm_next_destination(struct onvm_service_chain *chain,
                                             uint16_t chain_index) {
  return chain_index < chain->chain_length && chain_index + 1 < ONVM_MAX_CHAIN_LENGTH
             ? chain->sc[chain_index + 1].destination
             : (uint16_t)0;
}
static inline uint8_t onvm_sc_next_action(struct onvm_service_chain *chain, struct rte_mbuf *pkt) {
  return onvm_next_action(chain, onvm_get_pkt_chain_index(pkt));
}
static inline uint16_t onvm_sc_next_destination(struct onvm_service_chain *chain,
                                                struct rte_mbuf *pkt) {
  return onvm_next_destination(chain, onvm_get_pkt_chain_index(pkt));
}

#ifdef __cplusplus
}
#endif

#endif /* ONVM_SC_COMMON_H */
