#include "gpu_host/opencl/cl_api.h"

namespace hb::opencl {

const char* code_name(cl_int code) {
  switch (code) {
    case CL_DEVICE_NOT_FOUND:
      return "DEVICE_NOT_FOUND";
    case CL_DEVICE_NOT_AVAILABLE:
      return "DEVICE_NOT_AVAILABLE";
    case CL_COMPILER_NOT_AVAILABLE:
      return "COMPILER_NOT_AVAILABLE";
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
      return "MEM_OBJECT_ALLOCATION_FAILURE";
    case CL_OUT_OF_RESOURCES:
      return "OUT_OF_RESOURCES";
    case CL_OUT_OF_HOST_MEMORY:
      return "OUT_OF_HOST_MEMORY";
    case CL_BUILD_PROGRAM_FAILURE:
      return "BUILD_PROGRAM_FAILURE";
    case CL_INVALID_VALUE:
      return "INVALID_VALUE";
    case CL_INVALID_BUFFER_SIZE:
      return "INVALID_BUFFER_SIZE";
    case CL_INVALID_HOST_PTR:
      return "INVALID_HOST_PTR";
    case CL_INVALID_KERNEL_ARGS:
      return "INVALID_KERNEL_ARGS";
    case CL_INVALID_ARG_VALUE:
      return "INVALID_ARG_VALUE";
    case CL_INVALID_WORK_GROUP_SIZE:
      return "INVALID_WORK_GROUP_SIZE";
    case CL_INVALID_OPERATION:
      return "INVALID_OPERATION";
    case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST:
      return "a command ended badly";
    case -1001:
      return "PLATFORM_NOT_FOUND_KHR";
    default:
      return "error";
  }
}

}  // namespace hb::opencl
