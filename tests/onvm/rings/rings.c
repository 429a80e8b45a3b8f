/* Polls its rings itself. With -t it puts packets straight on tx_q, every second one to be dropped;
 * else it sends batches along the routes. */
#include "onvm_nflib.h"

#define NF_TAG "rings"

static volatile int keep_running = 1;

static void on_signal(int signal) {
  if (signal == SIGINT || signal == SIGTERM) keep_running = 0;
}

static void take_message(struct onvm_nf *nf) {
  void *object = NULL;
  if (rte_ring_dequeue(nf->msg_q, &object) != 0) return;
  if (((struct onvm_nf_msg *)object)->msg_type == MSG_STOP) keep_running = 0;
  rte_mempool_put(rte_mempool_lookup(_NF_MSG_POOL_NAME), object);
}

int main(int argc, char *argv[]) {
  int option, offset, by_tx_q = 0;
  uint64_t counter = 0;
  struct onvm_nf *nf;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();

  onvm_nflib_start_signal_handler(ctx, on_signal);
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, NULL)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "t")) != -1)
    if (option == 't') by_tx_q = 1;
  nf = ctx->nf;
  if (onvm_nflib_nf_ready(nf) != 0) rte_exit(EXIT_FAILURE, "not ready\n");
  while (keep_running && rte_atomic16_read(&ctx->keep_running)) {
    void *pkts[PACKET_READ_SIZE];
    unsigned i, n = rte_ring_dequeue_burst(nf->rx_q, pkts, PACKET_READ_SIZE, NULL);
    take_message(nf);
    if (n == 0) usleep(100);
    for (i = 0; i < n; ++i) {
      struct onvm_pkt_meta *meta = onvm_get_pkt_meta((struct rte_mbuf *)pkts[i]);
      meta->action = by_tx_q && ++counter % 2 == 0 ? ONVM_NF_ACTION_DROP : ONVM_NF_ACTION_NEXT;
    }
    if (by_tx_q) {
      if (n != 0 && rte_ring_enqueue_bulk(nf->tx_q, pkts, n, NULL) == 0) return 1;
    } else {
      onvm_pkt_process_tx_batch(nf->nf_tx_mgr, (struct rte_mbuf **)pkts, (uint16_t)n, nf);
      onvm_pkt_flush_all_nfs(nf->nf_tx_mgr, nf);
    }
  }
  onvm_nflib_stop(ctx);
  return 0;
}
