#include "gpu_host/opencl/session.h"

#include <algorithm>

namespace hb::opencl {

Result<std::vector<Device>> list_devices() {
  cl_uint n_platforms = 0;
  clGetPlatformIDs(0, nullptr, &n_platforms);
  std::vector<cl_platform_id> platforms(n_platforms);
  if (n_platforms != 0) clGetPlatformIDs(n_platforms, platforms.data(), nullptr);
  std::vector<Device> devices;
  for (cl_platform_id platform : platforms) {
    cl_uint n = 0;
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &n) != CL_SUCCESS) continue;
    std::vector<cl_device_id> ids(n);
    clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, n, ids.data(), nullptr);
    for (cl_device_id id : ids) {
      Device device;
      device.platform = platform;
      device.id = id;
      device.info.name = info_string(clGetDeviceInfo, id, CL_DEVICE_NAME);
      device.info.platform = info_string(clGetPlatformInfo, platform, CL_PLATFORM_NAME);
      const auto type = device_value<cl_device_type>(id, CL_DEVICE_TYPE);
      device.info.is_cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
      device.svm = device_value<cl_device_svm_capabilities>(id, CL_DEVICE_SVM_CAPABILITIES);
      const auto has = [&](cl_device_svm_capabilities what) {
        return (device.svm & what) != 0 ? "yes" : "no";
      };
      device.info.claims = fmt::format(
          "{}, {} compute units; SVM: coarse {}, fine buffers {}, fine system {}, atomics {}",
          info_string(clGetDeviceInfo, id, CL_DEVICE_VERSION),
          device_value<cl_uint>(id, CL_DEVICE_MAX_COMPUTE_UNITS),
          has(CL_DEVICE_SVM_COARSE_GRAIN_BUFFER), has(CL_DEVICE_SVM_FINE_GRAIN_BUFFER),
          has(CL_DEVICE_SVM_FINE_GRAIN_SYSTEM), has(CL_DEVICE_SVM_ATOMICS));
      devices.push_back(std::move(device));
    }
  }
  if (devices.empty())
    return Error{"no OpenCL device was found",
                 "install a driver (pocl-opencl-icd runs on the CPU), or run with --gpu none"};
  std::ranges::stable_sort(devices, {}, [](const Device& d) { return d.info.is_cpu; });
  return devices;
}

Result<Queue> make_queue(const Session& session) {
  cl_int code = CL_SUCCESS;
  Queue queue(
      clCreateCommandQueueWithProperties(session.context.get(), session.device.id, nullptr, &code));
  if (code != CL_SUCCESS) return cl_error("make a command queue", code);
  return queue;
}

Result<Kernel> make_kernel(const Session& session, const char* name, const DeviceProgram* program) {
  cl_int code = CL_SUCCESS;
  const ClProgram& from =
      program != nullptr ? static_cast<const ClProgram&>(*program) : *session.program;
  Kernel kernel(clCreateKernel(from.get(), name, &code));
  if (code != CL_SUCCESS) return cl_error(fmt::format("find the kernel '{}'", name), code);
  return kernel;
}

Result<Buffer> make_buffer(const Session& session, cl_mem_flags flags, std::size_t bytes,
                           void* host) {
  cl_int code = CL_SUCCESS;
  Buffer buffer(
      clCreateBuffer(session.context.get(), flags, std::max<std::size_t>(bytes, 64), host, &code));
  if (code != CL_SUCCESS) return cl_error(fmt::format("make a buffer of {} bytes", bytes), code);
  return buffer;
}

Result<void> launch_and_wait(cl_command_queue queue, cl_kernel kernel, std::size_t work_groups,
                             std::size_t work_group_size, const char* what) {
  const std::size_t global = work_groups * work_group_size;
  cl_event raw = nullptr;
  // Never an offset: it keys PoCL's binary cache, and the kernel would be compiled once more.
  cl_int code = clEnqueueNDRangeKernel(queue, kernel, 1, nullptr, &global, &work_group_size, 0,
                                       nullptr, &raw);
  if (code != CL_SUCCESS) return cl_error(fmt::format("launch {}", what), code);
  const Event event(raw);
  code = clWaitForEvents(1, &raw);
  if (code != CL_SUCCESS) return cl_error(fmt::format("run {}", what), code);
  return {};
}

}  // namespace hb::opencl
