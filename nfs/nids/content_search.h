// Finds one content in one buffer: the exact check behind the search for all rules at once.
#pragma once

#include <cstdint>
#include <span>

#include "nfs/nids/rule.h"

namespace hb::nids {

/// True when the content lies anywhere in the bytes. Any thread; nothing is allocated.
[[nodiscard]] bool contains_content(std::span<const std::uint8_t> bytes,
                                    const Content& content) noexcept;

}  // namespace hb::nids
