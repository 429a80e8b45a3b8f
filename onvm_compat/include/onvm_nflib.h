/* OpenNetVM's NF library on Hummingbird. Each function does what it does there unless docs/onvm.md
 * says otherwise; return codes are the same.
 */
#ifndef ONVM_NFLIB_H
#define ONVM_NFLIB_H

#include "onvm_includes.h"
#include "onvm_msg_common.h"
#include "onvm_pkt_common.h"
#include "onvm_threading.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- an NF's life ------------------------------------------------------------------------------
 */

/** @return a context with keep_running = 1; the process ends if there is no memory */
struct onvm_nf_local_ctx *onvm_nflib_init_nf_local_ctx(void);
/** @return a zeroed table from the heap; onvm_nflib_stop frees it */
struct onvm_nf_function_table *onvm_nflib_init_nf_function_table(void);

/** Before onvm_nflib_init: SIGINT and SIGTERM end the context's run loop.
 * @param handler  called after that, once init has finished; may be NULL
 * @return 0 */
int onvm_nflib_start_signal_handler(struct onvm_nf_local_ctx *ctx, handle_signal_func handler);

/** Attaches to the manager and registers the NF.
 * Command line: NF <EAL args> -- -r SERVICE [...] -- <NF args>, or NF -F FILE.json [...].
 * @param function_table  NULL: the NF polls its rings itself (advanced rings)
 * @return how many arguments were used; ONVM_SIGNAL_TERMINATION; or negative: refused, and why is
 *         on stderr. A bad flag ends the process. */
int onvm_nflib_init(int argc, char *argv[], const char *nf_tag, struct onvm_nf_local_ctx *ctx,
                    struct onvm_nf_function_table *function_table);

/** Runs the loop in a thread of its own until it ends. @return 0, or negative: never ran */
int onvm_nflib_run(struct onvm_nf_local_ctx *ctx);

/** The end: waits for children, writes the statistics, leaves the platform, frees ctx, its function
 * table and nf->data. NULL is fine. */
void onvm_nflib_stop(struct onvm_nf_local_ctx *ctx);

/** The run loop itself, for a thread of the caller. @param ctx  struct onvm_nf_local_ctx * */
void *onvm_nflib_thread_main_loop(void *ctx);
/** What SIGINT and SIGTERM do by default. */
void onvm_nflib_handle_signal(int signal);

/* --- packets -----------------------------------------------------------------------------------
 */

/** Sends a packet on by its meta: one that the NF kept, or one of its own.
 * @return 0; -1 for NULL; -ENOBUFS: the queue was full, the packet has been freed */
int onvm_nflib_return_pkt(struct onvm_nf *nf, struct rte_mbuf *pkt);
/** The same for n packets, all or none of them. */
int onvm_nflib_return_pkt_bulk(struct onvm_nf *nf, struct rte_mbuf **pkts, uint16_t n);

/* --- advanced rings, children ------------------------------------------------------------------
 */

/** The NF polls its rings from now on. @return 0, or negative */
int onvm_nflib_nf_ready(struct onvm_nf *nf);
/** Registers one more NF of this process. Frees cfg. @return 0, or negative */
int onvm_nflib_start_nf(struct onvm_nf_local_ctx *ctx, struct onvm_nf_init_cfg *cfg);
struct onvm_nf_init_cfg *onvm_nflib_init_nf_init_cfg(const char *tag);
struct onvm_nf_init_cfg *onvm_nflib_inherit_parent_init_cfg(struct onvm_nf *parent);
struct onvm_nf_scale_info *onvm_nflib_get_empty_scaling_config(struct onvm_nf *parent);
struct onvm_nf_scale_info *onvm_nflib_inherit_parent_config(struct onvm_nf *parent, void *data);
/** Runs a child in a thread of its own. Frees info. @return 0 or -1 */
int onvm_nflib_scale(struct onvm_nf_scale_info *info);

/* --- messages and tables -----------------------------------------------------------------------
 */

/** To the first instance of a service.
 * @param data  rte_malloc'ed. To another process its bytes are copied, so pointers in it mean
 *              nothing there; on success it is no longer the sender's
 * @return 0; negative: nothing was sent and data is still the sender's */
int onvm_nflib_send_msg_to_nf(uint16_t destination_service, void *data);
/** Does what a message says. @return 0 */
int onvm_nflib_handle_msg(struct onvm_nf_msg *msg, struct onvm_nf_local_ctx *ctx);

/** Makes an rte_lpm of that name, for rte_lpm_find_existing. @return 0 or negative */
int onvm_nflib_request_lpm(struct lpm_request *req);
/** Makes an rte_hash of those parameters. @return 0 or negative */
int onvm_nflib_request_ft(struct rte_hash_parameters *params);

struct onvm_service_chain *onvm_nflib_get_default_chain(void);
struct onvm_configuration *onvm_nflib_get_onvm_config(void);
/** Prints an instance's counters. */
void onvm_nflib_stats_summary_output(uint16_t instance_id);

#ifdef __cplusplus
}
#endif

#endif /* ONVM_NFLIB_H */
