/* Routes IPv4 by longest prefix: a file (-f) has lines "PREFIX DEPTH port|service NUMBER". The TTL goes
 * down by one. ARP requests for -a are answered at the port they come by. */
#include <rte_arp.h>
#include <rte_lpm.h>

#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "lpm_router"
#define TO_SERVICE 0x100u

struct state {
  struct rte_lpm *table;
  struct rte_ether_addr macs[RTE_MAX_ETHPORTS];
  uint32_t own_ip; /* network byte order */
};

static const char *file_name;
static uint32_t own_ip;
static uint64_t n_routed, n_answered, n_dropped;

static int answer_arp(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta, const struct state *state) {
  struct rte_ether_hdr *eth = onvm_pkt_ether_hdr(pkt);
  struct rte_arp_hdr *arp = rte_pktmbuf_mtod_offset(pkt, struct rte_arp_hdr *, sizeof(*eth));
  if (pkt->data_len < sizeof(*eth) + sizeof(*arp) ||
      rte_be_to_cpu_16(arp->arp_opcode) != RTE_ARP_OP_REQUEST ||
      arp->arp_data.arp_tip != state->own_ip)
    return 0;
  arp->arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REPLY);
  arp->arp_data.arp_tha = arp->arp_data.arp_sha;
  arp->arp_data.arp_sha = state->macs[pkt->port];
  arp->arp_data.arp_tip = arp->arp_data.arp_sip;
  arp->arp_data.arp_sip = state->own_ip;
  rte_ether_addr_copy(&eth->s_addr, &eth->d_addr);
  rte_ether_addr_copy(&state->macs[pkt->port], &eth->s_addr);
  meta->action = ONVM_NF_ACTION_OUT;
  meta->destination = pkt->port;
  ++n_answered;
  return 1;
}

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          struct onvm_nf_local_ctx *ctx) {
  const struct state *state = ctx->nf->data;
  struct rte_ether_hdr *eth = onvm_pkt_ether_hdr(pkt);
  struct rte_ipv4_hdr *ip = onvm_pkt_ipv4_hdr(pkt);
  uint32_t hop;
  meta->action = ONVM_NF_ACTION_DROP;
  if (eth != NULL && eth->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP) &&
      answer_arp(pkt, meta, state))
    return 0;
  if (ip == NULL || ip->time_to_live <= 1 ||
      rte_lpm_lookup(state->table, rte_be_to_cpu_32(ip->dst_addr), &hop) != 0) {
    ++n_dropped;
    return 0;
  }
  --ip->time_to_live;
  ip->hdr_checksum = 0;
  ip->hdr_checksum = rte_ipv4_cksum(ip);
  ++n_routed;
  meta->destination = (uint16_t)(hop & (TO_SERVICE - 1));
  if ((hop & TO_SERVICE) != 0) {
    meta->action = ONVM_NF_ACTION_TONF;
    return 0;
  }
  rte_ether_addr_copy(&state->macs[meta->destination], &eth->s_addr);
  meta->action = ONVM_NF_ACTION_OUT;
  return 0;
}

static void read_routes(struct rte_lpm *table) {
  char prefix[32], kind[16];
  unsigned depth, number;
  FILE *file = fopen(file_name, "r");
  if (file == NULL) rte_exit(EXIT_FAILURE, "'%s' can't be opened\n", file_name);
  while (fscanf(file, "%31s %u %15s %u", prefix, &depth, kind, &number) == 4) {
    uint32_t ip;
    if (onvm_pkt_parse_ip(prefix, &ip) != 0 ||
        rte_lpm_add(table, ip, (uint8_t)depth,
                    number | (strcmp(kind, "service") == 0 ? TO_SERVICE : 0)) != 0)
      rte_exit(EXIT_FAILURE, "'%s/%u' is no route\n", prefix, depth);
  }
  fclose(file);
}

static void setup(struct onvm_nf_local_ctx *ctx) {
  struct state *state = rte_zmalloc("state", sizeof(*state), 0);
  struct lpm_request *request = rte_zmalloc("request", sizeof(*request), 0);
  uint16_t port;
  if (rte_eth_dev_count_avail() == 0) rte_exit(EXIT_FAILURE, "no port\n");
  snprintf(request->name, sizeof(request->name), "routes-%u", ctx->nf->instance_id);
  request->max_num_rules = 1024;
  request->num_tbl8s = 256;
  request->socket_id = (int)rte_socket_id();
  if (onvm_nflib_request_lpm(request) != 0 ||
      (state->table = rte_lpm_find_existing(request->name)) == NULL)
    rte_exit(EXIT_FAILURE, "no table\n");
  rte_free(request);
  RTE_ETH_FOREACH_DEV(port) {
    struct rte_eth_link link;
    rte_eth_macaddr_get(port, &state->macs[port]);
    rte_eth_link_get_nowait(port, &link);
    printf("port %u is %s\n", port, link.link_status ? "up" : "down");
  }
  state->own_ip = own_ip;
  read_routes(state->table);
  ctx->nf->data = state;
}

int main(int argc, char *argv[]) {
  int option, offset;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, NULL);
  table->pkt_handler = &packet_handler;
  table->setup = &setup;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "f:a:")) != -1) {
    if (option == 'f') file_name = strdup(optarg);
    if (option == 'a') {
      if (onvm_pkt_parse_ip(optarg, &own_ip) != 0) rte_exit(EXIT_FAILURE, "-a is no address\n");
      own_ip = rte_cpu_to_be_32(own_ip);
    }
  }
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  printf("routed %" PRIu64 ", answered %" PRIu64 ", dropped %" PRIu64 "\n", n_routed, n_answered,
         n_dropped);
  return 0;
}
