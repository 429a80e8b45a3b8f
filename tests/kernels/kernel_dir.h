// Where the tests find the kernels' sources.
#pragma once

#include <cstdlib>
#include <string>

#include "gpu_host/kernel_source.h"

namespace hb::test {

/// HB_KERNEL_DIR, else the build's copies, as ctest names it; else as gpu_host does.
inline std::string kernel_dir() {
  if (const char* dir = std::getenv("HB_KERNEL_DIR")) return dir;
  if (const char* build = std::getenv("HB_BUILD")) return std::string(build) + "/kernels";
  return default_kernel_dir();
}

}  // namespace hb::test
