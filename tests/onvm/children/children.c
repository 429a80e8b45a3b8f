/* Runs -n more NFs, of service -d, beside itself: by onvm_nflib_scale with one function table for
 * all, or with -a as threads that poll their rings. The parent sends all its packets to them. */
#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "children"

static uint8_t keep_running = 1;
static uint16_t n_children = 1, child_service = 2;
static int polls;
static rte_atomic64_t n_by_children;
static rte_atomic16_t n_setups, n_threads;

struct thread {
  struct onvm_nf *parent;
};

static void on_signal(int signal) {
  if (signal == SIGINT || signal == SIGTERM) keep_running = 0;
}

static int child_handler(__attribute__((unused)) struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                         struct onvm_nf_local_ctx *ctx) {
  ++*(uint64_t *)ctx->nf->data;
  rte_atomic64_inc(&n_by_children);
  meta->action = ONVM_NF_ACTION_NEXT;
  return 0;
}

static void child_setup(struct onvm_nf_local_ctx *ctx) {
  if (ctx->nf->thread_info.parent == 0) rte_exit(EXIT_FAILURE, "a child without a parent\n");
  rte_atomic16_inc(&n_setups);
}

static int parent_handler(__attribute__((unused)) struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          __attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  meta->action = ONVM_NF_ACTION_TONF;
  meta->destination = child_service;
  return 0;
}

/* A child that polls: it says that it is ready, works, takes MSG_STOP, and ends by itself. */
static void *poll_rings(void *arg) {
  struct thread *thread = arg;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_init_cfg *cfg = onvm_nflib_init_nf_init_cfg(NF_TAG "-poll");
  struct onvm_nf *nf;
  cfg->service_id = child_service;
  if (onvm_nflib_start_nf(ctx, cfg) < 0) rte_exit(EXIT_FAILURE, "no child\n");
  nf = ctx->nf;
  nf->thread_info.parent = thread->parent->instance_id;
  onvm_threading_core_affinitize(nf->thread_info.core);
  if (onvm_nflib_nf_ready(nf) != 0) rte_exit(EXIT_FAILURE, "not ready\n");
  rte_atomic16_inc(&n_setups);
  while (keep_running && rte_atomic16_read(&ctx->keep_running)) {
    void *pkts[PACKET_READ_SIZE];
    struct onvm_nf_msg *msg;
    uint16_t i, n;
    if (onvm_nflib_get_onvm_config()->flags.ONVM_NF_SHARE_CORES &&
        rte_ring_count(nf->rx_q) == 0 && rte_ring_count(nf->msg_q) == 0) {
      rte_atomic16_set(nf->shared_core.sleep_state, 1);
      sem_wait(nf->shared_core.nf_mutex);
    }
    n = (uint16_t)rte_ring_dequeue_burst(nf->rx_q, pkts, PACKET_READ_SIZE, NULL);
    if (rte_ring_dequeue(nf->msg_q, (void **)&msg) == 0) {
      if (msg->msg_type == MSG_STOP) keep_running = 0;
      rte_mempool_put(rte_mempool_lookup(_NF_MSG_POOL_NAME), msg);
    }
    for (i = 0; i < n; ++i) onvm_get_pkt_meta((struct rte_mbuf *)pkts[i])->action = ONVM_NF_ACTION_NEXT;
    rte_atomic64_add(&n_by_children, n);
    onvm_pkt_process_tx_batch(nf->nf_tx_mgr, (struct rte_mbuf **)pkts, n, nf);
    onvm_pkt_flush_all_nfs(nf->nf_tx_mgr, nf);
    if (n == 0) usleep(100);
  }
  onvm_nflib_stop(ctx);
  rte_atomic16_dec(&thread->parent->thread_info.children_cnt);
  rte_atomic16_dec(&n_threads);
  free(thread);
  return NULL;
}

static void start_polling_child(struct onvm_nf *nf) {
  pthread_t id;
  struct thread *thread = malloc(sizeof(*thread));
  thread->parent = nf;
  rte_atomic16_inc(&nf->thread_info.children_cnt);
  rte_atomic16_inc(&n_threads);
  if (pthread_create(&id, NULL, poll_rings, thread) != 0) rte_exit(EXIT_FAILURE, "no thread\n");
  pthread_detach(id);
}

/* All children have the same table, and the configuration that an empty one begins with. */
static void start_scaled_child(struct onvm_nf *nf, struct onvm_nf_function_table *table) {
  struct onvm_nf_scale_info *info = onvm_nflib_get_empty_scaling_config(nf);
  if (strcmp(info->nf_init_cfg->tag, nf->tag) != 0) rte_exit(EXIT_FAILURE, "another tag\n");
  info->nf_init_cfg->service_id = child_service;
  info->nf_init_cfg->init_options = ONVM_SET_BIT(0, SHARE_CORE_BIT);
  info->data = rte_zmalloc("data", sizeof(uint64_t), 0);
  info->function_table = table;
  if (onvm_nflib_scale(info) != 0) rte_exit(EXIT_FAILURE, "no child\n");
}

static void setup(struct onvm_nf_local_ctx *ctx) {
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();
  uint16_t i;
  table->pkt_handler = &child_handler;
  table->setup = &child_setup;
  for (i = 0; i < n_children; ++i) {
    if (polls)
      start_polling_child(ctx->nf);
    else
      start_scaled_child(ctx->nf, table);
  }
}

int main(int argc, char *argv[]) {
  int option, offset;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, on_signal);
  table->pkt_handler = &parent_handler;
  table->setup = &setup;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "d:n:a")) != -1) {
    if (option == 'd') child_service = (uint16_t)strtoul(optarg, NULL, 10);
    if (option == 'n') n_children = (uint16_t)strtoul(optarg, NULL, 10);
    if (option == 'a') polls = 1;
  }
  onvm_nflib_run(ctx);
  keep_running = 0;
  onvm_nflib_stop(ctx);
  while (rte_atomic16_read(&n_threads) != 0) usleep(1000);
  printf("children %d, packets %" PRId64 "\n", rte_atomic16_read(&n_setups),
         rte_atomic64_read(&n_by_children));
  return rte_atomic16_read(&n_setups) != n_children;
}
