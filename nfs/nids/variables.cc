#include "nfs/nids/variables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "nfs/nids/rule_text.h"

namespace hb::nids {
namespace {

constexpr const char* kFix = "write lines such as HOME_NET: [10.0.0.0/8]";

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

std::string_view without_comment(std::string_view line) {
  return trimmed(line.substr(0, line.find('#')));
}

}  // namespace

Result<Variables> Variables::parse(std::string_view text, const std::string& path) {
  Variables variables;
  variables.path_ = path;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = without_comment(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line.starts_with('%') || line == "---") continue;
    bool is_snort = false;
    for (const std::string_view keyword : {"ipvar ", "portvar ", "var "}) {
      if (line.starts_with(keyword)) {
        is_snort = true;
        line = trimmed(line.substr(keyword.size()));
        break;
      }
    }
    const std::size_t name_end = line.find_first_of(is_snort ? " \t" : ":= \t");
    const std::string_view name = line.substr(0, name_end);
    std::string_view value =
        name_end == std::string_view::npos ? std::string_view{} : trimmed(line.substr(name_end));
    const bool has_separator = value.starts_with(':') || value.starts_with('=');
    if (!is_snort && has_separator) value = trimmed(value.substr(1));
    if (!is_name(name) || (!is_snort && !has_separator)) {
      return Error{fmt::format("variable file {}:{}: '{}' is no variable", path, number, line),
                   kFix};
    }
    if (value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0]) {
      value = trimmed(value.substr(1, value.size() - 2));
    }
    if (value.empty()) {
      if (!is_snort && line.back() == ':') continue;  // a key of the YAML file
      return Error{fmt::format("variable file {}:{}: {} has no value", path, number, name), kFix};
    }
    if (!variables.values_.emplace(name, value).second) {
      return Error{fmt::format("variable file {}:{}: {} is defined twice", path, number, name),
                   kFix};
    }
  }
  if (variables.values_.empty()) {
    return Error{fmt::format("variable file {}:1: no variable in this file", path), kFix};
  }
  return variables;
}

Result<Variables> Variables::load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in && in.peek() != std::ifstream::traits_type::eof()) text << in.rdbuf();
  if (!in.is_open() || in.bad()) {
    return Error{fmt::format("variable file {}: {}", path, std::strerror(errno)),
                 "give --vars a file that can be read"};
  }
  return parse(text.str(), path);
}

const std::string* Variables::find(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

}  // namespace hb::nids
