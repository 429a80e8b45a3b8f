// Files with keys.
#pragma once

#include <string>

#include "nf_lib/result.h"
#include "nf_lib/secret_memory.h"

namespace hb::ipsec {

/// Reads a whole file into secret memory.
Result<SecretVector<char>> read_secret_file(const std::string& path);

}  // namespace hb::ipsec
