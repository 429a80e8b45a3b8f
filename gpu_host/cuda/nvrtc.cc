#include "gpu_host/cuda/nvrtc.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <array>

namespace hb::cuda {
namespace {

constexpr std::size_t kShownLog = 2000;

void* open_library() {
  for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"})
    if (void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  for (const char* pattern :
       {"/usr/local/cuda*/lib64/libnvrtc.so", "/usr/lib/x86_64-linux-gnu/libnvrtc.so.1*",
        "/opt/cuda*/lib64/libnvrtc.so"}) {
    glob_t found{};
    glob(pattern, 0, nullptr, &found);
    void* library = nullptr;
    for (std::size_t i = found.gl_pathc; i-- > 0 && library == nullptr;)
      library = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&found);
    if (library != nullptr) return library;
  }
  return nullptr;
}

}  // namespace

Result<Nvrtc> Nvrtc::load() {
  void* const library = open_library();
  if (library == nullptr)
    return Error{"libnvrtc, NVIDIA's run-time compiler, is not here",
                 "install it (package libnvrtc or the CUDA toolkit), or use --gpu opencl"};
  Nvrtc nvrtc;
  const char* missing = nullptr;
  const auto get = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr) missing = name;
  };
  Api& api = nvrtc.api_;
  get(api.version, "nvrtcVersion");
  get(api.n_archs, "nvrtcGetNumSupportedArchs");
  get(api.archs, "nvrtcGetSupportedArchs");
  get(api.create, "nvrtcCreateProgram");
  get(api.compile, "nvrtcCompileProgram");
  get(api.log_size, "nvrtcGetProgramLogSize");
  get(api.log, "nvrtcGetProgramLog");
  get(api.cubin_size, "nvrtcGetCUBINSize");
  get(api.cubin, "nvrtcGetCUBIN");
  get(api.ptx_size, "nvrtcGetPTXSize");
  get(api.ptx, "nvrtcGetPTX");
  get(api.destroy, "nvrtcDestroyProgram");
  if (missing != nullptr)
    return Error{fmt::format("libnvrtc has no {}", missing), "install CUDA 11.2's or a later one"};
  int major = 0;
  int minor = 0;
  int n = 0;
  api.version(&major, &minor);
  nvrtc.version_ = fmt::format("{}.{}", major, minor);
  if (api.n_archs(&n) == 0 && n > 0) {
    nvrtc.archs_.resize(static_cast<std::size_t>(n));
    api.archs(nvrtc.archs_.data());
    std::ranges::sort(nvrtc.archs_);
  }
  return nvrtc;
}

Result<std::string> Nvrtc::compile(const std::string& source, int arch) const {
  const bool knows = archs_.empty() || std::ranges::binary_search(archs_, arch);
  if (!knows && archs_.front() > arch)
    return Error{fmt::format("libnvrtc {} no longer compiles for compute capability {}.{}",
                             version_, arch / 10, arch % 10),
                 "install an older one, or use --gpu opencl"};
  const int target = knows ? arch : *std::prev(std::ranges::upper_bound(archs_, arch));
  const std::string option =
      fmt::format("--gpu-architecture={}_{}", knows ? "sm" : "compute", target);
  const std::array options = {"--std=c++17", "-default-device", option.c_str()};
  struct NvrtcProgramRec* program = nullptr;
  if (const int code = api_.create(&program, source.c_str(), "persistent.cl", 0, nullptr, nullptr);
      code != 0)
    return Error{fmt::format("libnvrtc does not take the kernels' source ({})", code), ""};
  const int code = api_.compile(program, static_cast<int>(options.size()), options.data());
  std::size_t bytes = 0;
  std::string out;
  if (code == 0) {
    (knows ? api_.cubin_size : api_.ptx_size)(program, &bytes);
    out.resize(bytes);
    (knows ? api_.cubin : api_.ptx)(program, out.data());
    api_.destroy(&program);
    return out;
  }
  api_.log_size(program, &bytes);
  out.resize(bytes);
  api_.log(program, out.data());
  api_.destroy(&program);
  out = out.substr(0, std::min(out.find('\0'), kShownLog));
  return Error{fmt::format("the kernels can't be compiled for compute capability {}.{} ({}):\n{}",
                           arch / 10, arch % 10, code, out),
               ""};
}

}  // namespace hb::cuda
