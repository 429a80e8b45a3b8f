/* Counts packets by flow in a flow table, gives each new flow of the flow director a chain to
 * service -d and on to port 0, and asks an LPM table that it requests. */
#include <rte_lpm.h>

#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "flows"

static struct onvm_ft *table;
static struct rte_lpm *lpm;
static uint16_t destination;
static uint32_t n_flows;
static int failed;

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          struct onvm_nf_local_ctx *ctx) {
  struct onvm_ft_ipv4_5tuple key;
  struct onvm_flow_entry *entry;
  char *data;
  uint32_t hop;
  (void)ctx;
  meta->action = ONVM_NF_ACTION_DROP;
  if (!onvm_pkt_is_ipv4(pkt)) return 0;
  onvm_ft_fill_key(&key, pkt);
  if (onvm_softrss(&key) != pkt->hash.rss) failed = 1;
  if (onvm_ft_lookup_pkt(table, pkt, &data) == -ENOENT) {
    if (onvm_ft_add_key(table, &key, &data) < 0) failed = 1;
    memset(data, 0, sizeof(uint64_t));
    ++n_flows;
  }
  if (onvm_ft_lookup_key(table, &key, &data) != onvm_ft_lookup_pkt(table, pkt, &data)) failed = 1;
  ++*(uint64_t *)data;
  if (rte_lpm_lookup(lpm, rte_be_to_cpu_32(key.dst_addr), &hop) != 0 || hop != 5) failed = 1;
  if (onvm_flow_dir_get_pkt(pkt, &entry) < 0) {
    if (onvm_flow_dir_add_pkt(pkt, &entry) < 0) {
      failed = 1;
      return 0;
    }
    memset(entry, 0, sizeof(*entry));
    entry->sc = onvm_sc_create();
    onvm_sc_append_entry(entry->sc, ONVM_NF_ACTION_TONF, destination);
    onvm_sc_append_entry(entry->sc, ONVM_NF_ACTION_OUT, 0);
  }
  meta->chain_index = 0;
  meta->action = ONVM_NF_ACTION_NEXT;
  return 0;
}

int main(int argc, char *argv[]) {
  int option, offset;
  struct lpm_request *request;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *functions = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, NULL);
  functions->pkt_handler = &packet_handler;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, functions)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "d:")) != -1)
    if (option == 'd') destination = (uint16_t)strtoul(optarg, NULL, 10);
  onvm_flow_dir_nf_init();
  table = onvm_ft_create(1024, sizeof(uint64_t));
  request = rte_zmalloc(NULL, sizeof(*request), 0);
  snprintf(request->name, sizeof(request->name), "flows_lpm");
  request->max_num_rules = 16;
  request->num_tbl8s = 16;
  if (table == NULL || onvm_nflib_request_lpm(request) != 0 ||
      (lpm = rte_lpm_find_existing("flows_lpm")) == NULL)
    rte_exit(EXIT_FAILURE, "no tables\n");
  rte_free(request);
  rte_lpm_add(lpm, 0, 1, 5);
  rte_lpm_add(lpm, RTE_IPV4(128, 0, 0, 0), 1, 5);
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  printf("flows %u\n", n_flows);
  return failed;
}
