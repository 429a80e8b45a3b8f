/* Sends -n numbered messages to service -d, and counts those that come in order. Ends when it has
 * sent its own and has received -e. With -q, where nobody else sends, it fills its queue first. */
#include "onvm_nflib.h"

#define NF_TAG "messages"

static uint16_t destination;
static uint32_t to_send, expected, sent, received;
static int failed, checks_queue;

static void msg_handler(void *data, struct onvm_nf_local_ctx *ctx) {
  (void)ctx;
  if (*(uint32_t *)data != received) failed = 1;
  ++received;
  rte_free(data);
}

static int user_actions(struct onvm_nf_local_ctx *ctx) {
  (void)ctx;
  if (sent < to_send) {
    uint32_t *number = rte_malloc(NULL, sizeof(*number), 0);
    *number = sent;
    if (onvm_nflib_send_msg_to_nf(destination, number) == 0)
      ++sent;
    else
      rte_free(number);
  }
  return sent == to_send && received == expected;
}

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          struct onvm_nf_local_ctx *ctx) {
  (void)pkt;
  (void)ctx;
  meta->action = ONVM_NF_ACTION_NEXT;
  return 0;
}

/* A full queue takes no more, and every object comes back. */
static void check_queue(struct onvm_nf_local_ctx *ctx) {
  struct rte_mempool *pool = rte_mempool_lookup(_NF_MSG_POOL_NAME);
  const unsigned room = rte_ring_get_size(ctx->nf->msg_q) - 1;
  const unsigned before = rte_mempool_avail_count(pool);
  unsigned i, taken = 0;
  if (!checks_queue) return;
  for (i = 0; i < room + 3; ++i) {
    void *data = rte_malloc(NULL, 8, 0);
    if (onvm_nflib_send_msg_to_nf(ctx->nf->service_id, data) == 0)
      ++taken;
    else
      rte_free(data);
  }
  if (taken != room || before - rte_mempool_avail_count(pool) != room) failed = 1;
  for (i = 0; i < taken; ++i) {
    void *msg = NULL;
    if (rte_ring_dequeue(ctx->nf->msg_q, &msg) != 0) failed = 1;
    rte_free(((struct onvm_nf_msg *)msg)->msg_data);
    rte_mempool_put(pool, msg);
  }
  if (rte_mempool_avail_count(pool) != before) failed = 1;
}

int main(int argc, char *argv[]) {
  int option, offset;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, NULL);
  table->pkt_handler = &packet_handler;
  table->setup = &check_queue;
  table->msg_handler = &msg_handler;
  table->user_actions = &user_actions;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "d:n:e:q")) != -1) {
    if (option == 'd') destination = (uint16_t)strtoul(optarg, NULL, 10);
    if (option == 'q') checks_queue = 1;
    if (option == 'n') to_send = (uint32_t)strtoul(optarg, NULL, 10);
    if (option == 'e') expected = (uint32_t)strtoul(optarg, NULL, 10);
  }
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  printf("sent %u, received %u\n", sent, received);
  return failed || received != expected;
}
