#include "nfs/nids/generation.h"

#include <fmt/format.h>

#include <utility>

namespace hb::nids {

Result<std::unique_ptr<Generation>> load_generation(const RuleSources& sources,
                                                    std::uint32_t version, bool strict) {
  Variables variables;
  if (!sources.vars.empty()) {
    Result<Variables> read = Variables::load(sources.vars);
    if (!read) return read.error();
    variables = std::move(*read);
  }
  Result<RuleSet> loaded = load_rule_files(sources.rules, variables);
  if (!loaded) return loaded.error();
  const std::vector<std::string>& malformed = loaded->report.malformed;
  if (strict && !malformed.empty()) {
    const std::string others =
        malformed.size() > 1 ? fmt::format(" (and {} more)", malformed.size() - 1) : "";
    return Error{malformed[0] + others, "mend it, or comment it out"};
  }
  loaded->version = version;
  auto evaluator = Evaluator::create(std::make_shared<const RuleSet>(std::move(*loaded)));
  if (!evaluator) return evaluator.error();
  auto generation = std::make_unique<Generation>();
  generation->evaluator = std::move(*evaluator);
  Result<EvaluatorScratch> scratch = generation->evaluator->make_scratch();
  if (!scratch) return scratch.error();
  generation->scratch = std::move(*scratch);
  return generation;
}

}  // namespace hb::nids
