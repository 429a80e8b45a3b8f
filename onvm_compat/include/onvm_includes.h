/* Headers that OpenNetVM's NFs take for granted once they have included onvm_nflib.h. */
#ifndef ONVM_INCLUDES_H
#define ONVM_INCLUDES_H

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include <rte_atomic.h>
#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_debug.h>
#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_interrupts.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_memory.h>
#include <rte_mempool.h>
#include <rte_memzone.h>
#include <rte_pci.h>
#include <rte_per_lcore.h>
#include <rte_ring.h>
#include <rte_string_fns.h>
#include <rte_tailq.h>

#include "onvm_common.h"
#include "onvm_flow_dir.h"
#include "onvm_flow_table.h"
#include "onvm_sc_common.h"
#include "onvm_sc_mgr.h"

#endif /* ONVM_INCLUDES_H */
