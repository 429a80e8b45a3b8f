/* Drops every -n th packet (all by default): with -f by rte_pktmbuf_free, else by its action. With
 * -k it keeps packets that many passes of the loop first. The rest goes on along the routes. */
#include "onvm_nflib.h"

#define NF_TAG "sink"
#define MAX_KEPT 512

static uint32_t every = 1;
static int by_free;
static uint32_t keep_passes;

static struct {
  struct rte_mbuf *pkt;
  uint32_t passes;
} kept[MAX_KEPT];
static uint32_t n_kept;

static void let_go(struct onvm_nf *nf, struct rte_mbuf *pkt) {
  if (by_free && onvm_get_pkt_meta(pkt)->action == ONVM_NF_ACTION_DROP)
    rte_pktmbuf_free(pkt);
  else
    onvm_nflib_return_pkt(nf, pkt);
}

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          struct onvm_nf_local_ctx *ctx) {
  static uint32_t counter = 0;
  const int drops = ++counter % every == 0;
  meta->action = drops ? ONVM_NF_ACTION_DROP : ONVM_NF_ACTION_NEXT;
  if (keep_passes != 0 && n_kept < MAX_KEPT) {
    kept[n_kept].pkt = pkt;
    kept[n_kept++].passes = keep_passes;
    return 1;
  }
  if (keep_passes != 0 || (drops && by_free)) {
    let_go(ctx->nf, pkt);
    return 1;
  }
  return 0;
}

static int user_actions(struct onvm_nf_local_ctx *ctx) {
  uint32_t i, left = 0;
  for (i = 0; i < n_kept; ++i) {
    if (--kept[i].passes == 0)
      let_go(ctx->nf, kept[i].pkt);
    else
      kept[left++] = kept[i];
  }
  n_kept = left;
  return 0;
}

int main(int argc, char *argv[]) {
  int option, offset;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, NULL);
  table->pkt_handler = &packet_handler;
  table->user_actions = &user_actions;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "n:fk:")) != -1) {
    if (option == 'n') every = (uint32_t)strtoul(optarg, NULL, 10);
    if (option == 'f') by_free = 1;
    if (option == 'k') keep_passes = (uint32_t)strtoul(optarg, NULL, 10);
  }
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  return 0;
}
