// The two clocks, in nanoseconds.
#pragma once

#include <time.h>

#include <cstdint>

namespace hb {

inline std::uint64_t clock_ns(clockid_t clock) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}
/// Since 1970.
inline std::uint64_t wall_clock_ns() noexcept { return clock_ns(CLOCK_REALTIME); }
/// Since some moment that does not change; never goes back.
inline std::uint64_t monotonic_ns() noexcept { return clock_ns(CLOCK_MONOTONIC); }

}  // namespace hb
