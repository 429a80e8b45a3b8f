// Builds a device's program in a helper process: a compiler that hangs or crashes takes nothing
// with it, and what runs goes on meanwhile.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "gpu_host/backend.h"
#include "nf_lib/result.h"

namespace hb {

/// @param backend  its name, as --backend takes it
/// @param more     arguments beside those of the options
/// @return what the helper said; an Error with that if it failed or was not done in time
Result<std::string> build_in_helper(const BackendOptions& options, const char* backend,
                                    const std::vector<std::string>& more,
                                    std::chrono::seconds limit);

/// Why a user's kernel is refused.
/// @param said  what the helper said, a compiler's frame around its messages included
Error kernel_refused(const std::string& name, const std::string& said);

}  // namespace hb
