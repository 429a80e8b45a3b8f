#include "gpu_host/backends.h"

#include <fmt/format.h>

#include <array>

#include "gpu_host/cuda/cuda_backend.h"
#include "gpu_host/opencl/opencl_backend.h"

namespace hb {
namespace {

constexpr std::array kBackends = {
    BackendEntry{"cuda", make_cuda_backend},
    BackendEntry{"opencl", make_opencl_backend},
};

}  // namespace

std::span<const BackendEntry> all_backends() { return kBackends; }

Result<std::span<const BackendEntry>> parse_backend(const std::string& name) {
  if (name == "auto") return all_backends();
  for (const BackendEntry& entry : kBackends)
    if (name == entry.name) return std::span(&entry, 1);
  return Error{fmt::format("there is no backend '{}'", name), "use auto, cuda or opencl"};
}

}  // namespace hb
