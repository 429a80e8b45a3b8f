#include "gpu_host/opencl/program.h"

#include <array>
#include <charconv>
#include <chrono>

#include "gpu_host/kernel_source.h"
#include "gpu_host/program_builder.h"
#include "nf_lib/memory_file.h"

namespace hb::opencl {
namespace {

constexpr std::chrono::minutes kBuildLimit{5};
constexpr std::chrono::minutes kUserBuildLimit{2};
constexpr std::size_t kShownLog = 2000;

}  // namespace

Result<Program> build_variant(const Session& session, const std::string& source,
                              std::size_t variant) {
  const char* text = source.c_str();
  cl_int code = CL_SUCCESS;
  Program program(clCreateProgramWithSource(session.context.get(), 1, &text, nullptr, &code));
  if (code != CL_SUCCESS) return cl_error("take the program's source", code);
  std::string options = kBuildVariants[variant];
  if (session.device.info.is_cpu) options += " -DHB_COALESCES=0";
  code = clBuildProgram(program.get(), 1, &session.device.id, options.c_str(), nullptr, nullptr);
  if (code == CL_SUCCESS) return program;
  std::size_t bytes = 0;
  clGetProgramBuildInfo(program.get(), session.device.id, CL_PROGRAM_BUILD_LOG, 0, nullptr, &bytes);
  std::string log(bytes, '\0');
  clGetProgramBuildInfo(program.get(), session.device.id, CL_PROGRAM_BUILD_LOG, bytes, log.data(),
                        nullptr);
  log = log.substr(0, std::min(log.find('\0'), kShownLog));
  return Error{fmt::format("the kernels can't be compiled for '{}' ({}, {}):\n{}",
                           session.device.info.name, code_name(code), options, log),
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
      session.program = std::make_shared<const ClProgram>(std::move(*program));
      return variant;
    }
    if (last.what.empty() || variant == 1) last = program.error();
  }
  return last;
}

Result<std::string> user_source(const Session& session, const UserKernel& user) {
  const UserSource source{user.file.name, user.file.source};
  return load_kernel_source(session.options.kernel_dir, "persistent.cl", &source);
}

Result<void> load_program(Session& session) {
  Result<std::string> source = load_kernel_source(session.options.kernel_dir, "persistent.cl");
  if (!source) return source.error();
  const Result<std::string> said = build_in_helper(session.options, "opencl", {}, kBuildLimit);
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
  session.variant = variant;
  session.program = std::make_shared<const ClProgram>(std::move(*program));
  return {};
}

Result<std::shared_ptr<const ClProgram>> load_user_program(const Session& session,
                                                           const UserKernel& user) {
  const Result<std::string> source = user_source(session, user);
  if (!source) return source.error();
  const Result<MemoryFile> text =
      MemoryFile::make("hummingbird-kernel",
                       std::as_bytes(std::span(user.file.source.data(), user.file.source.size())));
  if (!text) return text.error();
  const Result<MemoryFile> table = MemoryFile::make("hummingbird-table", user.table);
  if (!table) return table.error();
  const Result<std::string> said =
      build_in_helper(session.options, "opencl",
                      {"--variant", std::to_string(session.variant), "--user-kernel", text->path(),
                       "--user-name", user.file.name, "--user-table", table->path()},
                      kUserBuildLimit);
  if (!said) return kernel_refused(user.file.name, said.error().what);
  Result<Program> program = build_variant(session, *source, session.variant);
  if (!program) return program.error();
  return std::make_shared<const ClProgram>(std::move(*program));
}

}  // namespace hb::opencl
