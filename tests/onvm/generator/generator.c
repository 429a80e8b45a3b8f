/* Makes -c packets in setup() and lets them go round through its own service; in user_actions it
 * makes -g more and sends them along the routes; then clones one of them. */
#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "generator"
#define PKTMBUF_POOL_NAME "MProc_pktmbuf_pool"
#define ROUND_BIT 6

static uint16_t own_service;
static uint32_t n_round = 128;
static uint32_t n_generate;
static uint64_t rounds;
static int failed;
static struct rte_mempool *pool;

static struct rte_mbuf *make_packet(void) {
  struct rte_mbuf *pkt = onvm_pkt_generate_udp_sample(pool);
  if (pkt != NULL && (!onvm_pkt_is_udp(pkt) || onvm_pkt_is_tcp(pkt))) failed = 1;
  return pkt;
}

static void setup(struct onvm_nf_local_ctx *ctx) {
  struct rte_mbuf *pkts[1024];
  uint32_t i;
  pool = rte_mempool_lookup(PKTMBUF_POOL_NAME);
  if (pool == NULL || n_round > RTE_DIM(pkts)) rte_exit(EXIT_FAILURE, "no pool\n");
  for (i = 0; i < n_round; ++i) {
    struct onvm_pkt_meta *meta;
    if ((pkts[i] = make_packet()) == NULL) rte_exit(EXIT_FAILURE, "packet %u is missing\n", i);
    meta = onvm_get_pkt_meta(pkts[i]);
    meta->action = ONVM_NF_ACTION_TONF;
    meta->destination = own_service;
    meta->flags = (uint8_t)ONVM_SET_BIT(0, ROUND_BIT);
  }
  if (n_round != 0) onvm_nflib_return_pkt_bulk(ctx->nf, pkts, (uint16_t)n_round);
}

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          struct onvm_nf_local_ctx *ctx) {
  if (ONVM_CHECK_BIT(meta->flags, ROUND_BIT)) {
    if (meta->src != ctx->nf->instance_id) failed = 1;
    ++rounds;
    meta->action = ONVM_NF_ACTION_TONF;
    meta->destination = own_service;
    return 0;
  }
  (void)pkt;
  meta->action = ONVM_NF_ACTION_NEXT;
  return 0;
}

static int user_actions(struct onvm_nf_local_ctx *ctx) {
  struct rte_mbuf *pkt, *clone;
  if (n_generate == 0 || (pkt = make_packet()) == NULL) return 0;
  --n_generate;
  onvm_get_pkt_meta(pkt)->action = ONVM_NF_ACTION_NEXT;
  if (n_generate == 0 && (clone = rte_pktmbuf_clone(pkt, pool)) != NULL) {
    onvm_get_pkt_meta(clone)->action = ONVM_NF_ACTION_NEXT;
    onvm_nflib_return_pkt(ctx->nf, clone);
  }
  onvm_nflib_return_pkt(ctx->nf, pkt);
  return 0;
}

int main(int argc, char *argv[]) {
  int option, offset;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, NULL);
  table->pkt_handler = &packet_handler;
  table->setup = &setup;
  table->user_actions = &user_actions;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  argc -= offset;
  argv += offset;
  own_service = ctx->nf->service_id;
  while ((option = getopt(argc, argv, "c:g:")) != -1) {
    if (option == 'c') n_round = (uint32_t)strtoul(optarg, NULL, 10);
    if (option == 'g') n_generate = (uint32_t)strtoul(optarg, NULL, 10);
  }
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  printf("rounds %" PRIu64 "\n", rounds);
  return failed;
}
