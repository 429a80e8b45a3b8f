// A kernel that a user brings: a file in the dialect with one round function (docs/gpu-nf.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nf_lib/result.h"

namespace hb {

/// The file and what it declares about itself.
struct KernelFile {
  std::string name;    ///< as messages name it
  std::string source;  ///< all of it
  bool writes_packets = false;
  std::uint32_t grows_front = 0;  ///< bytes
  std::uint32_t grows_back = 0;
  std::vector<std::string> drop_reasons;  ///< what the argument of HB_VERDICT_DROP counts
};

/// Reads the declarations in a kernel's source: lines `//! writes_packets`,
/// `//! grows_front BYTES`, `//! grows_back BYTES` and `//! drop_reasons NAME...`.
/// @return an Error with name:line for a declaration that is none of these
Result<KernelFile> parse_kernel_file(std::string name, std::string source);

}  // namespace hb
