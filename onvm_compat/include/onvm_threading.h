/* Threads and CPUs. */
#ifndef ONVM_THREADING_H
#define ONVM_THREADING_H

#include <stdint.h>

#include "onvm_common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** CPUs that are online. */
int onvm_threading_get_num_cores(void);
/** Chooses a CPU for an NF from those that the process may use.
 * @param flags  its MANUAL_CORE_ASSIGNMENT_BIT keeps *core if it can be used
 * @return 0, or NF_CORE_OUT_OF_RANGE */
int onvm_threading_get_core(uint16_t *core, uint8_t flags, struct core_status *cores);
/** Binds the calling thread to a CPU. @return 0 or -1 */
int onvm_threading_core_affinitize(int cpu);
/** No NF is ever moved to a CPU that another one has left: 0. */
int onvm_threading_find_nf_to_reassign_core(uint16_t candidate_core, struct core_status *cores);

#ifdef __cplusplus
}
#endif

#endif /* ONVM_THREADING_H */
