// Says which rules one packet matches. The same for the CPU twin and behind the GPU twin's kernel,
// so that both give the same alerts.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nf_lib/decode.h"
#include "nf_lib/result.h"
#include "nfs/nids/matcher.h"
#include "nfs/nids/rule_set.h"

namespace hb::nids {

/// What one thread needs to evaluate packets; made by Evaluator::make_scratch.
class EvaluatorScratch {
 public:
  /// Scans that Hyperscan gave up; each was repeated rule by rule.
  [[nodiscard]] std::uint64_t n_failed_scans() const noexcept { return n_failed_scans_; }

 private:
  friend class Evaluator;
  MatcherScratch matcher_;
  std::vector<std::uint32_t> matches_;  // room for all rules
  std::uint64_t n_failed_scans_ = 0;
};

/// Immutable once made: any number of threads may evaluate, each with its own scratch.
///
/// Rules are grouped by the protocol of their header. A packet is searched once for each group that
/// it can belong to (its own protocol's and `ip`), for the longest content of every rule; a hit's
/// header is checked, then its other contents.
class Evaluator {
 public:
  static Result<std::shared_ptr<const Evaluator>> create(std::shared_ptr<const RuleSet> rules);

  [[nodiscard]] const RuleSet& rules() const noexcept { return *rules_; }
  [[nodiscard]] Result<EvaluatorScratch> make_scratch() const;

  /// @param frame   the captured bytes
  /// @param packet  what decode_packet said of them
  /// @return indices into rules().rules, ascending, each once; valid until the scratch's next use
  std::span<const std::uint32_t> evaluate(std::span<const std::uint8_t> frame,
                                          const DecodedPacket& packet,
                                          EvaluatorScratch& scratch) const noexcept;

 private:
  /// The rules of one protocol.
  struct Group {
    Matcher matcher;
    std::vector<std::uint32_t> first_of_pattern;  // n_patterns + 1 indices into rule_idxs
    std::vector<std::uint32_t> rule_idxs;         // ordered by pattern
    std::vector<std::uint32_t> without_content;   // rules that the header alone decides
    [[nodiscard]] bool empty() const noexcept {
      return rule_idxs.empty() && without_content.empty();
    }
  };

  explicit Evaluator(std::shared_ptr<const RuleSet> rules) : rules_(std::move(rules)) {}
  static Result<Group> make_group(const RuleSet& rules, RuleProtocol protocol);

  std::shared_ptr<const RuleSet> rules_;
  std::array<Group, kNRuleProtocols> groups_;
};

}  // namespace hb::nids
