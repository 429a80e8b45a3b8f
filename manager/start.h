// Making the platform: from options to a region, a pool, open ports and threads ready to be
// launched.
#pragma once

#include "manager/platform.h"
#include "nf_lib/result.h"

namespace hb {

/// Checks everything that can be checked before anything is made, then makes it. What it made
/// before an error is taken down when the platform ends. p.options is set.
Result<void> make_platform(Platform& p);

/// Takes down what must go in order: classifier, pool, EAL, region. The files go with p.control.
void unmake_platform(Platform& p);

/// Writes the names of types that are new to the registry. Control thread only.
void publish_type_names(Registry& registry, const TypeNames& types);

}  // namespace hb
