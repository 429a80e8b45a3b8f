/* OpenNetVM's constants and types, as far as NFs meet them. docs/onvm.md says what is behind each.
 * C11 and C++11.
 */
#ifndef ONVM_COMMON_H
#define ONVM_COMMON_H

#include <ctype.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/types.h>

#include <rte_atomic.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_hash.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "onvm_config_common.h"
#include "onvm_msg_common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- limits and fixed options ------------------------------------------------------------------
 */

#define ONVM_MAX_CHAIN_LENGTH 4
#define MAX_NFS 128
#define MAX_SERVICES 32
#define MAX_NFS_PER_SERVICE 32
#define NUM_MBUFS 32767
#define NF_QUEUE_RINGSIZE 16384
#define PACKET_READ_SIZE ((uint16_t)32)
#define TAG_SIZE 15

#define ONVM_NF_HANDLE_TX 1
#define ONVM_NF_SHUTDOWN_CORE_REASSIGNMENT 0
#define ONVM_NF_SHARE_CORES_DEFAULT 0
#define PKT_WAKEUP_THRESHOLD 1
#define MSG_WAKEUP_THRESHOLD 1

#define MANUAL_CORE_ASSIGNMENT_BIT 0
#define SHARE_CORE_BIT 1

#define ONVM_SIGNAL_TERMINATION -999
#define PKT_TTL_MULTIPLIER 1000000
#define TIME_TTL_MULTIPLIER 1
#define NF_TERM_WAIT_TIME 1
#define NF_TERM_INIT_ITER_TIMES 3
#define NF_TERM_STOP_ITER_TIMES 10
#define NF_NO_ID -1
#define SHMSZ 4
#define KEY_PREFIX 123

#define RTE_LOGTYPE_APP RTE_LOGTYPE_USER1

/* --- what becomes of a packet ------------------------------------------------------------------
 */

#define ONVM_NF_ACTION_DROP 0
#define ONVM_NF_ACTION_NEXT 1 /* by flow director or routes.csv */
#define ONVM_NF_ACTION_TONF 2 /* to the service whose id is in destination */
#define ONVM_NF_ACTION_OUT 3  /* out of the port in destination */

/* --- names of objects --------------------------------------------------------------------------
 */

#define PKTMBUF_POOL_NAME "MProc_pktmbuf_pool"
#define _NF_MEMPOOL_NAME "NF_INFO_MEMPOOL"
#define _NF_MSG_POOL_NAME "NF_MSG_MEMPOOL"
#define _MGR_MSG_QUEUE_NAME "MSG_MSG_QUEUE"
#define _NF_MSG_QUEUE_NAME "NF_%u_MSG_QUEUE"
#define MP_NF_RXQ_NAME "MProc_Client_%u_RX"
#define MP_NF_TXQ_NAME "MProc_Client_%u_TX"
#define MP_CLIENT_SEM_NAME "MProc_Client_%u_SEM"
#define MZ_PORT_INFO "MProc_port_info"
#define MZ_CORES_STATUS "MProc_cores_info"
#define MZ_NF_INFO "MProc_nf_init_cfg"
#define MZ_SERVICES_INFO "MProc_services_info"
#define MZ_NF_PER_SERVICE_INFO "MProc_nf_per_service_info"
#define MZ_ONVM_CONFIG "MProc_onvm_config"
#define MZ_SCP_INFO "MProc_scp_info"
#define MZ_FTP_INFO "MProc_ftp_info"

/* --- states of an NF ---------------------------------------------------------------------------
 */

#define NF_WAITING_FOR_ID 0
#define NF_STARTING 1
#define NF_RUNNING 2
#define NF_PAUSED 3
#define NF_STOPPED 4
#define NF_ID_CONFLICT 5
#define NF_NO_IDS 6
#define NF_SERVICE_MAX 7
#define NF_SERVICE_COUNT_MAX 8
#define NF_NO_CORES 9
#define NF_NO_DEDICATED_CORES 10
#define NF_CORE_OUT_OF_RANGE 11
#define NF_CORE_BUSY 12
#define NF_WAITING_FOR_LPM 13
#define NF_WAITING_FOR_FT 14

