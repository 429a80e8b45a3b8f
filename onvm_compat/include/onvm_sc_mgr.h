/* Making service chains. */
#ifndef ONVM_SC_MGR_H
#define ONVM_SC_MGR_H

#include "onvm_sc_common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** NULL, always, as in OpenNetVM. */
struct onvm_service_chain *onvm_sc_get(void);
/** An empty chain; rte_free it. NULL without memory. */
struct onvm_service_chain *onvm_sc_create(void);

#ifdef __cplusplus
}
#endif

#endif /* ONVM_SC_MGR_H */
