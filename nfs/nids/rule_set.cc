#include "nfs/nids/rule_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "nfs/nids/rule_parser.h"
#include "nfs/nids/rule_text.h"

namespace hb::nids {
namespace {

/// Collects the rules of all files; keeps one of those with the same gid and sid.
class RuleSetBuilder {
 public:
  explicit RuleSetBuilder(const Variables& variables) : variables_(variables) {}

  /// @return an Error for a variable that has no value; other bad rules are counted
  Result<void> add(const std::string& where, std::string_view text) {
    ParsedRule parsed = parse_rule(text, &variables_);
    LoadReport& report = set_.report;
    ++report.n_rules;
    if (!parsed.undefined.empty()) {
      return Error{fmt::format("{}: {}", where, parsed.why),
                   "give it a value there, or give no --vars"};
    }
    if (parsed.kind == ParsedRule::Kind::kMalformed) {
      ++report.n_malformed;
      report.malformed.push_back(fmt::format("{}: malformed rule: {}", where, parsed.why));
      return {};
    }
    if (parsed.kind == ParsedRule::Kind::kUnsupported) {
      ++report.n_skipped;
      for (const std::string& reason : parsed.unsupported) ++report.skipped_by[reason];
      report.skipped.push_back(fmt::format("{}: sid {}: {}", where, parsed.rule.sid,
                                           fmt::join(parsed.unsupported, ", ")));
      return {};
    }
    report.variables.merge(parsed.variables);
    const auto [at, is_new] =
        place_.try_emplace({parsed.rule.gid, parsed.rule.sid}, Place{set_.rules.size(), where});
    if (is_new) {
      set_.rules.push_back(std::move(parsed.rule));
      return {};
    }
    ++report.n_duplicates;
    Place& place = at->second;
    Rule& kept = set_.rules[place.idx];
    std::string unused = where;
    if (parsed.rule.rev > kept.rev) {
      std::swap(kept, parsed.rule);
      std::swap(place.where, unused);
    }
    report.duplicates.push_back(fmt::format("{}: sid {} rev {}: {} has the same sid, and rev {}",
                                            unused, kept.sid, parsed.rule.rev, place.where,
                                            kept.rev));
    return {};
  }

  RuleSet take() { return std::move(set_); }

 private:
  struct Place {
    std::size_t idx;    // of the rule in the set
    std::string where;  // of its text
  };

  const Variables& variables_;
  RuleSet set_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, Place> place_;
};

/// Where a file has its rules and what else it holds.
struct FileContents {
  std::size_t n_rule_like = 0;
  std::size_t n_comments = 0;
  std::size_t first_other_line = 0;  ///< 1-based; 0: there is none
};

Result<void> load_file(const std::string& path, RuleSetBuilder& builder) {
  const std::string fix = "give --rules a readable file of Snort or Suricata rules";
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return Error{fmt::format("rule file {}: {}", path, std::strerror(errno)), fix};
  }
  FileContents contents;
  std::vector<std::pair<std::size_t, std::string>> rules;  // first line's number, text
  std::string line;
  std::string joined;
  std::size_t line_number = 0;
  std::size_t first_line = 0;
  const auto finish_rule = [&] {
    if (begins_like_rule(joined)) {
      ++contents.n_rule_like;
    } else if (contents.first_other_line == 0) {
      contents.first_other_line = first_line;
    }
    rules.emplace_back(first_line, std::exchange(joined, {}));
  };
  while (std::getline(in, line)) {
    ++line_number;
    if (line.ends_with('\r')) line.pop_back();
    if (line_number == 1 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);  // UTF-8 mark
    if (joined.empty()) {
      const std::string_view start = trimmed(line);
      contents.n_comments += start.starts_with('#');
      if (start.empty() || start.starts_with('#')) continue;
      first_line = line_number;
    }
    const bool continues = line.ends_with('\\');
    if (continues) line.pop_back();
    joined += line;
    if (!continues && !joined.empty()) finish_rule();
  }
  if (in.bad() || (in.fail() && line_number == 0 && errno == EISDIR)) {
    const std::string where = line_number == 0 ? path : fmt::format("{}:{}", path, line_number + 1);
    return Error{fmt::format("rule file {}: {}", where, std::strerror(errno)), fix};
  }
  if (!trimmed(joined).empty()) finish_rule();
  if (contents.n_rule_like == 0 && (contents.n_comments == 0 || contents.first_other_line != 0)) {
    const std::size_t at = contents.first_other_line != 0 ? contents.first_other_line : 1;
    return Error{fmt::format("rule file {}:{}: no rule in this file", path, at), fix};
  }
  for (const auto& [number, text] : rules) {
    if (auto done = builder.add(fmt::format("{}:{}", path, number), text); !done) return done;
  }
  return {};
}

}  // namespace

std::string LoadReport::summary(std::size_t n_in_use) const {
  std::string text = fmt::format("{} of {} rules in use", n_in_use, n_rules);
  if (n_skipped > 0) {
    text += fmt::format("; {} skipped, not supported:", n_skipped);
    const char* separator = " ";
    for (const auto& [reason, count] : skipped_by) {
      text += fmt::format("{}{} {}", std::exchange(separator, ", "), reason, count);
    }
  }
  if (n_malformed > 0) text += fmt::format("; {} malformed", n_malformed);
  if (n_duplicates > 0) text += fmt::format("; {} duplicates", n_duplicates);
  if (!variables.empty()) {
    text += "; taken as any:";
    for (const std::string& name : variables) text += " " + name;
  }
  return text;
}

bool RuleSet::can_drop() const noexcept {
  return std::any_of(rules.begin(), rules.end(), [](const Rule& rule) {
    return rule.action == Action::kDrop || rule.action == Action::kReject;
  });
}

Result<RuleSet> load_rule_files(std::span<const std::string> paths, const Variables& variables) {
  RuleSetBuilder builder(variables);
  for (const std::string& path : paths) {
    if (Result<void> done = load_file(path, builder); !done) return done.error();
  }
  return builder.take();
}

}  // namespace hb::nids
