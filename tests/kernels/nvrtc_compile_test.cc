// The kernels as CUDA C++: compiled by NVRTC where it can be loaded; no GPU needed. Links
// hb_gpu_host, GTest, dl.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/kernels/kernel_dir.h"

namespace hb::test {
namespace {

using NvrtcProgram = struct NvrtcProgramRec*;

/// The functions of nvrtc.h that this test calls; CUDA is never needed to build.
struct Nvrtc {
  int (*create)(NvrtcProgram*, const char*, const char*, int, const char* const*,
                const char* const*) = nullptr;
  int (*compile)(NvrtcProgram, int, const char* const*) = nullptr;
  int (*log_size)(NvrtcProgram, std::size_t*) = nullptr;
  int (*log)(NvrtcProgram, char*) = nullptr;
  int (*ptx_size)(NvrtcProgram, std::size_t*) = nullptr;
  int (*destroy)(NvrtcProgram*) = nullptr;

  /// @return false if the library is not here
  bool load() {
    void* library = nullptr;
    for (const char* name :
         {"libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so"}) {
      library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (library != nullptr) break;
    }
    if (library == nullptr) return false;
    const auto get = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    return get(create, "nvrtcCreateProgram") && get(compile, "nvrtcCompileProgram") &&
           get(log_size, "nvrtcGetProgramLogSize") && get(log, "nvrtcGetProgramLog") &&
           get(ptx_size, "nvrtcGetPTXSize") && get(destroy, "nvrtcDestroyProgram");
  }
};

TEST(KernelsUnderNvrtc, ThePersistentProgramCompiles) {
  Nvrtc nvrtc;
  if (!nvrtc.load()) GTEST_SKIP() << "libnvrtc can't be loaded: " << dlerror();
  const auto source = load_kernel_source(kernel_dir(), "persistent.cl");
  ASSERT_TRUE(source) << source.error().line();
  NvrtcProgram program = nullptr;
  ASSERT_EQ(nvrtc.create(&program, source->c_str(), "persistent.cl", 0, nullptr, nullptr), 0);
  constexpr std::array kOptions = {"--std=c++17", "--gpu-architecture=compute_90",
                                   "-default-device"};
  const int code = nvrtc.compile(program, kOptions.size(), kOptions.data());
  std::size_t bytes = 0;
  nvrtc.log_size(program, &bytes);
  std::string log(bytes, '\0');
  nvrtc.log(program, log.data());
  EXPECT_EQ(code, 0) << log;
  std::size_t ptx = 0;
  nvrtc.ptx_size(program, &ptx);
  EXPECT_GT(ptx, 1000u);
  nvrtc.destroy(&program);
}

}  // namespace
}  // namespace hb::test
