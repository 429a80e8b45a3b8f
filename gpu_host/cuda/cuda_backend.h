// The CUDA backend: libcuda and libnvrtc, both loaded at run time.
#pragma once

#include <memory>

#include "gpu_host/backend.h"

namespace hb {

std::unique_ptr<Backend> make_cuda_backend();

}  // namespace hb
