/* Ends by rte_exit(-s) in the midst of its work: in setup(), at its first packet (-p), or likewise in
 * a child's thread (-c). What it has registered with atexit() takes -w milliseconds, longer than any
 * thread of the library rests. */
#include <unistd.h>

#include "onvm_nflib.h"

#define NF_TAG "quitter"

static int status = 7;
static unsigned exit_ms;
static int at_packet, in_child;

static void last_words(void) {
  usleep(exit_ms * 1000);
  fprintf(stderr, "quitter's last words\n");
}

static void quit(struct onvm_nf_local_ctx *ctx) {
  if (in_child && ctx->nf->thread_info.parent == 0) return;
  rte_exit(status, "quitter has %s\n", "had enough");
}

static int packet_handler(__attribute__((unused)) struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                          struct onvm_nf_local_ctx *ctx) {
  meta->action = ONVM_NF_ACTION_NEXT;
  if (at_packet) quit(ctx);
  return 0;
}

static void setup(struct onvm_nf_local_ctx *ctx) {
  if (in_child && ctx->nf->thread_info.parent == 0) {
    struct onvm_nf_scale_info *info = onvm_nflib_inherit_parent_config(ctx->nf, NULL);
    if (onvm_nflib_scale(info) != 0) rte_exit(EXIT_FAILURE, "no child\n");
  }
  if (!at_packet) quit(ctx);
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
    return 1;
  }
  argc -= offset;
  argv += offset;
  while ((option = getopt(argc, argv, "s:w:pc")) != -1) {
    if (option == 's') status = atoi(optarg);
    if (option == 'w') exit_ms = (unsigned)atoi(optarg);
    if (option == 'p') at_packet = 1;
    if (option == 'c') in_child = 1;
  }
  atexit(last_words);
  onvm_nflib_run(ctx);
  onvm_nflib_stop(ctx);
  return 0;
}
