#include "nfs/nids/rule_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "nfs/nids/payload_steps.h"

namespace hb::nids {

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view kBlank = " \t\r\n\f\v";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), to_lower_ascii);
  return result;
}

Result<std::vector<Option>> split_options(std::string_view text) {
  std::vector<Option> options;
  std::size_t start = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == ';' && !quoted) {
      const std::string_view item = trimmed(text.substr(start, i - start));
      start = i + 1;
      if (item.empty()) continue;
      const std::size_t colon = item.find(':');
      Option option{.name = lower(trimmed(item.substr(0, colon))), .value = {}, .has_value = false};
      if (option.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") !=
              std::string::npos ||
          option.name.empty()) {
        return Error{fmt::format("'{}' is no option name", option.name), ""};
      }
      if (colon != std::string_view::npos) {
        option.has_value = true;
        option.value = trimmed(item.substr(colon + 1));
      }
      options.push_back(std::move(option));
    }
  }
  if (quoted) return Error{"a quote is not closed", ""};
  if (!trimmed(text.substr(std::min(start, text.size()))).empty()) {
    return Error{"the last option does not end in ';'", ""};
  }
  return options;
}

std::vector<std::string_view> split_header(std::string_view text) {
  std::vector<std::string_view> words;
  int depth = 0;
  std::size_t start = std::string_view::npos;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const bool blank = i == text.size() || text[i] == ' ' || text[i] == '\t';
    if (!blank && start == std::string_view::npos) start = i;
    if (i < text.size() && text[i] == '[') ++depth;
    if (i < text.size() && text[i] == ']') --depth;
    if ((blank && depth <= 0) || i == text.size()) {
      if (start != std::string_view::npos) words.push_back(text.substr(start, i - start));
      start = std::string_view::npos;
    }
  }
  return words;
}

std::vector<std::string_view> split_commas(std::string_view text) {
  std::vector<std::string_view> items;
  while (true) {
    const std::size_t comma = text.find(',');
    items.push_back(trimmed(text.substr(0, comma)));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

std::optional<std::int64_t> parse_integer(std::string_view text, std::int64_t least,
                                          std::int64_t most) noexcept {
  text = trimmed(text);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  }
  std::uint64_t magnitude = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), magnitude, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (magnitude > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
  const auto value =
      negative ? -static_cast<std::int64_t>(magnitude) : static_cast<std::int64_t>(magnitude);
  if (value < least || value > most) return std::nullopt;
  return value;
}

bool is_variable_name(std::string_view text) noexcept {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !text.empty() && is_letter(text[0]) && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-';
  });
}

}  // namespace hb::nids
