#define ONVM_COMPAT_IMPLEMENTATION
#include <rte_log.h>

#include <cstdarg>
#include <cstdlib>

#include "onvm_compat/include/onvm_compat_exit.h"

extern "C" void onvm_compat_exit(int status, const char* format, ...) {
  if (status != 0)
    rte_log(RTE_LOG_CRIT, RTE_LOGTYPE_EAL, "EAL: Error - exiting with code: %d\n  Cause: ", status);
  va_list arguments;
  va_start(arguments, format);
  rte_vlog(RTE_LOG_CRIT, RTE_LOGTYPE_EAL, format, arguments);
  va_end(arguments);
  exit(status);
}
