// Cuts a rule's text into header words and options, and reads numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nf_lib/result.h"

namespace hb::nids {

/// The text without spaces at both ends.
std::string_view trimmed(std::string_view text) noexcept;

/// ASCII letters in lower case.
std::string lower(std::string_view text);

/// One `name:value;` or `name;`.
struct Option {
  std::string name;  ///< lower case
  std::string_view value;
  bool has_value = false;
};

/// Splits at the semicolons that are neither quoted nor escaped. The last option must end in one.
Result<std::vector<Option>> split_options(std::string_view text);

/// Splits at blanks outside of brackets: `[1, 2]` is one word.
std::vector<std::string_view> split_header(std::string_view text);

/// Splits at commas; each item is trimmed. An empty text gives one empty item.
std::vector<std::string_view> split_commas(std::string_view text);

/// A decimal number, or a hexadecimal one after `0x`, with an optional sign.
/// @return nullopt for anything else, and for what does not fit [least, most]
std::optional<std::int64_t> parse_integer(std::string_view text, std::int64_t least,
                                          std::int64_t most) noexcept;

/// True for what rules use as names of variables that byte_extract and byte_math set.
bool is_variable_name(std::string_view text) noexcept;

}  // namespace hb::nids
