/* rte_exit() takes EAL's memory away before the process ends. What works in it until then, the
 * library's threads and the NF's other ones, would die of that: the exit status would be SIGSEGV's.
 * An NF's EAL has nothing that outlives its process, so there is nothing to clean up.
 */
#ifndef ONVM_COMPAT_EXIT_H
#define ONVM_COMPAT_EXIT_H

#include <rte_common.h>

#ifdef __cplusplus
extern "C" {
#endif

/** As rte_exit(): prints "exiting with code" if status is not 0, then the message, and ends the
 * process by exit(status). EAL stays as it is. Any thread. */
__rte_noreturn void onvm_compat_exit(int status, const char *format, ...) __rte_format_printf(2, 3);

#ifdef __cplusplus
}
#endif

#ifndef ONVM_COMPAT_IMPLEMENTATION
#define rte_exit onvm_compat_exit
#endif

#endif /* ONVM_COMPAT_EXIT_H */
