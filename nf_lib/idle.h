// What a polling thread does when there is nothing to do.
#pragma once

#include <rte_pause.h>
#include <sched.h>
#include <time.h>

#include <cstdint>

namespace hb {

/// Adaptive: spins, then yields, then sleeps with naps that grow to kMaxNapNs, so that a whole
/// platform runs on two cores. Busy: never sleeps, for dedicated cores. One thread.
class Idle {
 public:
  static constexpr std::uint32_t kSpins = 32;
  static constexpr std::uint32_t kYields = 32;
  static constexpr long kMaxNapNs = 100'000;

  explicit Idle(bool busy = false) : busy_(busy) {}

  /// There was work.
  void reset() noexcept {
    polls_ = 0;
    nap_ns_ = kFirstNapNs;
  }

  /// There was none: wait a little, longer each time.
  void wait() noexcept {
    if (busy_ || polls_ < kSpins) {
      ++polls_;
      rte_pause();
    } else if (polls_ < kSpins + kYields) {
      ++polls_;
      sched_yield();
    } else {
      const timespec nap{0, nap_ns_};
      nanosleep(&nap, nullptr);
      nap_ns_ = nap_ns_ * 2 < kMaxNapNs ? nap_ns_ * 2 : kMaxNapNs;
    }
  }

 private:
  static constexpr long kFirstNapNs = 2'000;
  bool busy_;
  std::uint32_t polls_ = 0;
  long nap_ns_ = kFirstNapNs;
};

}  // namespace hb
