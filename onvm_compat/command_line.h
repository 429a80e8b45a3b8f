// NF <EAL args> -- <OpenNetVM args> -- <NF args>, or NF -F FILE.json.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nf_lib/result.h"

namespace hb::onvm {

struct CommandLine {
  // EAL's part. A private EAL takes what makes sense for it; the rest is accepted and ignored.
  std::vector<unsigned> lcores = {0};
  std::uint32_t memory_mb = 512;
  std::vector<std::string> log_levels;

  // OpenNetVM's part.
  std::uint16_t service = 0;       ///< -r, 1 .. MAX_SERVICES - 1; 0: "auto", the manager chooses
  std::uint16_t instance = 0;      ///< -n, 0: any
  std::uint16_t time_to_live = 0;  ///< -t, seconds
  std::uint16_t pkt_limit = 0;     ///< -l, millions
  bool manual_core = false;        ///< -m
  bool share_core = false;         ///< -s

  // The platform's, among OpenNetVM's.
  std::string prefix = "hb";  ///< --prefix, else $HB_PREFIX
  std::string service_name;   ///< --service, else $HB_SERVICE; empty: by tag or number
  std::string cores;          ///< --cores, else $HB_CORES; empty: where the process may run

  int consumed = 0;  ///< index of the second "--", or of the last argument without one
};

/// @param argv  as main() got it, NUL-terminated; not changed but for getopt's reordering
Result<CommandLine> parse_command_line(int argc, char* argv[]);

/// -F FILE: without two "--" nobody knows whose the words behind FILE are.
/// @param argv  as main() got it; argv[1] is "-F", and there is an argv[2]
Result<void> check_words_behind_file(int argc, char* argv[]);

}  // namespace hb::onvm