/* --- bits --------------------------------------------------------------------------------------
 */

#define ONVM_CHECK_BIT(flags, n) (!!((flags) & (1u << (n))))
/* These two give the new value and leave `flags` as it is. */
#define ONVM_SET_BIT(flags, n) ((flags) | (1u << (n)))
#define ONVM_CLEAR_BIT(flags, n) ((flags) & ~(1u << (n)))

/* --- packets -----------------------------------------------------------------------------------
 */

/** What an NF says about a packet. */
struct onvm_pkt_meta {
  uint8_t action;       /**< ONVM_NF_ACTION_... */
  uint16_t destination; /**< TONF: service id, OUT: port */
  uint16_t src;         /**< instance id of the NF it comes from, 0: from a port */
  uint8_t chain_index;  /**< place in its service chain */
  uint8_t flags;        /**< the NFs' own; travels with the packet */
};

/** The packet's meta. Lies in this process' memory, so it stays valid while the NF has the packet.
 * Of a packet that comes from elsewhere chain_index, flags and src have travelled with it. */
struct onvm_pkt_meta *onvm_get_pkt_meta(struct rte_mbuf *pkt);
uint8_t onvm_get_pkt_chain_index(struct rte_mbuf *pkt);

/* --- NFs ---------------------------------------------------------------------------------------
 */

struct onvm_nf;
struct onvm_nf_local_ctx;
struct queue_mgr; /* opaque: for onvm_pkt_process_tx_batch and onvm_pkt_flush_all_nfs */

/** Once for each packet. @return 0: do what meta says; else: the NF keeps the packet, until it
 * gives it to onvm_nflib_return_pkt or rte_pktmbuf_free. */
typedef int (*nf_pkt_handler_fn)(struct rte_mbuf *pkt, struct onvm_pkt_meta *meta,
                                 struct onvm_nf_local_ctx *ctx);
/** Once for each pass of the run loop, with packets or without. @return not 0: end the NF. */
typedef int (*nf_user_actions_fn)(struct onvm_nf_local_ctx *ctx);
/** Once, in the run loop's thread, before the first packet is handled. */
typedef void (*nf_setup_fn)(struct onvm_nf_local_ctx *ctx);
/** For each message from another NF; rte_free(data) is the handler's. */
typedef void (*nf_msg_handler_fn)(void *data, struct onvm_nf_local_ctx *ctx);
typedef void (*handle_signal_func)(int signal);

struct onvm_nf_function_table {
  nf_setup_fn setup;
  nf_msg_handler_fn msg_handler;
  nf_user_actions_fn user_actions;
  nf_pkt_handler_fn pkt_handler;
};

/** An NF instance. In the memory of its own process. */
struct onvm_nf {
  struct rte_ring *rx_q;       /**< struct rte_mbuf *; filled in advanced-rings mode only */
  struct rte_ring *tx_q;       /**< struct rte_mbuf * with their meta set; any thread may enqueue */
  struct rte_ring *msg_q;      /**< struct onvm_nf_msg * */
  struct queue_mgr *nf_tx_mgr; /**< to pass on */
  uint16_t instance_id;        /**< from 1 */
  uint16_t service_id;         /**< 1 .. MAX_SERVICES - 1 */
  uint8_t status;              /**< NF_RUNNING, ... */
  char *tag;
  void *data; /**< the NF's own; rte_free'd by onvm_nflib_stop */
  struct {
    uint16_t core;
    uint16_t parent; /**< instance id, 0: none */
    rte_atomic16_t children_cnt;
  } thread_info;
  struct {
    uint16_t init_options; /**< bits, such as SHARE_CORE_BIT */
    uint16_t time_to_live; /**< seconds, 0: for ever */
    uint16_t pkt_limit;    /**< millions of packets, 0: none */
  } flags;
  struct onvm_nf_function_table *function_table;
  struct {
    volatile uint64_t rx;
    volatile uint64_t rx_drop;
    volatile uint64_t tx;
    volatile uint64_t tx_drop;
    volatile uint64_t tx_buffer;
    volatile uint64_t tx_returned;
    volatile uint64_t act_out;
    volatile uint64_t act_tonf;
    volatile uint64_t act_drop;
    volatile uint64_t act_next;
    volatile uint64_t act_buffer;
  } stats;
  struct {
    rte_atomic16_t *sleep_state;
    sem_t *nf_mutex;
  } shared_core; /**< for NFs that sleep by themselves; nobody sets sleep_state here */
};

