// The device program's source, with its includes put in.
#pragma once

#include <string>

#include "nf_lib/result.h"

namespace hb {

/// A text that stands for the file "user.cl".
struct UserSource {
  std::string file;  ///< as the compiler's messages name it
  std::string text;
};

/// Reads a kernel file and replaces each `#include "x"` by that file of the same folder, once.
/// The runtimes' on-disk caches then see every byte they depend on: NVIDIA's knows the source text
/// but not what it includes. Messages still name file and line.
/// @param user  put in for "user.cl", with HB_USER_KERNEL defined; null: that include is empty
Result<std::string> load_kernel_source(const std::string& dir, const std::string& file,
                                       const UserSource* user = nullptr);

/// <folder of this program>/../kernels.
std::string default_kernel_dir();

}  // namespace hb
