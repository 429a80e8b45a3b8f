#include "gpu_host/cuda/driver_api.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>

namespace hb::cuda {
namespace {

constexpr const char* kNoCuda = "install NVIDIA's driver, or use --gpu opencl or --gpu none";

/// Finds functions until one is missing.
struct Finder {
  void* library;
  const char* missing = nullptr;

  template <typename Function>
  void operator()(Function& function, const char* name) {
    if (missing != nullptr) return;
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) missing = name;
  }
};

Result<void> fill(DriverApi& api, void* library) {
  Finder find{library};
  find(api.init, "cuInit");
  find(api.driver_version, "cuDriverGetVersion");
  find(api.error_name, "cuGetErrorName");
  find(api.error_string, "cuGetErrorString");
  find(api.device_count, "cuDeviceGetCount");
  find(api.device_get, "cuDeviceGet");
  find(api.device_name, "cuDeviceGetName");
  find(api.device_attribute, "cuDeviceGetAttribute");
  find(api.function_set, "cuFuncSetAttribute");
  find(api.device_memory, "cuDeviceTotalMem_v2");
  find(api.context_retain, "cuDevicePrimaryCtxRetain");
  find(api.context_flags, "cuDevicePrimaryCtxSetFlags_v2");
  find(api.context_release, "cuDevicePrimaryCtxRelease_v2");
  find(api.context_set, "cuCtxSetCurrent");
  find(api.module_load, "cuModuleLoadData");
  find(api.module_unload, "cuModuleUnload");
  find(api.module_function, "cuModuleGetFunction");
  find(api.occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor");
  find(api.stream_create, "cuStreamCreate");
  find(api.stream_destroy, "cuStreamDestroy_v2");
  find(api.event_create, "cuEventCreate");
  find(api.event_destroy, "cuEventDestroy_v2");
  find(api.event_record, "cuEventRecord");
  find(api.event_synchronize, "cuEventSynchronize");
  find(api.launch, "cuLaunchKernel");
  find(api.alloc_async, "cuMemAllocAsync");
  find(api.free_async, "cuMemFreeAsync");
  find(api.copy_in_async, "cuMemcpyHtoDAsync_v2");
  find(api.copy_out_async, "cuMemcpyDtoHAsync_v2");
  find(api.host_alloc, "cuMemHostAlloc");
  find(api.host_free, "cuMemFreeHost");
  find(api.host_register, "cuMemHostRegister_v2");
  find(api.host_unregister, "cuMemHostUnregister");
  find(api.host_device_pointer, "cuMemHostGetDevicePointer_v2");
  if (find.missing != nullptr)
    return Error{fmt::format("libcuda has no {}", find.missing),
                 "update NVIDIA's driver: CUDA 11.2 or later is needed"};
  return {};
}

Result<DriverApi> load() {
  // Code is loaded when the program is, not at the first launch: that would wait for the kernel
  // that never ends. Read by cuInit.
  setenv("CUDA_MODULE_LOADING", "EAGER", 1);
  void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return Error{fmt::format("there is no CUDA here: {}", dlerror()), kNoCuda};
  DriverApi api{};
  if (const Result<void> found = fill(api, library); !found) return found.error();
  if (const CuResult code = api.init(0); code != kSuccess) return cu_error(api, "start CUDA", code);
  return api;
}

}  // namespace

Result<const DriverApi*> load_driver() {
  static const Result<DriverApi> api = load();  // the library stays loaded
  if (!api) return api.error();
  return &*api;
}

Error cu_error(const DriverApi& api, const std::string& doing, CuResult code) {
  const char* name = nullptr;
  const char* text = nullptr;
  api.error_name(code, &name);
  api.error_string(code, &text);
  return Error{fmt::format("the CUDA device failed to {} ({}: {})", doing,
                           name != nullptr ? name : std::to_string(code).c_str(),
                           text != nullptr ? text : "unknown"),
               "see the device's driver, or run with --gpu none"};
}

}  // namespace hb::cuda