/** What the threads of one NF share. */
struct onvm_nf_local_ctx {
  struct onvm_nf *nf;
  rte_atomic16_t nf_init_finished;
  rte_atomic16_t keep_running; /**< 0: the run loop is to end */
  rte_atomic16_t nf_stopped;
};

/** How to start an NF instance. */
struct onvm_nf_init_cfg {
  uint16_t instance_id;
  uint16_t service_id;
  uint16_t core;
  uint16_t init_options;
  uint8_t status;
  char *tag;
  uint16_t time_to_live;
  uint16_t pkt_limit;
};

/** How to start a child of an NF. */
struct onvm_nf_scale_info {
  struct onvm_nf_init_cfg *nf_init_cfg;
  struct onvm_nf *parent;
  void *data;
  struct onvm_nf_function_table *function_table;
};

/* --- the platform ------------------------------------------------------------------------------
 */

struct rx_stats {
  uint64_t rx[RTE_MAX_ETHPORTS];
};
struct tx_stats {
  uint64_t tx[RTE_MAX_ETHPORTS];
  uint64_t tx_drop[RTE_MAX_ETHPORTS];
};
/** The platform's ports; the counters are brought up to date about once a second. */
struct port_info {
  uint8_t num_ports;
  uint8_t id[RTE_MAX_ETHPORTS];   /**< the first num_ports entries */
  uint8_t init[RTE_MAX_ETHPORTS]; /**< by port id */
  struct rte_ether_addr mac[RTE_MAX_ETHPORTS];
  volatile struct rx_stats rx_stats;
  volatile struct tx_stats tx_stats;
};

struct onvm_configuration {
  struct {
    uint8_t ONVM_NF_SHARE_CORES;
  } flags;
};

struct core_status {
  uint8_t enabled;
  uint8_t is_dedicated_core;
  uint8_t nf_count;
};

struct onvm_service_chain_entry {
  uint16_t destination;
  uint8_t action;
};
/** Entry 0 is not used; the first is sc[1]. */
struct onvm_service_chain {
  struct onvm_service_chain_entry sc[ONVM_MAX_CHAIN_LENGTH];
  uint8_t chain_length;
  int ref_cnt;
};

struct lpm_request {
  char name[64];
  uint32_t max_num_rules;
  uint32_t num_tbl8s;
  int socket_id;
  int status;
};
struct ft_request {
  struct rte_hash_parameters *ipv4_hash_params;
  int status;
};

struct packet_buf {
  struct rte_mbuf *buffer[32]; /* PACKET_READ_SIZE */
  uint16_t count;
};

/** Set by the platform's configuration; scaling NFs define it themselves. */
extern uint8_t ONVM_NF_SHARE_CORES;

/* --- helpers -----------------------------------------------------------------------------------
 */

/** Not NULL and running. */
static inline int onvm_nf_is_valid(struct onvm_nf *nf) {
  return nf != NULL && nf->status == NF_RUNNING;
}

/** @return 0, or -1 if there is no such port */
int onvm_get_macaddr(uint8_t port, struct rte_ether_addr *mac);
/** 02:00:00:00:00:00. @return 0 */
int onvm_get_fake_macaddr(struct rte_ether_addr *mac);

/* Names of an instance's objects, each in a buffer of its own that the next call overwrites. */
const char *get_rx_queue_name(unsigned id);
const char *get_tx_queue_name(unsigned id);
const char *get_msg_queue_name(unsigned id);
const char *get_sem_name(unsigned id);
/** 1230 + id. */
key_t get_rx_shmkey(unsigned id);
/** Whether a sleeping NF has enough in its queues to be woken. */
int whether_wakeup_client(struct onvm_nf *nf, void *nf_wakeup_info);

#ifdef __cplusplus
}
#endif

#endif /* ONVM_COMMON_H */
