// All rules of one nids instance, read from its rule files.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "nf_lib/result.h"
#include "nfs/nids/rule.h"
#include "nfs/nids/variables.h"

namespace hb::nids {

/// What became of the rules of all files.
struct LoadReport {
  std::uint64_t n_rules = 0;       ///< rules read; comments and blank lines do not count
  std::uint64_t n_skipped = 0;     ///< for an option, action or protocol that is not supported
  std::uint64_t n_malformed = 0;   ///< each has a line in `malformed`
  std::uint64_t n_duplicates = 0;  ///< same gid and sid as a rule with the same or a higher rev
  std::map<std::string, std::uint64_t> skipped_by;  ///< a rule counts once for each of its reasons
  std::set<std::string> variables;                  ///< met in rules that are in use; taken as any
  std::vector<std::string> malformed;               ///< "file:line: malformed rule: why"
  std::vector<std::string> skipped;                 ///< "file:line: sid N: reason, reason"
  /// "file:line: sid N rev R: file:line has the same sid, and rev S"
  std::vector<std::string> duplicates;

  /// One line for the log.
  [[nodiscard]] std::string summary(std::size_t n_in_use) const;
};

struct RuleSet {
  std::vector<Rule> rules;  ///< in file order; alerts name them by index
  LoadReport report;
  std::uint32_t version = 1;  ///< counts reloads; in each alert as rules_version

  /// Whether a rule asks for a packet to be dropped.
  [[nodiscard]] bool can_drop() const noexcept;
};

/// Reads rule files. Blank lines and lines that begin with '#' are nothing; a line that ends in a
/// backslash goes on in the next. A malformed rule is counted and reported, not an error.
/// @param variables  what $NAMEs mean
/// @return an Error with file:line for a file that can't be read or that holds no rule at all, and
///         for a rule with a $NAME that `variables` does not define
Result<RuleSet> load_rule_files(std::span<const std::string> paths,
                                const Variables& variables = {});

}  // namespace hb::nids
