/* Sends what came in by port 0 out of port 1, and the other way round. */
#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "bridge"

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          __attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  meta->destination = pkt->port == 0 ? 1 : 0;
  meta->action = ONVM_NF_ACTION_OUT;
  return 0;
}

int main(int argc, char *argv[]) {
  int offset;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, NULL);
  table->pkt_handler = &packet_handler;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  return 0;
}
