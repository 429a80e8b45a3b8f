#include "nf_lib/cpu_list.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace hb {
namespace {

bool parse_number(std::string_view text, int& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value >= 0;
}

Error bad_list(const std::string& list) {
  return Error{fmt::format("--cores '{}' is not a CPU list", list), "write it like 0-3,8"};
}

}  // namespace

Result<std::vector<int>> parse_cpu_list(const std::string& list) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  std::vector<int> cpus;
  if (list.empty()) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
    return cpus;
  }
  std::string_view rest = list;
  while (true) {
    const std::size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    const std::size_t dash = part.find('-');
    int first = 0;
    int last = 0;
    if (!parse_number(part.substr(0, dash), first)) return bad_list(list);
    last = first;
    if (dash != std::string_view::npos && !parse_number(part.substr(dash + 1), last))
      return bad_list(list);
    if (last < first) return bad_list(list);
    for (int cpu = first; cpu <= last; ++cpu) {
      if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &allowed))
        return Error{fmt::format("--cores '{}': there is no CPU {} for this process", list, cpu),
                     "name CPUs that `taskset -p $$` shows"};
      cpus.push_back(cpu);
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  std::ranges::sort(cpus);
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

void keep_to_cpu(pthread_t thread, int cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(thread, sizeof(set), &set);
}

Result<std::string> lcore_cpus(const std::string& list) {
  const Result<std::vector<int>> cpus = parse_cpu_list(list);
  if (!cpus) return cpus.error();
  return fmt::format("{}", fmt::join(*cpus, ","));
}

}  // namespace hb
