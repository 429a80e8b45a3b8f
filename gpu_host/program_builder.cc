#include "gpu_host/program_builder.h"

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

}  // namespace hb
