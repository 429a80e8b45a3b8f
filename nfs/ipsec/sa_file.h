// SA files: the output of `ip xfrm state` and `ip xfrm policy`, or the commands that add them.
#pragma once

#include <string>
#include <string_view>

#include "nf_lib/result.h"
#include "nfs/ipsec/sa.h"

namespace hb::ipsec {

inline constexpr std::uint32_t kMinWindow = 1;
inline constexpr std::uint32_t kMaxWindow = 4096;
/// SAs of one file.
inline constexpr std::size_t kMaxSas = 4096;

/// Parses an SA file's text. No error or warning holds a key.
/// @param name  the file's name, for messages
Result<SaFile> parse_sa_file(const std::string& name, std::string_view text);

/// Reads it from disk by way of secret memory.
Result<SaFile> read_sa_file(const std::string& path);

}  // namespace hb::ipsec
