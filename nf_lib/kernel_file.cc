#include "nf_lib/kernel_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <sstream>
#include <string_view>
#include <utility>

#include "nf_lib/limits.h"

namespace hb {
namespace {

constexpr std::string_view kMark = "//!";
constexpr std::string_view kEntry = "gpu_nf_round";
/// No buffer has more room than this at either end.
constexpr std::uint32_t kMostGrowth = 4096;

bool parse_bytes(const std::string& word, std::uint32_t& bytes) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), bytes);
  return error == std::errc() && end == word.data() + word.size() && bytes <= kMostGrowth;
}

bool is_name(const std::string& word) {
  return !word.empty() && word.size() < kNameBytes &&
         std::ranges::all_of(word,
                             [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

/// @return what is wrong with the declaration; empty if nothing
std::string declare(const std::vector<std::string>& words, KernelFile& kernel) {
  const std::string& what = words.front();
  if (what == "writes_packets") {
    kernel.writes_packets = true;
    return words.size() == 1 ? "" : "'writes_packets' stands alone";
  }
  if (what == "grows_front" || what == "grows_back") {
    std::uint32_t& bytes = what == "grows_front" ? kernel.grows_front : kernel.grows_back;
    if (words.size() == 2 && parse_bytes(words[1], bytes)) return "";
    return fmt::format("'{}' wants a number of bytes, 0 to {}", what, kMostGrowth);
  }
  if (what == "drop_reasons") {
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (std::ranges::find(kernel.drop_reasons, words[i]) != kernel.drop_reasons.end())
        return fmt::format("'{}' is declared twice", words[i]);
      kernel.drop_reasons.push_back(words[i]);
    }
    const bool good = words.size() > 1 && kernel.drop_reasons.size() <= kMaxNfReasons &&
                      std::ranges::all_of(kernel.drop_reasons, is_name);
    return good ? ""
                : fmt::format("'drop_reasons' wants names of letters, digits and '_', {} at most",
                              kMaxNfReasons);
  }
  return fmt::format("'{}' is no declaration", what);
}

}  // namespace

Result<KernelFile> parse_kernel_file(std::string name, std::string source) {
  KernelFile kernel;
  std::istringstream lines(source);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (!line.starts_with(kMark)) continue;
    std::istringstream rest(line.substr(kMark.size()));
    std::vector<std::string> words;
    for (std::string word; rest >> word;) words.push_back(word);
    const std::string wrong = words.empty() ? "a declaration is empty" : declare(words, kernel);
    if (!wrong.empty())
      return Error{fmt::format("{}:{}: {}", name, number, wrong),
                   "docs/gpu-nf.md lists what can be declared with //!"};
  }
  if (source.find('\0') != std::string::npos || source.find(kEntry) == std::string::npos)
    return Error{fmt::format("{}: there is no function {}", name, kEntry),
                 "a kernel is a text file that has it: see docs/gpu-nf.md"};
  kernel.name = std::move(name);
  kernel.source = std::move(source);
  return kernel;
}

}  // namespace hb
