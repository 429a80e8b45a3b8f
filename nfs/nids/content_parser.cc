#include "nfs/nids/content_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "nfs/nids/rule_text.h"

namespace hb::nids {
namespace {

bool is_escapable(char c) noexcept { return c == '"' || c == '\\' || c == ';' || c == ':'; }

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr std::array<std::string_view, 11> kModifiers = {
    "nocase",      "offset",   "depth",        "distance", "within",   "startswith",
    "starts_with", "endswith", "fast_pattern", "rawbytes", "ends_with"};

/// The widest window that Suricata takes.
constexpr std::int64_t kMaxDistance = 1'048'576;

/// Reads a modifier's number. A name set by byte_extract makes the rule unsupported, and counts
/// as the least value.
Result<std::int64_t> number_of(std::string_view name, std::string_view value, std::int64_t least,
                               std::int64_t most, std::set<std::string>& unsupported) {
  if (is_variable_name(value)) {
    unsupported.insert(fmt::format("{} of a variable", name));
    return least;
  }
  const auto number = parse_integer(value, least, most);
  if (!number) return Error{fmt::format("'{}' is no number from {} to {}", value, least, most), ""};
  return *number;
}

Result<void> apply_fast_pattern(std::string_view value, Content& content) {
  content.fast_pattern = true;
  if (value.empty()) return {};
  if (value == "only") {
    content.fast_only = true;
    return {};
  }
  const std::size_t comma = value.find(',');
  const auto offset = parse_integer(value.substr(0, comma), 0, 65535);
  const auto length = comma == std::string_view::npos
                          ? std::nullopt
                          : parse_integer(value.substr(comma + 1), 1, 65535);
  if (!offset || !length)
    return Error{fmt::format("'{}' is not 'only' or 'offset,length'", value), ""};
  if (static_cast<std::size_t>(*offset + *length) > content.bytes.size()) {
    return Error{fmt::format("{} bytes from {} on are not in the content", *length, *offset), ""};
  }
  content.fast_offset = static_cast<std::uint32_t>(*offset);
  content.fast_length = static_cast<std::uint32_t>(*length);
  return {};
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
    content.modifiers.emplace_back(lower(name), trimmed(modifier.substr(name.size())));
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

bool is_content_modifier(std::string_view name) {
  return std::find(kModifiers.begin(), kModifiers.end(), name) != kModifiers.end();
}

Result<void> apply_content_modifier(std::string_view name, std::string_view value, bool has_value,
                                    Content& content, std::set<std::string>& unsupported) {
  if (name == "fast_pattern") return apply_fast_pattern(trimmed(value), content);
  if (name == "rawbytes") return {};  // the payload is searched as it is anyway
  const bool takes_number =
      name == "offset" || name == "depth" || name == "distance" || name == "within";
  if (!takes_number) {
    if (has_value) return Error{"takes no value", ""};
    if (name == "nocase") {
      content.nocase = true;
      content.bytes = lower(content.bytes);
    } else if (name.starts_with("starts")) {
      if (content.starts_with) return Error{"stands twice", ""};
      content.starts_with = true;
    } else {
      content.ends_with = true;
    }
    return {};
  }
  const bool is_signed = name == "distance";
  const std::int64_t most = name == "offset" || name == "depth" ? 65535 : kMaxDistance;
  const std::int64_t least = is_signed ? -kMaxDistance : (name == "offset" ? 0 : 1);
  const Result<std::int64_t> number = number_of(name, value, least, most, unsupported);
  if (!number) return number.error();
  const auto twice = [&](bool seen) -> Result<void> {
    if (seen) return Error{"stands twice for one content", ""};
    return {};
  };
  if (name == "offset") {
    if (auto once = twice(content.has_offset); !once) return once;
    content.has_offset = true;
    content.offset = static_cast<std::uint32_t>(*number);
  } else if (name == "depth") {
    if (auto once = twice(content.depth != 0); !once) return once;
    content.depth = static_cast<std::uint32_t>(*number);
  } else if (name == "distance") {
    if (auto once = twice(content.has_distance); !once) return once;
    content.has_distance = true;
    content.distance = static_cast<std::int32_t>(*number);
  } else {
    if (auto once = twice(content.within != 0); !once) return once;
    content.within = static_cast<std::uint32_t>(*number);
  }
  return {};
}

Result<void> check_content(const Content& content) {
  if (content.is_relative() && (content.is_absolute() || content.starts_with)) {
    return Error{"one content can't have distance or within, and offset, depth or startswith", ""};
  }
  if (content.starts_with && content.is_absolute()) {
    return Error{"startswith has an offset and a depth of its own", ""};
  }
  if (content.depth != 0 && content.depth < content.bytes.size()) {
    return Error{fmt::format("depth {} is less than the content's {} bytes", content.depth,
                             content.bytes.size()),
                 ""};
  }
  if (content.within != 0 && content.within < content.bytes.size()) {
    return Error{fmt::format("within {} is less than the content's {} bytes", content.within,
                             content.bytes.size()),
                 ""};
  }
  if (content.fast_only &&
      (content.negated || content.is_relative() || content.is_absolute() || content.starts_with)) {
    return Error{"a content with fast_pattern:only can't be negated or have a place", ""};
  }
  return {};
}

}  // namespace hb::nids
