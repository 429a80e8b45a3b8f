// Runs an NF's bursts one instruction at a time, and asks at each of them: if the process died here,
// would the manager account for every packet?
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "manager/recovery.h"
#include "nf_lib/burst_loop.h"
#include "tests/unit/planned_nf.h"
#include "tests/unit/small_platform.h"

namespace hb::test {

/// One thing that an NF does, at the end of which it has nothing to do.
struct CrashScenario {
  std::string name;
  SmallOptions options;
  NfPlan nf;
  /// Fills rings; the loop and the NF are there, so it may let them run to get packets held.
  std::function<void(SmallPlatform&, BurstLoop&, PlannedNf&)> prepare;
  /// The NF writes ledger and held area into a page that recovery does not see. The test of the
  /// test: it must be found out.
  bool hide_page = false;
};

struct CrashReport {
  std::uint64_t n_steps = 0;   ///< instructions executed
  std::uint64_t n_points = 0;  ///< different states of the shared memory that were recovered from
  std::uint64_t n_lost = 0;    ///< packets found nowhere, over all points
  std::uint64_t n_twice = 0;   ///< packets found in two places, over all points
  std::uint64_t n_wrong = 0;   ///< other findings: order, reasons, rings out of order
  std::string first_error;
  bool traceable = true;  ///< false: this process may not trace its child
  [[nodiscard]] bool clean() const { return n_lost == 0 && n_twice == 0 && n_wrong == 0; }
};

class CrashWorld {
 public:
  explicit CrashWorld(const CrashScenario& scenario);

  /// Steps one process through the whole scenario; whenever it has changed shared memory, recovers
  /// from what it left there so far, checks, and puts the memory back.
  CrashReport recover_at_every_step();

  /// Kills a process after n instructions, n = first, first + stride, ..., and recovers.
  CrashReport kill_for_real(std::uint64_t first, std::uint64_t stride);

 private:
  /// Where packets wait when the world starts, and when the NF has done all.
  struct Picture {
    std::vector<std::vector<std::uint32_t>> rings;  ///< by ring id
    std::vector<std::uint32_t> held;
  };
  Picture look() const;
  /// Forks a process that runs the NF; traced, it is stopped before its first instruction there.
  int start_child(bool traced);
  void run_nf();
  void put_back(const std::vector<std::byte>& memory);
  void recover_and_check(CrashReport& report);
  void check_recovered(std::uint64_t n_recovered, CrashReport& report) const;
  void check_each_packet_once(const Picture& now, CrashReport& report) const;
  void check_successor(CrashReport& report);

  CrashScenario scenario_;
  SmallPlatform platform_;
  Platform manager_;
  ContextPage hidden_page_{};
  std::optional<BurstLoop> loop_;
  PlannedNf nf_;
  std::vector<std::byte> start_;
  Picture before_;
  Picture after_;
  std::uint32_t n_in_hand_at_most_ = 0;
};

}  // namespace hb::test
