// SA files: the output of `ip xfrm state` and `ip xfrm policy`, or the commands that add them.
#pragma once

#include <string>
#include <string_view>

#include "nf_lib/result.h"
#include "nfs/ipsec/sa.h"

namespace hb::ipsec {

/// Parses an SA file's text. No error or warning holds a key.
/// @param name  the file's name, for messages
Result<SaFile> parse_sa_file(const std::string& name, std::string_view text);

/// Reads it from disk by way of secret memory.
Result<SaFile> read_sa_file(const std::string& path);

}  // namespace hb::ipsec
