// The value of the `content` option, and the options that modify a content.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nf_lib/result.h"
#include "nfs/nids/payload_steps.h"

namespace hb::nids {

/// A `content` value taken apart.
struct ContentValue {
  bool negated = false;
  std::string bytes;  ///< escapes and |hex| resolved; not empty
  /// Snort 3: names and values after the closing quote.
  std::vector<std::pair<std::string, std::string>> modifiers;
};

/// Parses `!"text|0d 0a|",nocase,offset 3`: the negation and the modifiers may be absent.
///
/// Escapes are `\"`, `\\`, `\;` and `\:`; hex digits stand in pairs between pipes, with or without
/// spaces. Every error says what is wrong in words.
Result<ContentValue> parse_content(std::string_view value);

/// Takes the quotes off a string and resolves the same escapes; other backslashes stay.
Result<std::string> parse_quoted_text(std::string_view value);

/// Where the quoted string at the text's start ends, or npos. text[0] is a quote.
std::size_t closing_quote(std::string_view text) noexcept;

/// True for nocase, offset, depth, distance, within, startswith, endswith, fast_pattern, rawbytes.
bool is_content_modifier(std::string_view name);

/// Applies one of them to the content before it.
/// @param unsupported  gets the reason for which the rule can't be used, if there is one
Result<void> apply_content_modifier(std::string_view name, std::string_view value, bool has_value,
                                    Content& content, std::set<std::string>& unsupported);

/// What only a content with all its modifiers shows: contradictions, windows that can't hold it.
Result<void> check_content(const Content& content);

}  // namespace hb::nids
