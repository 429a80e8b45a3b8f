/* Sends -c packets of its own to service -d and measures how fast they come round: of -s bytes, or
 * those of a capture (-o). With -l each carries the time it was sent at. Ends after -n rounds. */
#ifdef LIBPCAP
#include <pcap.h>
#endif

#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "speed"
#define PKTMBUF_POOL_NAME "MProc_pktmbuf_pool"
#define OWN_BIT 6
#define LATENCY_BIT 7
#define MAX_PACKETS 512

extern struct port_info *ports;

static uint16_t destination, n_packets = 32, size = 64;
static uint64_t n_rounds, n_wanted, n_foreign, n_latencies, latencies;
static int measures_latency;
static const char *capture;
static struct rte_ether_addr mac;
static int failed;

static void own_meta(struct rte_mbuf *pkt) {
  struct onvm_pkt_meta *meta = onvm_get_pkt_meta(pkt);
  meta->destination = destination;
  meta->action = ONVM_NF_ACTION_TONF;
  meta->flags = (uint8_t)ONVM_SET_BIT(0, OWN_BIT);
}

static void stamp(struct rte_mbuf *pkt) {
  uint64_t now = rte_get_tsc_cycles();
  memcpy(rte_pktmbuf_mtod_offset(pkt, char *, pkt->data_len - sizeof(now)), &now, sizeof(now));
  onvm_get_pkt_meta(pkt)->flags =
      (uint8_t)ONVM_SET_BIT(onvm_get_pkt_meta(pkt)->flags, LATENCY_BIT);
}

static struct rte_mbuf *make_packet(struct rte_mempool *pool, uint16_t i) {
  struct rte_mbuf *pkt = rte_pktmbuf_alloc(pool);
  struct onvm_ft_ipv4_5tuple key;
  struct rte_ether_hdr *eth;
  if (pkt == NULL) return NULL;
  eth = (struct rte_ether_hdr *)rte_pktmbuf_append(pkt, size);
  memset(eth, 0, size);
  rte_ether_addr_copy(&mac, &eth->d_addr);
  if (onvm_get_macaddr(0, &eth->s_addr) == -1) onvm_get_fake_macaddr(&eth->s_addr);
  eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
  onvm_pkt_fill_ipv4((struct rte_ipv4_hdr *)(eth + 1), RTE_IPV4(10, 0, 0, 1) + i,
                     RTE_IPV4(10, 0, 1, 1), 17);
  onvm_pkt_fill_udp((struct rte_udp_hdr *)((char *)(eth + 1) + sizeof(struct rte_ipv4_hdr)), 1000, i,
                    0);
  onvm_ft_fill_key(&key, pkt);
  pkt->hash.rss = onvm_softrss(&key);
  return pkt;
}

#ifdef LIBPCAP
static uint16_t read_capture(struct rte_mempool *pool, struct rte_mbuf *pkts[]) {
  char why[PCAP_ERRBUF_SIZE];
  struct pcap_pkthdr header;
  const u_char *bytes;
  uint16_t n = 0;
  pcap_t *file = pcap_open_offline(capture, why);
  if (file == NULL) rte_exit(EXIT_FAILURE, "%s\n", why);
  while (n < n_packets && (bytes = pcap_next(file, &header)) != NULL) {
    if (header.caplen > RTE_MBUF_DEFAULT_DATAROOM) continue;
    if ((pkts[n] = rte_pktmbuf_alloc(pool)) == NULL) break;
    memcpy(rte_pktmbuf_append(pkts[n], (uint16_t)header.caplen), bytes, header.caplen);
    pkts[n++]->port = 3; /* no port of the platform: as replayed packets have it */
  }
  pcap_close(file);
  return n;
}
#endif

static void setup(struct onvm_nf_local_ctx *ctx) {
  struct rte_mempool *pool = rte_mempool_lookup(PKTMBUF_POOL_NAME);
  struct rte_mbuf *pkts[MAX_PACKETS];
  uint16_t i = 0;
  if (pool == NULL) rte_exit(EXIT_FAILURE, "no pool\n");
#ifdef LIBPCAP
  if (capture != NULL) n_packets = i = read_capture(pool, pkts);
#endif
  for (; i < n_packets; ++i)
    if ((pkts[i] = make_packet(pool, i)) == NULL) rte_exit(EXIT_FAILURE, "no packet %u\n", i);
  for (i = 0; i < n_packets; ++i) {
    own_meta(pkts[i]);
    if (measures_latency) stamp(pkts[i]);
  }
  if (onvm_nflib_return_pkt_bulk(ctx->nf, pkts, n_packets) != 0) rte_exit(EXIT_FAILURE, "full\n");
}

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          __attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  if (!ONVM_CHECK_BIT(meta->flags, OWN_BIT)) {
    ++n_foreign;
    meta->action = ONVM_NF_ACTION_NEXT;
    return 0;
  }
  if (ONVM_CHECK_BIT(meta->flags, LATENCY_BIT)) {
    uint64_t then;
    memcpy(&then, rte_pktmbuf_mtod_offset(pkt, char *, pkt->data_len - sizeof(then)), sizeof(then));
    if (then >= rte_get_tsc_cycles()) failed = 1;
    latencies += rte_get_tsc_cycles() - then;
    ++n_latencies;
  }
  ++n_rounds;
  own_meta(pkt);
  if (measures_latency) stamp(pkt);
  return 0;
}

static int user_actions(struct onvm_nf_local_ctx *ctx) {
  return n_wanted != 0 && n_rounds >= n_wanted && ctx->nf->stats.tx_drop == 0;
}

int main(int argc, char *argv[]) {
  int option, offset;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, NULL);
  table->pkt_handler = &packet_handler;
  table->setup = &setup;
  table->user_actions = &user_actions;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    return offset == ONVM_SIGNAL_TERMINATION ? 0 : 1;
  }
  argc -= offset;
  argv += offset;
  destination = ctx->nf->service_id;
  while ((option = getopt(argc, argv, "d:c:s:m:n:o:l")) != -1) {
    if (option == 'd') destination = (uint16_t)strtoul(optarg, NULL, 10);
    if (option == 'c') n_packets = (uint16_t)RTE_MIN(strtoul(optarg, NULL, 10), (unsigned long)MAX_PACKETS);
    if (option == 's') size = (uint16_t)RTE_MAX(strtoul(optarg, NULL, 10), 60ul);
    if (option == 'm' && onvm_pkt_parse_mac(optarg, mac.addr_bytes) < 0)
      rte_exit(EXIT_FAILURE, "-m is no address\n");
    if (option == 'n') n_wanted = strtoul(optarg, NULL, 10);
    if (option == 'o') capture = strdup(optarg);
    if (option == 'l') measures_latency = 1;
  }
#ifndef LIBPCAP
  if (capture != NULL) rte_exit(EXIT_FAILURE, "built without libpcap\n");
#endif
  if (rte_eth_dev_is_valid_port(0)) printf("ports: %u\n", ports->num_ports);
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  printf("packets %u, rounds %" PRIu64 ", foreign %" PRIu64 ", latencies %" PRIu64 "\n", n_packets,
         n_rounds, n_foreign, n_latencies);
  return failed;
}
