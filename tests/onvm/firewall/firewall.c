/* Passes packets on to service -d (or along the routes) if a JSON file's rules (-f) say so for their
 * source; drops all others. A rule: "name": {"ip": "10.0.0.0", "depth": 8, "action": 0}, 0 passes. */
#include <rte_lpm.h>

#include "cJSON.h"
#include "onvm_config_common.h"
#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "firewall"
#define MAX_RULES 256

extern struct port_info *ports;

static struct rte_lpm *rules;
static const char *file_name;
static uint16_t destination;
static uint64_t n_accepted, n_denied, n_other;

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          __attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  const struct rte_ipv4_hdr *ip;
  uint32_t action = 1;
  meta->action = ONVM_NF_ACTION_DROP;
  if (!onvm_pkt_is_ipv4(pkt)) {
    ++n_other;
    return 0;
  }
  ip = onvm_pkt_ipv4_hdr(pkt);
  if (rte_lpm_lookup(rules, rte_be_to_cpu_32(ip->src_addr), &action) != 0 || action != 0) {
    ++n_denied;
    return 0;
  }
  ++n_accepted;
  meta->action = destination != 0 ? ONVM_NF_ACTION_TONF : ONVM_NF_ACTION_NEXT;
  meta->destination = destination;
  return 0;
}

static int member(cJSON *rule, const char *name) {
  const cJSON *item = cJSON_GetObjectItem(rule, name);
  if (item == NULL) rte_exit(EXIT_FAILURE, "'%s' has no %s\n", rule->string, name);
  return item->valueint;
}

static void read_rules(void) {
  cJSON *file = onvm_config_parse_file(file_name);
  cJSON *rule;
  int n;
  if (file == NULL) rte_exit(EXIT_FAILURE, "'%s' is not a rule file\n", file_name);
  n = onvm_config_get_item_count(file);
  for (rule = file->child; rule != NULL; rule = rule->next, --n) {
    uint32_t ip;
    char shown[16];
    cJSON *address = cJSON_GetObjectItem(rule, "ip");
    if (address == NULL || onvm_pkt_parse_ip(address->valuestring, &ip) < 0)
      rte_exit(EXIT_FAILURE, "'%s' has no address\n", rule->string);
    onvm_pkt_parse_char_ip(shown, ip);
    if (rte_lpm_add(rules, ip, (uint8_t)member(rule, "depth"), (uint32_t)member(rule, "action")) < 0)
      rte_exit(EXIT_FAILURE, "'%s' can't be added\n", rule->string);
    RTE_LOG(INFO, APP, "rule %s: %s\n", rule->string, shown);
  }
  if (n != 0) rte_exit(EXIT_FAILURE, "%d rules were not counted\n", n);
  cJSON_Delete(file);
}

static void make_table(void) {
  struct lpm_request *request = rte_malloc(NULL, sizeof(*request), 0);
  char name[64];
  if (request == NULL) rte_exit(EXIT_FAILURE, "no memory\n");
  snprintf(name, sizeof(name), "fw%d-%" PRIu64, (int)rte_lcore_id(), rte_get_tsc_cycles());
  request->max_num_rules = MAX_RULES;
  request->num_tbl8s = 24;
  request->socket_id = (int)rte_socket_id();
  snprintf(request->name, sizeof(request->name), "%s", name);
  if (onvm_nflib_request_lpm(request) < 0) rte_exit(EXIT_FAILURE, "no table\n");
  rte_free(request);
  rules = rte_lpm_find_existing(name);
  if (rules == NULL) rte_exit(EXIT_FAILURE, "the table can't be found\n");
}

int main(int argc, char *argv[]) {
  int option, offset;
  struct onvm_nf_local_ctx *ctx = onvm_nflib_init_nf_local_ctx();
  struct onvm_nf_function_table *table = onvm_nflib_init_nf_function_table();

  onvm_nflib_start_signal_handler(ctx, NULL);
  table->pkt_handler = &packet_handler;
  if ((offset = onvm_nflib_init(argc, argv, NF_TAG, ctx, table)) < 0) {
    onvm_nflib_stop(ctx);
    if (offset == ONVM_SIGNAL_TERMINATION) return 0;
    rte_exit(EXIT_FAILURE, "init failed\n");
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "d:f:")) != -1) {
    if (option == 'd') destination = (uint16_t)strtoul(optarg, NULL, 10);
    if (option == 'f') file_name = strdup(optarg);
    if (option == '?') rte_exit(EXIT_FAILURE, "bad option\n");
  }
  if (file_name == NULL) {
    onvm_nflib_stop(ctx);
    rte_exit(EXIT_FAILURE, "-f is missing\n");
  }
  make_table();
  read_rules();
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  printf("accepted %" PRIu64 ", denied %" PRIu64 ", other %" PRIu64 ", ports %u\n", n_accepted,
         n_denied, n_other, ports->num_ports);
  return 0;
}
