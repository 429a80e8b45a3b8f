/* Sends each packet back out of the port it came by, with that port's address as its source, and
 * says -p times a second what the ports have counted. */
#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "monitor"

extern struct port_info *ports;

static uint64_t period, next_print, n_packets, n_bytes, n_prints;

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          __attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  ++n_packets;
  n_bytes += pkt->pkt_len;
  meta->action = ONVM_NF_ACTION_OUT;
  meta->destination = pkt->port;
  if (onvm_pkt_swap_src_mac_addr(pkt, meta->destination, ports) != 0) {
    RTE_LOG(INFO, APP, "the addresses can't be swapped\n");
    meta->action = ONVM_NF_ACTION_DROP;
  }
  return 0;
}

static int user_actions(struct onvm_nf_local_ctx *ctx) {
  const uint64_t now = rte_get_tsc_cycles();
  int i;
  if (period == 0 || now < next_print) return 0;
  next_print = now + period;
  ++n_prints;
  printf("%s: handler %" PRIu64 ", instance %u\n", NF_TAG, n_packets, ctx->nf->instance_id);
  for (i = 0; i < ports->num_ports; ++i)
    printf("  port %u: rx %" PRIu64 ", tx %" PRIu64 "\n", ports->id[i],
           ports->rx_stats.rx[ports->id[i]], ports->tx_stats.tx[ports->id[i]]);
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
  while ((option = getopt(argc, argv, "p:")) != -1)
    if (option == 'p') period = rte_get_tsc_hz() / strtoul(optarg, NULL, 10);
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  printf("packets %" PRIu64 ", bytes %" PRIu64 ", %s\n", n_packets, n_bytes,
         n_prints != 0 ? "printed" : "silent");
  return 0;
}
