/* Batches of packets of an NF that polls its rings itself. */
#ifndef ONVM_PKT_COMMON_H
#define ONVM_PKT_COMMON_H

#include "onvm_common.h"

#ifdef __cplusplus
extern "C" {
#endif

extern struct port_info *ports;
extern struct onvm_service_chain *default_chain;

/** Sends a batch on, each packet by its meta. @param pkts  pkts[n], no longer the caller's */
void onvm_pkt_process_tx_batch(struct queue_mgr *tx_mgr, struct rte_mbuf *pkts[], uint16_t n,
                               struct onvm_nf *nf);
/** Nothing is left behind by onvm_pkt_process_tx_batch here: does nothing. */
void onvm_pkt_flush_all_nfs(struct queue_mgr *tx_mgr, struct onvm_nf *nf);
void onvm_pkt_flush_nf_queue(struct queue_mgr *tx_mgr, uint16_t nf_id, struct onvm_nf *nf);
/** Sends one packet to a service. */
void onvm_pkt_enqueue_nf(struct queue_mgr *tx_mgr, uint16_t service, struct rte_mbuf *pkt,
                         struct onvm_nf *nf);
void onvm_pkt_flush_port_queue(struct queue_mgr *tx_mgr, uint16_t port);
/** Sends what lies in buf. */
void onvm_pkt_enqueue_tx_thread(struct packet_buf *buf, struct onvm_nf *nf);

#ifdef __cplusplus
}
#endif

#endif /* ONVM_PKT_COMMON_H */
