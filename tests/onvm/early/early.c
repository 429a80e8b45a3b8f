/* What NFs do between onvm_nflib_init and onvm_nflib_run: -a allocates so many packets there, one by
 * one, and sends them out of port 0; -f allocates and frees so many. With -w it waits there for a
 * signal, with -x it ends without having run. -q: it has no packet handler, and ends itself after
 * -n passes of its user actions; -t: not even a function table, which onvm_nflib_run refuses. */
#include <unistd.h>

#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "early"
#define RTE_LOGTYPE_EARLY RTE_LOGTYPE_USER3
#define MAX_PKTS 1024

static struct rte_mbuf *pkts[MAX_PKTS];
static unsigned long passes, max_passes;

static int packet_handler(__attribute__((unused)) struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          __attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  meta->action = ONVM_NF_ACTION_NEXT;
  return 0;
}

static int user_actions(__attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  return max_passes != 0 && ++passes == max_passes;
}

static void on_signal(__attribute__((unused)) int signal) {}

static struct rte_mbuf *allocate(struct rte_mempool *pool) {
  struct rte_mbuf *const pkt = rte_pktmbuf_alloc(pool);
  if (pkt == NULL) rte_exit(EXIT_FAILURE, "no packet before it runs\n");
  return pkt;
}

int main(int argc, char *argv[]) {
  int option, offset, ran, waits = 0, ends = 0, no_handler = 0, no_table = 0;
  unsigned long i, n_allocated = 0, n_freed = 0;
  struct rte_mempool *pool;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, on_signal);
  table->user_actions = &user_actions;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "a:f:n:wxqt")) != -1) {
    if (option == 'a') n_allocated = strtoul(optarg, NULL, 10);
    if (option == 'f') n_freed = strtoul(optarg, NULL, 10);
    if (option == 'n') max_passes = strtoul(optarg, NULL, 10);
    if (option == 'w') waits = 1;
    if (option == 'x') ends = 1;
    if (option == 'q') no_handler = 1;
    if (option == 't') no_table = 1;
  }
  if (!no_handler) table->pkt_handler = &packet_handler;
  if (no_table) {
    free(table);
    ctx->nf->function_table = NULL;
  }
  pool = rte_mempool_lookup(PKTMBUF_POOL_NAME);
  for (i = 0; i < n_freed; ++i) rte_pktmbuf_free(allocate(pool));
  for (i = 0; i < n_allocated && i < MAX_PKTS; ++i) {
    pkts[i] = allocate(pool);
    memset(rte_pktmbuf_append(pkts[i], 60), (int)i, 60);
    onvm_get_pkt_meta(pkts[i])->action = ONVM_NF_ACTION_OUT;
    onvm_get_pkt_meta(pkts[i])->destination = 0;
  }
  RTE_LOG(INFO, EARLY, "early has %lu packets\n", i);
  RTE_LOG(ERR, USER8, "and words of another type\n");
  RTE_LOG(DEBUG, USER8, "and some that nobody has asked for\n");
  printf("early waits\n");
  fflush(stdout);
  while (waits) pause();
  if (i != 0) onvm_nflib_return_pkt_bulk(ctx->nf, pkts, (uint16_t)i);
  ran = ends ? 0 : onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  printf("early ran: %d, passes %lu\n", ran, passes);
  return 0;
}
