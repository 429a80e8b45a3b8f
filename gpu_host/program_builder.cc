#include "gpu_host/program_builder.h"

#include <fmt/format.h>

#include <sstream>
#include <string_view>

#include "gpu_host/child_process.h"

namespace hb {
namespace {

/// What compilers and drivers say around their messages, and our own sentence above them.
bool is_frame(std::string_view line) {
  return line.find_first_not_of(" \t\r") == line.npos || line.ends_with(" generated.") ||
         (line.starts_with("Device ") && line.find(" failed to build ") != line.npos) ||
         line.starts_with("the kernels can't be compiled ");
}

}  // namespace

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
  std::istringstream lines(said);
  std::string messages;
  for (std::string line; std::getline(lines, line);)
    if (!is_frame(line)) messages += (messages.empty() ? "" : "\n") + line;
  return Error{
      fmt::format("the kernel '{}' is refused: {}", name, messages.empty() ? said : messages),
      "correct it: docs/gpu-nf.md says what a kernel must be"};
}

}  // namespace hb
