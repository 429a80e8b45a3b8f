// Which programming interfaces there are. The one place that knows them all.
#pragma once

#include <span>
#include <string>

#include "gpu_host/backend.h"

namespace hb {

/// All of them, in the order in which "auto" tries them.
std::span<const BackendEntry> all_backends();

/// @param name  "auto" or a backend's
/// @return those to try; an Error naming all of them
Result<std::span<const BackendEntry>> parse_backend(const std::string& name);

}  // namespace hb
