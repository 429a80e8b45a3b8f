// What the manager prints while it runs: a table that refreshes on a terminal, else a line now and
// then.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json_fwd.hpp>

namespace hb {

struct Platform;

/// Control thread only.
class Console {
 public:
  Console();
  ~Console();
  /// Prints if it is time to.
  void tick(Platform& platform);

 private:
  using Clock = std::chrono::steady_clock;
  bool terminal_;
  Clock::time_point last_;
  std::unique_ptr<nlohmann::json> before_;
};

}  // namespace hb
