// The value of the `content` option.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nf_lib/result.h"

namespace hb::nids {

/// A `content` value taken apart.
struct ContentValue {
  bool negated = false;
  std::string bytes;                   ///< escapes and |hex| resolved; not empty
  std::vector<std::string> modifiers;  ///< Snort 3: the names after the closing quote
};

/// Parses `!"text|0d 0a|",nocase`: the negation and the modifiers may be absent.
///
/// Escapes are `\"`, `\\`, `\;` and `\:`; hex digits stand in pairs between pipes, with or without
/// spaces. Every error says what is wrong in words.
Result<ContentValue> parse_content(std::string_view value);

/// Takes the quotes off a string and resolves the same escapes; other backslashes stay.
Result<std::string> parse_quoted_text(std::string_view value);

}  // namespace hb::nids
