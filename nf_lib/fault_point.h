// Places at which a test can end or stop a process. The programs that are shipped have none: only
// the library that tests/CMakeLists.txt builds a second time, with HB_FAULT_POINTS, has.
#pragma once

#include <atomic>
#include <cstdint>

namespace hb {

/// What a test wants of a process: the file that HB_FAULT_FILE names, mapped by both. The test
/// writes the other fields, then `state`; tests/e2e/faults.py has the same layout.
struct FaultOrder {
  enum State : std::uint32_t { kIdle = 0, kArmed = 1, kFired = 2 };
  std::atomic<std::uint32_t> state;
  std::uint32_t signal;              ///< what the process sends itself
  std::atomic<std::int32_t> passes;  ///< of that point that are left, the last of which fires
  std::atomic<std::int32_t> pid;     ///< who fired
  char name[48];                     ///< of the point
};
static_assert(sizeof(FaultOrder) == 64);

#ifdef HB_FAULT_POINTS
/// Sends this process the ordered signal when this is the pass that was ordered, on the thread that
/// passes; returns only from one that lets the process live. Any thread.
void fault_point(const char* name) noexcept;
#else
constexpr void fault_point(const char* /*name*/) noexcept {}
#endif

}  // namespace hb
