// Builds the automaton that the GPU nids walks: the block of kernels/nids_table.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/nids_table.h"
#include "nf_lib/result.h"
#include "nfs/nids/rule_set.h"

namespace hb::nids {

/// Of a longer pattern only this many bytes are searched on the device: a superset still, and the
/// number of states stays below n_patterns times this.
inline constexpr std::size_t kMaxDevicePatternBytes = 32;

/// Each byte of the patterns has a column of its own as long as the table stays below this, and
/// kMaxColumns of them otherwise: then those that are rare in the patterns share columns.
inline constexpr std::size_t kMaxExactTableBytes = std::size_t{16} << 20;
inline constexpr std::uint32_t kMaxColumns = 64;

/// What the table marks beside packets that hold a pattern.
struct NidsMarks {
  bool copy_all = false;                   ///< every packet, whatever it holds
  bool asks = false;                       ///< marked packets wait for the control process
  const HbNidsHeaders* headers = nullptr;  ///< packets with such headers; null: none
};

/// Builds the table for patterns that match in upper and lower case alike.
///
/// The automaton stops at the first pattern found, so patterns that hold another one cost nothing.
/// @param patterns  none empty; none at all gives a table that finds nothing
/// @return the block, or an Error when it has too many states for 32-bit entries
Result<std::vector<std::byte>> build_nids_table(std::span<const std::string_view> patterns,
                                                const NidsMarks& marks);

/// The table that marks every packet which some rule of the set may match.
/// @param asks  such packets wait for the control process
Result<std::vector<std::byte>> build_nids_table(const RuleSet& rules, bool asks = false);

}  // namespace hb::nids
