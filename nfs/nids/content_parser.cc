#include "nfs/nids/content_parser.h"

#include <fmt/format.h>

#include "nfs/nids/set_expression.h"

namespace hb::nids {
namespace {

bool is_escapable(char c) noexcept { return c == '"' || c == '\\' || c == ';' || c == ':'; }

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The index of the quote that ends the string which starts at text[0], or npos.
std::size_t closing_quote(std::string_view text) noexcept {
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i;
    }
  }
  return std::string_view::npos;
}

/// Resolves what stands between the quotes.
Result<std::string> decode_content(std::string_view text) {
  std::string bytes;
  bool in_hex = false;
  int high = -1;  // the first digit of a pair, -1 when none is open
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '|') {
      if (high >= 0) return Error{"content has half a hex byte", ""};
      in_hex = !in_hex;
    } else if (in_hex) {
      if (c == ' ') continue;
      const int digit = hex_digit(c);
      if (digit < 0) return Error{fmt::format("'{}' is no hex digit in content", c), ""};
      if (high >= 0) bytes.push_back(static_cast<char>(high * 16 + digit));
      high = high >= 0 ? -1 : digit;
    } else if (c == '\\') {
      ++i;  // the closing quote was found, so something follows
      if (i == text.size() || !is_escapable(text[i])) {
        return Error{"content has a backslash before a character that needs none", ""};
      }
      bytes.push_back(text[i]);
    } else {
      bytes.push_back(c);
    }
  }
  if (in_hex) return Error{"content has an unclosed '|'", ""};
  if (bytes.empty()) return Error{"content is empty", ""};
  return bytes;
}

}  // namespace

Result<ContentValue> parse_content(std::string_view value) {
  ContentValue content;
  value = trimmed(value);
  if (value.starts_with('!')) {
    content.negated = true;
    value = trimmed(value.substr(1));
  }
  if (!value.starts_with('"')) return Error{"content is not in quotes", ""};
  const std::size_t end = closing_quote(value);
  if (end == std::string_view::npos) return Error{"content has an unclosed quote", ""};
  Result<std::string> bytes = decode_content(value.substr(1, end - 1));
  if (!bytes) return bytes.error();
  content.bytes = std::move(*bytes);

  std::string_view rest = trimmed(value.substr(end + 1));
  while (!rest.empty()) {
    if (!rest.starts_with(',')) return Error{"content has text after its closing quote", ""};
    rest = trimmed(rest.substr(1));
    const std::string_view modifier = rest.substr(0, rest.find(','));
    rest.remove_prefix(modifier.size());
    const std::string_view name = modifier.substr(0, modifier.find_first_of(" \t"));
    if (name.empty()) return Error{"content has an empty modifier", ""};
    content.modifiers.emplace_back(name);
  }
  return content;
}

Result<std::string> parse_quoted_text(std::string_view value) {
  value = trimmed(value);
  if (!value.starts_with('"') || closing_quote(value) != value.size() - 1) {
    return Error{"the text is not in quotes", ""};
  }
  std::string text;
  const std::string_view inner = value.substr(1, value.size() - 2);
  for (std::size_t i = 0; i < inner.size(); ++i) {
    if (inner[i] == '\\' && i + 1 < inner.size() && is_escapable(inner[i + 1])) ++i;
    text.push_back(inner[i]);
  }
  return text;
}

}  // namespace hb::nids
