// byte_test and byte_jump on one buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "nfs/nids/payload_steps.h"

namespace hb::nids {

/// A number read out of a buffer.
struct ByteValue {
  std::uint64_t value = 0;
  std::size_t begin = 0;  ///< where the field begins
  std::size_t end = 0;    ///< behind the bytes that made the number: text may end before the field
};

/// @param place  what the steps before have reached, at most bytes.size()
/// @return nullopt if the field does not lie in the buffer whole, or its text is no number
[[nodiscard]] std::optional<ByteValue> read_field(std::span<const std::uint8_t> bytes,
                                                  std::size_t place,
                                                  const ByteField& field) noexcept;

[[nodiscard]] bool byte_test_matches(std::span<const std::uint8_t> bytes, std::size_t place,
                                     const ByteTest& test) noexcept;

/// @return the new place, 0 to bytes.size(); nullopt if the jump leads out of the buffer
[[nodiscard]] std::optional<std::size_t> byte_jump_place(std::span<const std::uint8_t> bytes,
                                                         std::size_t place,
                                                         const ByteJump& jump) noexcept;

[[nodiscard]] bool data_is_at(std::span<const std::uint8_t> bytes, std::size_t place,
                              const IsDataAt& test) noexcept;

}  // namespace hb::nids
