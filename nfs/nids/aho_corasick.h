// Builds the automaton that the GPU nids walks: the block of kernels/nids_table.h.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "nf_lib/result.h"
#include "nfs/nids/rule_set.h"

namespace hb::nids {

/// Of a longer pattern only this many bytes are searched on the device: a superset still, and the
/// number of states stays below n_patterns times this.
inline constexpr std::size_t kMaxDevicePatternBytes = 32;

/// Builds the table for patterns that match in upper and lower case alike.
///
/// The automaton stops at the first pattern found, so patterns that hold another one cost nothing.
/// @param patterns  none empty; none at all gives a table that finds nothing
/// @param copy_all  mark every packet, whatever it holds
/// @return the block, or an Error when it has too many states for 32-bit entries
Result<std::vector<std::byte>> build_nids_table(std::span<const std::string_view> patterns,
                                                bool copy_all);

/// The table that marks every packet which some rule of the set may match.
Result<std::vector<std::byte>> build_nids_table(const RuleSet& rules);

}  // namespace hb::nids
