#include "tools/supervisor/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <map>
#include <string_view>

#include "nf_lib/limits.h"

namespace hb::supervisor {
namespace {

const std::map<std::string, RestartPolicy> kPolicies = {{"never", RestartPolicy::kNever},
                                                        {"on-failure", RestartPolicy::kOnFailure},
                                                        {"always", RestartPolicy::kAlways}};

/// As long as the manager believes in a restart that is announced.
constexpr std::uint32_t kLongestWaitMs = 60'000;

}  // namespace

Result<Options> parse_options(int argc, char** argv) {
  Options options;
  if (argc < 2) return Error{"the NF's program is missing", "see start_nf.sh --help"};
  options.program = argv[1];
  options.service = std::filesystem::path(options.program).filename();
  const std::string name = options.service;

  std::string policy = "never";
  CLI::App app("", "start_nf.sh");
  app.set_help_flag();
  app.allow_extras();
  app.add_option("--restart", policy)->check(CLI::IsMember(&kPolicies).description(""));
  auto wait_ms = static_cast<std::uint32_t>(options.restart_wait.count());
  app.add_option("--restart-wait", wait_ms)->check(CLI::Range(0u, kLongestWaitMs));
  app.add_option("--restart-limit", options.restart_limit)->check(CLI::Range(0u, 1000u));
  app.add_option("--instances", options.n_instances)->check(CLI::Range(1u, kMaxTargets));
  CLI::Option* const prefix = app.add_option("--prefix", options.prefix);
  CLI::Option* const service = app.add_option("--service", options.service);
  // CLI11 takes the arguments in reverse.
  char** const own_end = std::find(argv + 2, argv + argc, std::string_view("--"));
  std::vector<std::string> words(argv + 2, own_end);
  std::ranges::reverse(words);
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    return Error{error.what(), own_end != argv + argc
                                   ? "see start_nf.sh --help"
                                   : fmt::format("see start_nf.sh {} --help", name)};
  }
  options.restart_wait = std::chrono::milliseconds(wait_ms);
  options.restart = kPolicies.at(policy);
  options.args = app.remaining();
  if (own_end != argv + argc) {
    if (!options.args.empty())
      return Error{fmt::format("'{}' is no option of start_nf.sh", options.args.front()),
                   "the NF's own come behind '--'"};
    options.args.assign(own_end + 1, argv + argc);
    return options;
  }
  options.wants_help = std::ranges::any_of(
      options.args, [](const std::string& word) { return word == "--help" || word == "-h"; });
  if (prefix->count() != 0) options.args.insert(options.args.end(), {"--prefix", options.prefix});
  if (service->count() != 0)
    options.args.insert(options.args.end(), {"--service", options.service});
  return options;
}

std::string help_text() {
  return "start_nf.sh NAME [OPTIONS] [OPTIONS OF THE NF]\n"
         "  --restart never|on-failure|always  start it again when it ends [never]\n"
         "  --restart-wait MS                  the longest wait before it is; 0: at once [10000]\n"
         "  --restart-limit N                  deaths in a row, each within 2 s of the start,\n"
         "                                     that are too many; 0: never [5]\n"
         "  --instances N                      processes that share the service's packets [1]\n"
         "\n";
}

}  // namespace hb::supervisor
