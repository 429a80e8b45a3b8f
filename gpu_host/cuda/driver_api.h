// NVIDIA's driver API, as far as this folder uses it: declared here and found at run time, so that
// building needs no CUDA and one binary runs with and without it.
// Source: CUDA Driver API reference (types, values, and the _v2 names behind the documented ones).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "nf_lib/result.h"

namespace hb::cuda {

using CuResult = int;
using CuDevice = int;
using CuDevicePtr = unsigned long long;
using CuContext = struct CuContextRec*;
using CuModule = struct CuModuleRec*;
using CuFunction = struct CuFunctionRec*;
using CuStream = struct CuStreamRec*;
using CuEvent = struct CuEventRec*;

inline constexpr CuResult kSuccess = 0;
/// CU_CTX_SCHED_BLOCKING_SYNC | CU_CTX_MAP_HOST | CU_CTX_LMEM_RESIZE_TO_MAX: waiting threads sleep,
/// and no launch has to wait for a running one because it needs more stack.
inline constexpr unsigned kContextFlags = 0x04 | 0x08 | 0x10;
inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr unsigned kEventBlockingSync = 1;
inline constexpr unsigned kEventDisableTiming = 2;
inline constexpr unsigned kHostPortableMapped = 1 | 2;  ///< for registering and allocating alike

/// CU_DEVICE_ATTRIBUTE_*
enum Attribute : int {
  kMaxThreadsPerBlock = 1,
  kMultiprocessorCount = 16,
  kKernelExecTimeout = 17,
  kCanMapHostMemory = 19,
  kUnifiedAddressing = 41,
  kComputeMajor = 75,
  kComputeMinor = 76,
  kHostRegisterSupported = 99,
  kPageableMemoryAccess = 88,
  kMemoryPoolsSupported = 115,
};

/// CU_FUNC_ATTRIBUTE_*
enum FunctionAttribute : int { kMostDynamicShared = 8 };

/// The functions; all are there once load_driver() succeeded.
struct DriverApi {
  CuResult (*init)(unsigned);
  CuResult (*driver_version)(int*);
  CuResult (*error_name)(CuResult, const char**);
  CuResult (*error_string)(CuResult, const char**);
  CuResult (*device_count)(int*);
  CuResult (*device_get)(CuDevice*, int);
  CuResult (*device_name)(char*, int, CuDevice);
  CuResult (*device_attribute)(int*, int, CuDevice);
  CuResult (*device_memory)(std::size_t*, CuDevice);
  CuResult (*context_retain)(CuContext*, CuDevice);
  CuResult (*context_flags)(CuDevice, unsigned);
  CuResult (*context_release)(CuDevice);
  CuResult (*context_set)(CuContext);
  CuResult (*module_load)(CuModule*, const void*);
  CuResult (*module_unload)(CuModule);
  CuResult (*module_function)(CuFunction*, CuModule, const char*);
  CuResult (*function_set)(CuFunction, FunctionAttribute, int);
  CuResult (*occupancy)(int*, CuFunction, int, std::size_t);
  CuResult (*stream_create)(CuStream*, unsigned);
  CuResult (*stream_destroy)(CuStream);
  CuResult (*event_create)(CuEvent*, unsigned);
  CuResult (*event_destroy)(CuEvent);
  CuResult (*event_record)(CuEvent, CuStream);
  CuResult (*event_synchronize)(CuEvent);
  CuResult (*launch)(CuFunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                     unsigned, CuStream, void**, void**);
  CuResult (*alloc_async)(CuDevicePtr*, std::size_t, CuStream);
  CuResult (*free_async)(CuDevicePtr, CuStream);
  CuResult (*copy_in_async)(CuDevicePtr, const void*, std::size_t, CuStream);
  CuResult (*copy_out_async)(void*, CuDevicePtr, std::size_t, CuStream);
  CuResult (*host_alloc)(void**, std::size_t, unsigned);
  CuResult (*host_free)(void*);
  CuResult (*host_register)(void*, std::size_t, unsigned);
  CuResult (*host_unregister)(void*);
  CuResult (*host_device_pointer)(CuDevicePtr*, void*, unsigned);
};

/// Loads libcuda and starts the driver, once in a process. Any thread.
/// @return an Error that says what is missing
Result<const DriverApi*> load_driver();

/// @param doing  what failed, in words
Error cu_error(const DriverApi& api, const std::string& doing, CuResult code);

}  // namespace hb::cuda
