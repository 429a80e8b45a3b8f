// onvm_threading.h.
#include "onvm_compat/include/onvm_threading.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <vector>

namespace {

std::vector<uint16_t> usable_cpus() {
  std::vector<uint16_t> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(static_cast<uint16_t>(cpu));
  return cpus;
}

}  // namespace

extern "C" {

int onvm_threading_get_num_cores(void) { return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)); }

int onvm_threading_get_core(uint16_t* core, uint8_t flags, struct core_status* /*cores*/) {
  static std::atomic<unsigned> n_given{static_cast<unsigned>(getpid())};
  const std::vector<uint16_t> cpus = usable_cpus();
  if (cpus.empty()) return NF_CORE_OUT_OF_RANGE;
  if (ONVM_CHECK_BIT(flags, MANUAL_CORE_ASSIGNMENT_BIT)) {
    for (const uint16_t cpu : cpus)
      if (cpu == *core) return 0;
    return NF_CORE_OUT_OF_RANGE;
  }
  *core = cpus[n_given.fetch_add(1) % cpus.size()];
  return 0;
}

int onvm_threading_core_affinitize(int cpu) {
  if (cpu < 0 || cpu >= onvm_threading_get_num_cores() || cpu >= CPU_SETSIZE) return -1;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0 ? 0 : -1;
}

int onvm_threading_find_nf_to_reassign_core(uint16_t /*candidate_core*/,
                                            struct core_status* /*cores*/) {
  return 0;
}

}  // extern "C"
