// The device program: compiled by a helper process into files of this folder's own cache, loaded
// from there.
#pragma once

#include <string>

#include "gpu_host/backend.h"

namespace hb::cuda {

/// The helper process' part: compiles unless the cache has it already.
/// @return the cache file's path. Its name stands for everything the code depends on; so does its
///         head, which is compared before the code is used
Result<std::string> build_into_cache(const BackendOptions& options);

/// Has a helper process build the program, and reads what it left.
/// @return machine code or PTX, as cuModuleLoadData takes it
Result<std::string> build_program_elsewhere(const BackendOptions& options);

}  // namespace hb::cuda
