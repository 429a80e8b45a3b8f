/* Runs -n children of its own service beside itself; each counts what it has seen. */
#include "onvm_nflib.h"

#define NF_TAG "scaler"

uint8_t ONVM_NF_SHARE_CORES;

static uint32_t n_children = 1;

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          struct onvm_nf_local_ctx *ctx) {
  (void)pkt;
  if (ctx->nf->data != NULL) ++*(uint64_t *)ctx->nf->data;
  meta->action = ONVM_NF_ACTION_NEXT;
  return 0;
}

static void setup(struct onvm_nf_local_ctx *ctx) {
  uint32_t i;
  if (ctx->nf->thread_info.parent != 0) return;
  for (i = 0; i < n_children; ++i) {
    void *data = rte_zmalloc(NULL, sizeof(uint64_t), 0);
    struct onvm_nf_scale_info *info = onvm_nflib_inherit_parent_config(ctx->nf, data);
    if (onvm_nflib_scale(info) != 0) rte_exit(EXIT_FAILURE, "no child\n");
  }
}

int main(int argc, char *argv[]) {
  int option, offset;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, NULL);
  table->pkt_handler = &packet_handler;
  table->setup = &setup;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  ONVM_NF_SHARE_CORES = onvm_nflib_get_onvm_config()->flags.ONVM_NF_SHARE_CORES;
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "n:")) != -1)
    if (option == 'n') n_children = (uint32_t)strtoul(optarg, NULL, 10);
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  return 0;
}
