#include "manager/console.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "manager/statistics.h"
#include "nf_lib/text_table.h"

namespace hb {
namespace {

constexpr std::chrono::milliseconds kTerminalPeriod{1000};
constexpr std::chrono::milliseconds kLinePeriod{5000};

}  // namespace

Console::Console() : terminal_(isatty(STDOUT_FILENO) != 0), last_(Clock::now()) {}
Console::~Console() = default;

void Console::tick(Platform& platform) {
  const Clock::time_point now = Clock::now();
  const auto since = now - last_;
  if (since < (terminal_ ? kTerminalPeriod : kLinePeriod)) return;
  last_ = now;
  auto status = std::make_unique<nlohmann::json>(statistics(platform, nullptr));
  const double seconds = std::chrono::duration<double>(since).count();
  EarlierStatus earlier{before_ ? *before_ : *status, before_ ? seconds : 0};
  const std::string text =
      terminal_ ? "\033[H\033[J" + status_text(*status, &earlier)  // home, clear below
                : status_line(*status, &earlier) + "\n";
  // Nobody may be there to read it, and its disk be full: that is no reason to end.
  (void)std::fwrite(text.data(), 1, text.size(), stdout);
  (void)std::fflush(stdout);
  before_ = std::move(status);
}

}  // namespace hb
