// The OpenCL backend.
#pragma once

#include <memory>

#include "gpu_host/backend.h"

namespace hb {

std::unique_ptr<Backend> make_opencl_backend();

}  // namespace hb
