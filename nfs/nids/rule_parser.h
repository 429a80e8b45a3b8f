// Parses one Snort or Suricata rule.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "nfs/nids/rule.h"
#include "nfs/nids/variables.h"

namespace hb::nids {

/// What became of one rule text.
struct ParsedRule {
  enum class Kind {
    kRule,         ///< `rule` is complete
    kUnsupported,  ///< a correct rule that asks for more than this NF does yet; see `unsupported`
    kMalformed,    ///< no rule at all; see `why`
  };
  Kind kind = Kind::kMalformed;
  Rule rule;
  /// Names for the summary: an option (`http.uri`, `flowbits`), `action log`, `protocol http`.
  std::set<std::string> unsupported;
  /// `$NAME`s met in the header that were taken as `any`.
  std::set<std::string> variables;
  /// `$NAME`s that the variable file does not define, or defines by themselves; the rule is
  /// malformed then.
  std::set<std::string> undefined;
  std::string why;
};

/// Parses one rule, continuation lines already joined. Never throws on any input.
///
/// Grammar: Suricata's user guide, "Rules Format" and "Payload Keywords"; Snort 3's
/// `content:"...",nocase` is taken too. A rule with an action or protocol that is not supported
/// counts as unsupported whatever the rest of its header says.
/// @param variables  null: every variable means `any`
ParsedRule parse_rule(std::string_view text, const Variables* variables = nullptr);

/// True when the text begins with the name of a rule action (alert, drop, pass, ...).
bool begins_like_rule(std::string_view text);

}  // namespace hb::nids
