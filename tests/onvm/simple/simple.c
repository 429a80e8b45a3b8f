/* Passes packets on to a service (-d), or along the routes; prints one of every -p packets. Its
 * set-up takes -w milliseconds. */
#include <unistd.h>

#include "onvm_nflib.h"
#include "onvm_pkt_helper.h"

#define NF_TAG "simple"

static uint32_t destination;
static uint32_t print_delay;
static uint32_t setup_ms;

static void setup(__attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  usleep(setup_ms * 1000);
}

static int packet_handler(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          __attribute__((unused)) struct onvm_nf_local_ctx *ctx) {
  static uint32_t counter = 0;
  if (print_delay != 0 && ++counter == print_delay) {
    onvm_pkt_print(pkt);
    counter = 0;
  }
  meta->action = destination != 0 ? ONVM_NF_ACTION_TONF : ONVM_NF_ACTION_NEXT;
  meta->destination = (uint16_t)destination;
  return 0;
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
    if (offset == ONVM_SIGNAL_TERMINATION) return 0;
    rte_exit(EXIT_FAILURE, "init failed\n");
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "d:p:w:")) != -1) {
    switch (option) {
      case 'd':
        destination = (uint32_t)strtoul(optarg, NULL, 10);
        break;
      case 'p':
        print_delay = (uint32_t)strtoul(optarg, NULL, 10);
        break;
      case 'w':
        setup_ms = (uint32_t)strtoul(optarg, NULL, 10);
        break;
      default:
        onvm_nflib_stop(ctx);
        rte_exit(EXIT_FAILURE, "bad option\n");
    }
  }
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  RTE_LOG(INFO, APP, "simple has ended\n");
  return 0;
}
