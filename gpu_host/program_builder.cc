#include "gpu_host/program_builder.h"

#include <fmt/format.h>

#include <regex>
#include <sstream>

#include "gpu_host/child_process.h"

namespace hb {

Result<std::string> build_in_helper(const BackendOptions& options, const char* backend,
                                    const std::vector<std::string>& more,
                                    std::chrono::seconds limit) {
  std::vector<std::string> args = {"--build-program",
                                   "--backend",
                                   backend,
                                   "--device",
                                   std::to_string(options.device_idx),
                                   "--workgroup-size",
                                   std::to_string(options.work_group_size),
                                   "--kernels",
                                   options.kernel_dir};
  args.insert(args.end(), more.begin(), more.end());
  Result<ChildProcess> helper = ChildProcess::start(options.helper_program, args);
  if (!helper) return helper.error();
  return helper->wait(limit);
}

Error kernel_refused(const std::string& name, const std::string& said) {
  // What compilers and drivers say around the messages, and our own sentence above them.
  static const std::regex kFrame(
      R"(\s*|\d+ errors? generated\.?|\d+ warnings?.* generated\.?|Device .* failed to build.*|)"
      R"(the kernels can't be compiled .*)");
  std::istringstream lines(said);
  std::string messages;
  for (std::string line; std::getline(lines, line);)
    if (!std::regex_match(line, kFrame)) messages += (messages.empty() ? "" : "\n") + line;
  return Error{
      fmt::format("the kernel '{}' is refused: {}", name, messages.empty() ? said : messages),
      "correct it: docs/gpu-nf.md says what a kernel must be"};
}

}  // namespace hb
