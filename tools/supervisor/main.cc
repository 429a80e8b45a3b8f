// nf_supervisor: what start_nf.sh runs. The parent of an NF's processes.
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "tools/supervisor/supervisor.h"

namespace {

int fail(const hb::Error& error) {
  spdlog::error("{}", error.line());
  return 1;
}

/// The NF prints its own options below the supervisor's.
int show_help(hb::supervisor::Options& options) {
  fmt::print("{}", hb::supervisor::help_text());
  std::fflush(stdout);
  char help[] = "--help";
  char* argv[] = {options.program.data(), help, nullptr};
  execv(options.program.c_str(), argv);
  return fail({fmt::format("'{}' can't be run", options.program), "build it again"});
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  auto logger = spdlog::stderr_color_mt("supervisor");
  logger->set_pattern("%H:%M:%S.%e %n %^%l%$ %v");
  spdlog::set_default_logger(std::move(logger));
  try {
    hb::Result<hb::supervisor::Options> options = hb::supervisor::parse_options(argc, argv);
    if (!options) return fail(options.error());
    if (options->wants_help) return show_help(*options);
    hb::supervisor::Supervisor supervisor(std::move(*options));
    if (const hb::Result<void> started = supervisor.start(); !started) return fail(started.error());
    return supervisor.run();
  } catch (const std::exception& error) {
    return fail({error.what(), ""});
  }
}
