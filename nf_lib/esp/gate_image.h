// A gate's configuration as bytes, for the process that works with it: no key is in it.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "nf_lib/esp/sa.h"
#include "nf_lib/result.h"

namespace hb::ipsec {

std::vector<std::byte> pack_gate(const GateConfig& config);

/// Checks every byte: lengths, enumerators, limits.
/// @return an Error if they are no configuration
Result<GateConfig> unpack_gate(std::span<const std::byte> bytes);

}  // namespace hb::ipsec
