// One set of rules in force: loaded, compiled, and ready for one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nf_lib/result.h"
#include "nfs/nids/evaluator.h"

namespace hb::nids {

/// What is read: the rule files, and what their $NAMEs mean.
struct RuleSources {
  std::vector<std::string> rules;
  std::string vars;  ///< empty: every $NAME means `any`
};

/// A rule set with all that is made of it. Rules are versioned: each alert says by which they were.
struct Generation {
  std::shared_ptr<const Evaluator> evaluator;
  EvaluatorScratch scratch;                     ///< for the one thread that evaluates
  std::unique_ptr<Generation> replaced_before;  ///< Inspector's list of those that are replaced

  [[nodiscard]] const RuleSet& rules() const noexcept { return evaluator->rules(); }
};

/// Loads and compiles; seconds for tens of thousands of rules.
/// @param strict  a malformed rule is an Error that names file and line; otherwise it is counted
Result<std::unique_ptr<Generation>> load_generation(const RuleSources& sources,
                                                    std::uint32_t version, bool strict);

}  // namespace hb::nids
