#include "manager/csv.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>

namespace hb {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\r') || byte == 0x7f;
}

std::vector<std::string> split_fields(std::string_view line) {
  std::vector<std::string> fields;
  while (true) {
    const std::size_t comma = line.find(',');
    fields.emplace_back(trim(line.substr(0, comma)));
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

}  // namespace

Error CsvFile::error(int line, const std::string& what, const std::string& fix) const {
  if (path.empty()) return Error{.what = what, .fix = fix};
  return Error{.what = fmt::format("{}:{}: {}", path, line, what), .fix = fix};
}

Result<CsvFile> parse_csv(const std::string& path, std::string_view text) {
  CsvFile file{.path = path, .rows = {}};
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark)
    text.remove_prefix(kByteOrderMark.size());
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t newline = text.find('\n');
    const std::string_view whole = text.substr(0, newline);
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    for (const char c : whole) {
      if (is_control(c))
        return file.error(number, fmt::format("control character 0x{:02x}", c),
                          "this must be a text file with one rule per line");
    }
    const std::string_view line = trim(whole.substr(0, whole.find('#')));
    if (!line.empty()) file.rows.push_back({.line = number, .fields = split_fields(line)});
  }
  return file;
}

Result<CsvFile> read_csv(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  const auto failed = [&path] {
    return Error{.what = fmt::format("cannot read '{}': {}", path, std::strerror(errno)),
                 .fix = "give the path of a readable CSV file"};
  };
  if (!file) return failed();
  std::string text;
  std::array<char, 65536> chunk;
  while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    text.append(chunk.data(), n);
    if (text.size() > kMaxFileBytes)
      return Error{.what = fmt::format("'{}' is larger than 64 MiB", path),
                   .fix = "give the path of a CSV file"};
  }
  if (std::ferror(file.get())) return failed();
  return parse_csv(path, text);
}

bool parse_decimal(std::string_view text, std::uint32_t max, std::uint32_t& value) {
  std::uint32_t parsed = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, parsed);
  if (error != std::errc{} || stop != end || parsed > max) return false;
  value = parsed;
  return true;
}

}  // namespace hb
