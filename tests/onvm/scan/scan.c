/* Drops TCP and UDP packets whose payload has the text -s; with -i those that do not. */
#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "scan"

struct counts {
  uint64_t found, not_found, other;
};

static char *text;
static int inverted;
static uint16_t destination;

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          struct onvm_nf_local_ctx *ctx) {
  struct counts *counts = ctx->nf->data;
  const uint8_t *payload;
  size_t bytes;
  int found;
  meta->action = ONVM_NF_ACTION_DROP;
  if (!onvm_pkt_is_ipv4(pkt) || !(onvm_pkt_is_tcp(pkt) || onvm_pkt_is_udp(pkt))) {
    ++counts->other;
    return 0;
  }
  if (onvm_pkt_is_udp(pkt))
    payload = (const uint8_t *)onvm_pkt_udp_hdr(pkt) + sizeof(struct rte_udp_hdr);
  else
    payload = (const uint8_t *)onvm_pkt_tcp_hdr(pkt) + sizeof(struct rte_tcp_hdr);
  bytes = rte_pktmbuf_data_len(pkt) - (size_t)(payload - rte_pktmbuf_mtod(pkt, const uint8_t *));
  found = memmem(payload, bytes, text, strlen(text)) != NULL;
  ++*(found ? &counts->found : &counts->not_found);
  if (found != inverted) return 0;
  meta->action = destination != 0 ? ONVM_NF_ACTION_TONF : ONVM_NF_ACTION_NEXT;
  meta->destination = destination;
  return 0;
}

int main(int argc, char *argv[]) {
  int option, offset;
  struct counts *counts;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, NULL);
  table->pkt_handler = &packet_handler;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "d:s:i")) != -1) {
    if (option == 'd') destination = (uint16_t)strtoul(optarg, NULL, 10);
    if (option == 's') text = strdup(optarg);
    if (option == 'i') inverted = 1;
  }
  if (text == NULL) {
    onvm_nflib_stop(ctx);
    rte_exit(EXIT_FAILURE, "-s is missing\n");
  }
  counts = rte_zmalloc("counts", sizeof(*counts), 0);
  ctx->nf->data = counts;
  onvm_nflib_run(ctx);
  printf("found %" PRIu64 ", not found %" PRIu64 ", other %" PRIu64 "\n", counts->found,
         counts->not_found, counts->other);
  onvm_nflib_stop(ctx);
  free(text);
  return 0;
}
