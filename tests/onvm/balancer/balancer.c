/* Spreads the flows of clients, at port 0, over the servers of a list (-f, lines "ADDRESS MAC"), at
 * port 1, and sends the answers back to who asked. Flows that were silent for -t ms make room. */
#include "onvm_flow_table.h"
#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "balancer"
#define MAX_SERVERS 16
#define CLIENT_PORT 0
#define SERVER_PORT 1

extern struct port_info *ports;

struct server {
  uint32_t ip; /* network byte order */
  struct rte_ether_addr mac;
};
struct flow {
  uint8_t server;
  uint8_t is_active;
  uint64_t last_seen;
  struct rte_ether_addr client_mac;
  uint32_t asked_ip;
};

static struct server servers[MAX_SERVERS];
static struct rte_ether_addr client_side, server_side;
static unsigned n_servers, next_server;
static struct onvm_ft *flows;
static uint64_t n_to[MAX_SERVERS], n_back, n_other, timeout;

static void read_servers(const char *name) {
  char ip[32], mac[32];
  FILE *file = fopen(name, "r");
  if (file == NULL) rte_exit(EXIT_FAILURE, "'%s' can't be opened\n", name);
  while (n_servers < MAX_SERVERS && fscanf(file, "%31s %31s", ip, mac) == 2) {
    struct server *server = &servers[n_servers++];
    if (onvm_pkt_parse_ip(ip, &server->ip) < 0 ||
        onvm_pkt_parse_mac(mac, server->mac.addr_bytes) < 0)
      rte_exit(EXIT_FAILURE, "'%s %s' is no server\n", ip, mac);
    server->ip = rte_cpu_to_be_32(server->ip);
  }
  fclose(file);
  if (n_servers == 0) rte_exit(EXIT_FAILURE, "'%s' has no server\n", name);
}

/* The key without the server's part, which is another one on the way there and back. */
static int fill_key(struct onvm_ft_ipv4_5tuple *key, struct rte_mbuf *pkt) {
  if (onvm_ft_fill_key(key, pkt) < 0) return -1;
  if (pkt->port == SERVER_PORT) {
    key->src_addr = key->dst_addr;
    uint16_t port = key->src_port;
    key->src_port = key->dst_port;
    key->dst_port = port;
  }
  key->dst_addr = 0;
  return 0;
}

static void age(uint64_t now) {
  const void *key;
  void *data;
  uint32_t next = 0;
  while (onvm_ft_iterate(flows, &key, &data, &next) >= 0) {
    struct onvm_ft_ipv4_5tuple copy;
    if (now - ((struct flow *)data)->last_seen < timeout) continue;
    memcpy(&copy, key, sizeof(copy));
    onvm_ft_remove_key(flows, &copy);
  }
}

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          __attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  struct rte_ether_hdr *eth = onvm_pkt_ether_hdr(pkt);
  struct rte_ipv4_hdr *ip = onvm_pkt_ipv4_hdr(pkt);
  struct onvm_ft_ipv4_5tuple key;
  struct flow *flow = NULL;
  const uint64_t now = rte_get_tsc_cycles();
  meta->action = ONVM_NF_ACTION_DROP;
  if (ip == NULL || fill_key(&key, pkt) < 0) {
    ++n_other;
    return 0;
  }
  if (onvm_ft_lookup_key(flows, &key, (char **)&flow) < 0) {
    if (pkt->port != CLIENT_PORT) return 0;
    if (onvm_ft_add_key(flows, &key, (char **)&flow) < 0) {
      age(now);
      if (onvm_ft_add_key(flows, &key, (char **)&flow) < 0) return 0;
    }
    memset(flow, 0, sizeof(*flow));
    flow->is_active = 1;
    flow->server = (uint8_t)(next_server++ % n_servers);
    flow->asked_ip = ip->dst_addr;
    rte_ether_addr_copy(&eth->s_addr, &flow->client_mac);
  }
  flow->last_seen = now;
  if (pkt->port == CLIENT_PORT) {
    rte_ether_addr_copy(&server_side, &eth->s_addr);
    rte_ether_addr_copy(&servers[flow->server].mac, &eth->d_addr);
    ip->dst_addr = servers[flow->server].ip;
    meta->destination = SERVER_PORT;
    ++n_to[flow->server];
  } else {
    rte_ether_addr_copy(&client_side, &eth->s_addr);
    rte_ether_addr_copy(&flow->client_mac, &eth->d_addr);
    ip->src_addr = flow->asked_ip;
    meta->destination = CLIENT_PORT;
    ++n_back;
  }
  onvm_pkt_set_checksums(pkt);
  meta->action = ONVM_NF_ACTION_OUT;
  return 0;
}

int main(int argc, char *argv[]) {
  int option, offset;
  unsigned i;
  const char *file = NULL;
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
  timeout = rte_get_timer_hz() * 32;
  while ((option = getopt(argc, argv, "f:t:")) != -1) {
    if (option == 'f') file = strdup(optarg);
    if (option == 't') timeout = rte_get_timer_hz() / 1000 * strtoul(optarg, NULL, 10);
  }
  if (ports->num_ports < 2) {
    onvm_nflib_stop(ctx);
    rte_exit(EXIT_FAILURE, "two ports are needed\n");
  }
  if (onvm_get_macaddr(CLIENT_PORT, &client_side) == -1)
    onvm_get_fake_macaddr(&client_side);
  rte_eth_macaddr_get(SERVER_PORT, &server_side);
  read_servers(file);
  flows = onvm_ft_create(1024, sizeof(struct flow));
  if (flows == NULL) rte_exit(EXIT_FAILURE, "no table\n");
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  onvm_ft_free(flows);
  for (i = 0; i < n_servers; ++i) printf("server %u: %" PRIu64 "\n", i, n_to[i]);
  printf("back %" PRIu64 ", other %" PRIu64 "\n", n_back, n_other);
  return 0;
}
