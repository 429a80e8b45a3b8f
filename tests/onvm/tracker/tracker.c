/* Follows flows, both directions as one, in a flow table of -n entries. Flows that were silent for
 * -t milliseconds make room. */
#include <getopt.h>

#include "onvm_flow_table.h"
#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "tracker"

struct flow_stats {
  uint64_t packets;
  uint64_t last_seen;
  int is_active;
};
struct state {
  struct onvm_ft *table;
  uint64_t timeout;
  uint32_t n_active, n_seen, n_aged, n_refused;
  uint64_t n_packets;
};

static uint16_t destination;

static void age(struct state *state, uint64_t now) {
  const void *key;
  void *data;
  uint32_t next = 0;
  while (onvm_ft_iterate(state->table, &key, &data, &next) >= 0) {
    struct flow_stats *flow = data;
    struct onvm_ft_ipv4_5tuple copy;
    if (!flow->is_active || now - flow->last_seen < state->timeout) continue;
    memcpy(&copy, key, sizeof(copy));
    flow->is_active = 0;
    if (onvm_ft_remove_key(state->table, &copy) < 0) rte_exit(EXIT_FAILURE, "no such flow\n");
    --state->n_active;
    ++state->n_aged;
  }
}

static struct flow_stats *add_flow(struct state *state, struct onvm_ft_ipv4_5tuple *key) {
  struct flow_stats *flow = NULL;
  if (onvm_ft_add_key(state->table, key, (char **)&flow) < 0) {
    age(state, rte_get_tsc_cycles());
    if (onvm_ft_add_key(state->table, key, (char **)&flow) < 0) return NULL;
  }
  memset(flow, 0, sizeof(*flow));
  flow->is_active = 1;
  ++state->n_active;
  ++state->n_seen;
  return flow;
}

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          struct onvm_nf_local_ctx *ctx) {
  struct state *state = ctx->nf->data;
  struct onvm_ft_ipv4_5tuple key;
  struct flow_stats *flow = NULL;
  meta->action = destination != 0 ? ONVM_NF_ACTION_TONF : ONVM_NF_ACTION_NEXT;
  meta->destination = destination;
  if (onvm_ft_fill_key_symmetric(&key, pkt) < 0) return 0;
  if (onvm_ft_lookup_key(state->table, &key, (char **)&flow) == -ENOENT)
    flow = add_flow(state, &key);
  if (flow == NULL) {
    ++state->n_refused;
    return 0;
  }
  ++flow->packets;
  ++state->n_packets;
  flow->last_seen = rte_get_tsc_cycles();
  return 0;
}

static int user_actions(struct onvm_nf_local_ctx *ctx) {
  static uint64_t last;
  struct state *state = ctx->nf->data;
  const uint64_t now = rte_get_tsc_cycles();
  if (now - last < state->timeout) return 0;
  last = now;
  age(state, now);
  return 0;
}

static void print_flows(struct state *state) {
  const void *key;
  void *data;
  uint32_t next = 0;
  while (onvm_ft_iterate(state->table, &key, &data, &next) >= 0) {
    struct onvm_ft_ipv4_5tuple copy;
    memcpy(&copy, key, sizeof(copy));
    _onvm_ft_print_key(&copy);
  }
}

int main(int argc, char *argv[]) {
  int option, offset, n_entries = 1024;
  unsigned long timeout_ms = 1000000;
  struct state *state;
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
  while ((option = getopt(argc, argv, "d:n:t:")) != -1) {
    if (option == 'd') destination = (uint16_t)strtoul(optarg, NULL, 10);
    if (option == 'n') n_entries = atoi(optarg);
    if (option == 't') timeout_ms = strtoul(optarg, NULL, 10);
  }
  state = rte_calloc("state", 1, sizeof(*state), 0);
  if (state == NULL) rte_exit(EXIT_FAILURE, "no memory\n");
  ctx->nf->data = state;
  state->timeout = rte_get_timer_hz() / 1000 * timeout_ms;
  state->table = onvm_ft_create(n_entries, sizeof(struct flow_stats));
  if (state->table == NULL) rte_exit(EXIT_FAILURE, "no table\n");
  onvm_nflib_run(ctx);
  print_flows(state);
  printf("active %u, seen %u, aged %u, refused %u, packets %" PRIu64 "\n", state->n_active,
         state->n_seen, state->n_aged, state->n_refused, state->n_packets);
  onvm_ft_free(state->table);
  onvm_nflib_stop(ctx);
  return 0;
}
