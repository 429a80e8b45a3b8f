#include "gpu_host/opencl/program.h"

#include <array>
#include <charconv>
#include <chrono>

#include "gpu_host/child_process.h"
#include "gpu_host/kernel_source.h"

namespace hb::opencl {
namespace {

constexpr std::chrono::minutes kBuildLimit{5};
constexpr std::size_t kShownLog = 2000;

}  // namespace

Result<Program> build_variant(const Session& session, const std::string& source,
                              std::size_t variant) {
  const char* text = source.c_str();
  cl_int code = CL_SUCCESS;
  Program program(clCreateProgramWithSource(session.context.get(), 1, &text, nullptr, &code));
  if (code != CL_SUCCESS) return cl_error("take the program's source", code);
  code = clBuildProgram(program.get(), 1, &session.device.id, kBuildVariants[variant], nullptr,
                        nullptr);
  if (code == CL_SUCCESS) return program;
  std::size_t bytes = 0;
  clGetProgramBuildInfo(program.get(), session.device.id, CL_PROGRAM_BUILD_LOG, 0, nullptr, &bytes);
  std::string log(bytes, '\0');
  clGetProgramBuildInfo(program.get(), session.device.id, CL_PROGRAM_BUILD_LOG, bytes, log.data(),
                        nullptr);
  log = log.substr(0, std::min(log.find('\0'), kShownLog));
  return Error{fmt::format("the kernels can't be compiled for '{}' ({}, {}):\n{}",
                           session.device.info.name, code_name(code), kBuildVariants[variant], log),
               ""};
}

Result<std::size_t> build_any(Session& session, const std::string& source) {
  Error last;
  // PoCL before 5 has no scope beyond the device: do not make it fail first at every start.
  const std::string version =
      info_string(clGetPlatformInfo, session.device.platform, CL_PLATFORM_VERSION);
  const bool old_pocl = version.find("PoCL 3") != std::string::npos ||
                        version.find("PoCL 4") != std::string::npos ||
                        version.find("pocl 1") != std::string::npos;
  for (std::size_t variant = old_pocl ? 1 : 0; variant < kBuildVariants.size(); ++variant) {
    Result<Program> program = build_variant(session, source, variant);
    if (program) {
      session.program = std::move(*program);
      return variant;
    }
    if (last.what.empty() || variant == 1) last = program.error();
  }
  return last;
}

Result<void> load_program(Session& session) {
  const BackendOptions& options = session.options;
  Result<std::string> source = load_kernel_source(options.kernel_dir, "persistent.cl");
  if (!source) return source.error();
  Result<ChildProcess> helper = ChildProcess::start(
      options.helper_program,
      {"--build-program", "--backend", "opencl", "--device", std::to_string(options.device_idx),
       "--workgroup-size", std::to_string(options.work_group_size), "--kernels",
       options.kernel_dir});
  if (!helper) return helper.error();
  const Result<std::string> said = helper->wait(kBuildLimit);
  if (!said) return said.error();
  constexpr std::string_view kMark = "build variant ";
  const std::size_t at = said->rfind(kMark);
  std::size_t variant = kBuildVariants.size();
  if (at != std::string::npos)
    std::from_chars(said->data() + at + kMark.size(), said->data() + said->size(), variant);
  if (variant >= kBuildVariants.size())
    return Error{"the program builder ended without saying what it built: " + *said, ""};
  Result<Program> program = build_variant(session, *source, variant);
  if (!program) return program.error();
  session.program = std::move(*program);
  return {};
}

}  // namespace hb::opencl
