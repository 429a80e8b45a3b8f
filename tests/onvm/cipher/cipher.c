/* Changes UDP payloads in place, as its like on the other side changes them back, and puts the
 * checksums right. */
#include "keystream.h"
#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "cipher"
#ifndef KEY_SEED /* the Makefile's */
#define KEY_SEED 1u
#endif

static uint16_t destination;
static uint64_t n_changed;

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          __attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  struct rte_udp_hdr *udp = onvm_pkt_udp_hdr(pkt);
  meta->action = destination != 0 ? ONVM_NF_ACTION_TONF : ONVM_NF_ACTION_NEXT;
  meta->destination = destination;
  if (udp == NULL) return 0;
  const struct rte_ipv4_hdr *ip = onvm_pkt_ipv4_hdr(pkt);
  const size_t bytes = rte_be_to_cpu_16(ip->total_length) - sizeof(*ip) - sizeof(*udp);
  if ((uint8_t *)(udp + 1) + bytes > rte_pktmbuf_mtod(pkt, uint8_t *) + pkt->data_len) return 0;
  keystream_apply((uint8_t *)(udp + 1), bytes, KEY_SEED);
  onvm_pkt_set_checksums(pkt);
  ++n_changed;
  return 0;
}

int main(int argc, char *argv[]) {
  int option, offset;
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
  while ((option = getopt(argc, argv, "d:p:")) != -1)
    if (option == 'd') destination = (uint16_t)strtoul(optarg, NULL, 10);
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  printf("changed %" PRIu64 ", seed %u\n", n_changed, KEY_SEED);
  return 0;
}
