// Finds one content in one buffer: the exact search behind the one for all rules at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "nfs/nids/payload_steps.h"

namespace hb::nids {

inline constexpr std::size_t kNotFound = static_cast<std::size_t>(-1);

/// Where the content's first occurrence in bytes[from .. end) starts, or kNotFound. Only its bytes
/// and nocase are looked at. Any thread; nothing is allocated.
/// @param end  at most bytes.size(); from may be anything
[[nodiscard]] std::size_t find_content(std::span<const std::uint8_t> bytes, std::size_t from,
                                       std::size_t end, const Content& content) noexcept;

}  // namespace hb::nids
