// CPU lists as taskset and the kernel write them: 0-3,8.
#pragma once

#include <pthread.h>

#include <string>
#include <vector>

#include "nf_lib/result.h"

namespace hb {

/// @return the CPUs of the list, ascending; an Error for a malformed list or a CPU that this
///         process may not use
Result<std::vector<int>> parse_cpu_list(const std::string& list);

/// Keeps a thread to one CPU. A negative number, or a CPU that it may not use, changes nothing.
void keep_to_cpu(pthread_t thread, int cpu);

/// @return the list for EAL's --lcores; for an empty one all CPUs that this process may use
Result<std::string> lcore_cpus(const std::string& list);

}  // namespace hb
