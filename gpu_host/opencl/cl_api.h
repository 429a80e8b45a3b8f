// OpenCL's objects with owners, and its error codes in words. The one header that includes CL/cl.h.
#pragma once

#include <CL/cl.h>
#include <fmt/format.h>

#include <memory>
#include <string>
#include <type_traits>

#include "nf_lib/result.h"

namespace hb::opencl {

template <auto Release>
struct Releaser {
  template <typename T>
  void operator()(T* object) const {
    Release(object);
  }
};
template <typename Handle, auto Release>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Releaser<Release>>;

using Context = Owned<cl_context, clReleaseContext>;
using Queue = Owned<cl_command_queue, clReleaseCommandQueue>;
using Program = Owned<cl_program, clReleaseProgram>;
using Kernel = Owned<cl_kernel, clReleaseKernel>;
using Buffer = Owned<cl_mem, clReleaseMemObject>;
using Event = Owned<cl_event, clReleaseEvent>;

/// The code's name without its CL_.
const char* code_name(cl_int code);

/// @param doing  what failed, in words
inline Error cl_error(const std::string& doing, cl_int code) {
  return Error{fmt::format("the OpenCL device failed to {} ({}, {})", doing, code_name(code), code),
               "see the device's driver, or run with --gpu none"};
}

/// A string that the runtime knows about an object.
template <typename Getter, typename Object>
std::string info_string(Getter getter, Object object, cl_uint what) {
  std::size_t bytes = 0;
  if (getter(object, what, 0, nullptr, &bytes) != CL_SUCCESS || bytes == 0) return "";
  std::string text(bytes, '\0');
  getter(object, what, bytes, text.data(), nullptr);
  text.resize(bytes - 1);
  return text;
}

template <typename T>
T device_value(cl_device_id device, cl_device_info what) {
  T value{};
  clGetDeviceInfo(device, what, sizeof(value), &value, nullptr);
  return value;
}

}  // namespace hb::opencl
