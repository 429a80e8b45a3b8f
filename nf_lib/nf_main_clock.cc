// DPDK asks get_tsc_freq() where the processor does not tell how fast its time-stamp counter runs:
// it sleeps for 100 ms and compares two clocks, which is most of an NF's start. 2 ms tell the same:
// DPDK rounds to 10 MHz. The linker leads its call here (--wrap in nf_lib/CMakeLists.txt); the name
// is the linker's.
#include <rte_cycles.h>

#include <chrono>
#include <cstdint>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kMeasured{2};
/// A pair of looks that took more cycles was interrupted; so many are tried.
constexpr std::uint64_t kQuickCycles = 3000;
constexpr int kTries = 100;

struct Look {
  Clock::time_point time;
  std::uint64_t cycles = 0;
};

/// Both clocks at the same time, as well as can be.
Look look() {
  Look best;
  std::uint64_t shortest = ~std::uint64_t{0};
  for (int i = 0; i < kTries && shortest > kQuickCycles; ++i) {
    const std::uint64_t before = rte_rdtsc();
    const Clock::time_point time = Clock::now();
    const std::uint64_t took = rte_rdtsc() - before;
    if (took >= shortest) continue;
    shortest = took;
    best = {time, before + took / 2};
  }
  return best;
}

}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" std::uint64_t __wrap_get_tsc_freq();

/// @return cycles per second, rounded to 10 MHz as DPDK does
extern "C" std::uint64_t __wrap_get_tsc_freq() {
  constexpr std::uint64_t kRounding = 10'000'000;
  const Look first = look();
  while (Clock::now() - first.time < kMeasured) continue;
  const Look last = look();
  const std::chrono::duration<double> passed = last.time - first.time;
  const double hz = static_cast<double>(last.cycles - first.cycles) / passed.count();
  return (static_cast<std::uint64_t>(hz) + kRounding / 2) / kRounding * kRounding;
}
// NOLINTEND(bugprone-reserved-identifier)
