// The device program: compiled by a helper process into files of this folder's own cache, loaded
// from there.
#pragma once

#include <string>

#include "gpu_host/backend.h"

namespace hb::cuda {

/// The helper process' part: compiles unless the cache has it already.
/// @param user  a user's kernel, put in the place of the platform's NFs; null: those
/// @return the cache file's path. Its name stands for everything the code depends on; so does its
///         head, which is compared before the code is used
Result<std::string> build_into_cache(const BackendOptions& options, const UserKernel* user);

/// @param path  as build_into_cache() gave it
/// @return machine code or PTX, as cuModuleLoadData takes it
Result<std::string> read_program(const std::string& path);

/// Has a helper process build the program, and reads what it left.
/// @return as read_program()
Result<std::string> build_program_elsewhere(const BackendOptions& options);
/// The same for a user's kernel, which the helper process also tries out.
Result<std::string> build_user_elsewhere(const BackendOptions& options, const UserKernel& user);

}  // namespace hb::cuda
