/* Answers ARP requests for -s with packets of its own, from the pool by its name; what else there is
 * goes to service -d or along the routes. */
#include <rte_arp.h>

#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "arp"
#define PKTMBUF_POOL_NAME "MProc_pktmbuf_pool"

extern struct port_info *ports;

static uint32_t own_ip;
static uint16_t destination;
static struct rte_mempool *pool;
static uint64_t n_answered;

static int send_reply(const struct rte_arp_hdr *request, uint16_t port, struct onvm_nf *nf) {
  struct rte_mbuf *pkt = rte_pktmbuf_alloc(pool);
  struct onvm_pkt_meta *meta;
  struct rte_ether_hdr *eth;
  struct rte_arp_hdr *arp;
  if (pkt == NULL) return -1;
  eth = (struct rte_ether_hdr *)rte_pktmbuf_append(pkt, sizeof(*eth) + sizeof(*arp));
  arp = (struct rte_arp_hdr *)(eth + 1);
  rte_ether_addr_copy(&ports->mac[port], &eth->s_addr);
  rte_ether_addr_copy(&request->arp_data.arp_sha, &eth->d_addr);
  eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP);
  *arp = *request;
  arp->arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REPLY);
  arp->arp_data.arp_tha = request->arp_data.arp_sha;
  arp->arp_data.arp_tip = request->arp_data.arp_sip;
  arp->arp_data.arp_sha = ports->mac[port];
  arp->arp_data.arp_sip = request->arp_data.arp_tip;
  meta = onvm_get_pkt_meta(pkt);
  meta->action = ONVM_NF_ACTION_OUT;
  meta->destination = port;
  return onvm_nflib_return_pkt(nf, pkt);
}

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          struct onvm_nf_local_ctx *ctx) {
  struct rte_ether_hdr *eth = onvm_pkt_ether_hdr(pkt);
  meta->action = destination != 0 ? ONVM_NF_ACTION_TONF : ONVM_NF_ACTION_NEXT;
  meta->destination = destination;
  if (pkt->data_len < sizeof(*eth) + sizeof(struct rte_arp_hdr)) return 0;
  if (rte_be_to_cpu_16(eth->ether_type) == RTE_ETHER_TYPE_ARP) {
    const struct rte_arp_hdr *arp =
        rte_pktmbuf_mtod_offset(pkt, struct rte_arp_hdr *, sizeof(*eth));
    if (rte_be_to_cpu_16(arp->arp_opcode) == RTE_ARP_OP_REQUEST &&
        rte_be_to_cpu_32(arp->arp_data.arp_tip) == own_ip &&
        send_reply(arp, pkt->port, ctx->nf) == 0) {
      ++n_answered;
      meta->action = ONVM_NF_ACTION_DROP;
    }
  }
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
  while ((option = getopt(argc, argv, "d:s:")) != -1) {
    if (option == 'd') destination = (uint16_t)strtoul(optarg, NULL, 10);
    if (option == 's' && onvm_pkt_parse_ip(optarg, &own_ip) < 0)
      rte_exit(EXIT_FAILURE, "-s is no address\n");
  }
  pool = rte_mempool_lookup(PKTMBUF_POOL_NAME);
  if (pool == NULL) rte_exit(EXIT_FAILURE, "no pool\n");
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  printf("answered %" PRIu64 "\n", n_answered);
  return 0;
}
