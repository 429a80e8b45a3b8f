// The device program's source, with its includes put in.
#pragma once

#include <string>

#include "nf_lib/result.h"

namespace hb {

/// Reads a kernel file and replaces each `#include "x"` by that file of the same folder, once.
/// The runtimes' on-disk caches then see every byte they depend on: NVIDIA's knows the source text
/// but not what it includes. Messages still name file and line.
Result<std::string> load_kernel_source(const std::string& dir, const std::string& file);

/// <folder of this program>/../kernels.
std::string default_kernel_dir();

}  // namespace hb
