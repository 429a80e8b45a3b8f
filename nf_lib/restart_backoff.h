// When a process that has died is started again: at once after a healthy life, later and later
// after short ones, never in a crash loop.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace hb {

/// Of one place for a process. Times are the caller's: any monotonic clock.
class RestartBackoff {
 public:
  using Duration = std::chrono::milliseconds;
  static constexpr Duration kFirst{100};
  static constexpr Duration kLongest{10'000};
  /// A process that has lived this long was healthy: what happened before is forgotten.
  static constexpr Duration kHealthy{10'000};
  /// So many deaths in a row, each so soon after the start, are a crash loop.
  static constexpr std::uint32_t kLoop = 5;
  static constexpr Duration kSoon{2'000};

  /// @param longest  no restart waits longer; 0: each one comes at once
  /// @param loop     so many deaths soon after the start are a crash loop; 0: none ever is
  explicit RestartBackoff(Duration longest = kLongest, std::uint32_t loop = kLoop) noexcept
      : longest_(longest), loop_(loop) {}

  /// @param lived  how long the process has lived
  /// @return how long to wait before the next start; nullopt: it is a crash loop
  std::optional<Duration> on_death(Duration lived) noexcept {
    n_deaths_ = lived >= kHealthy ? 1 : n_deaths_ + 1;
    n_soon_ = lived < kSoon ? n_soon_ + 1 : 0;
    if (loop_ != 0 && n_soon_ >= loop_) return std::nullopt;
    if (n_deaths_ == 1) return Duration{0};
    return std::min(longest_, kFirst * (1u << std::min(n_deaths_ - 2, 10u)));
  }

 private:
  Duration longest_;
  std::uint32_t loop_;
  std::uint32_t n_deaths_ = 0;  ///< since the last healthy life
  std::uint32_t n_soon_ = 0;
};

}  // namespace hb
