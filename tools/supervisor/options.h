// The supervisor's command line: its own options, and the NF's, which it passes on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nf_lib/restart_backoff.h"
#include "nf_lib/result.h"

namespace hb::supervisor {

enum class RestartPolicy { kNever, kOnFailure, kAlways };

struct Options {
  std::string program;            ///< path of the NF's program
  std::vector<std::string> args;  ///< its arguments
  std::string prefix = "hb";
  std::string service;  ///< as it will register
  RestartPolicy restart = RestartPolicy::kNever;
  std::uint32_t n_instances = 1;
  RestartBackoff::Duration restart_wait = RestartBackoff::kLongest;
  std::uint32_t restart_limit = RestartBackoff::kLoop;
  bool wants_help = false;
};

/// @param argv  program, then any mixture of the supervisor's options and the NF's; or program, the
///              supervisor's options, "--", and the program's arguments, which stay as they are (an
///              OpenNetVM NF's)
Result<Options> parse_options(int argc, char** argv);

/// The supervisor's own options, for people; the NF's follow when the NF is asked.
std::string help_text();

}  // namespace hb::supervisor
