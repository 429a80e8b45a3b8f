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
#include "nfs/nids/payload_match.h"
#include "nfs/nids/port_index.h"
#include "nfs/nids/rule_set.h"

namespace hb::nids {

/// What one thread needs to evaluate packets; made by Evaluator::make_scratch.
class EvaluatorScratch {
 public:
  /// Scans that Hyperscan gave up; each was repeated rule by rule.
  [[nodiscard]] std::uint64_t n_failed_scans() const noexcept { return n_failed_scans_; }
  /// Rules taken as not matching a packet because a pcre took too many steps on it.
  [[nodiscard]] std::uint64_t n_given_up() const noexcept { return payload_.n_given_up(); }
  /// Rules that were evaluated in full, over all packets.
  [[nodiscard]] std::uint64_t n_tried() const noexcept { return n_tried_; }

 private:
  friend class Evaluator;
  MatcherScratch matcher_;
  PayloadScratch payload_;
  std::vector<std::uint32_t> matches_;  // room for all rules
  std::uint64_t n_failed_scans_ = 0;
  std::uint64_t n_tried_ = 0;
};

/// Immutable once made: any number of threads may evaluate, each with its own scratch.
///
/// Rules are grouped by the protocol of their header. A packet is searched once, for one content of
/// every rule of its own protocol's group and of `ip`'s; where that is found, the rule's header,
/// tests and steps are tried. Rules without a content to search for are looked up by the packet's
/// ports and tried.
class Evaluator {
 public:
  static Result<std::shared_ptr<const Evaluator>> create(std::shared_ptr<const RuleSet> rules);

  [[nodiscard]] const RuleSet& rules() const noexcept { return *rules_; }
  [[nodiscard]] std::shared_ptr<const RuleSet> shared_rules() const noexcept { return rules_; }
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
    Matcher matcher;  // for `patterns`, behind those of `ip` if it is joint
    bool joint = false;
    std::vector<Pattern> patterns;                // the strings are the rules'
    std::vector<std::uint32_t> first_of_pattern;  // n_patterns + 1 indices into rule_idxs
    std::vector<std::uint32_t> rule_idxs;         // ordered by pattern
    // Rules with nothing to search for: those bound to a destination port, those bound to a source
    // port only, and the rest.
    PortIndex by_dst_port;
    PortIndex by_src_port;
    std::vector<std::uint32_t> by_nothing;
  };
  struct Packet;

  explicit Evaluator(std::shared_ptr<const RuleSet> rules) : rules_(std::move(rules)) {}
  [[nodiscard]] const Group& group_of(RuleProtocol protocol) const noexcept {
    return groups_[static_cast<std::size_t>(protocol)];
  }
  Result<void> make_group(RuleProtocol protocol);
  void add_without_content(Group& group, std::uint32_t idx) const;
  void search(const Group& group, const Packet& packet, std::span<const std::uint8_t> payload,
              EvaluatorScratch& scratch) const noexcept;
  void search_joint(const Group& group, const Packet& packet,
                    EvaluatorScratch& scratch) const noexcept;
  void try_without_content(const Group& group, const Packet& packet,
                           std::span<const std::uint8_t> payload,
                           EvaluatorScratch& scratch) const noexcept;
  void try_pattern(const Group& group, std::uint32_t pattern, const Packet& packet,
                   std::span<const std::uint8_t> payload, bool found_fast,
                   EvaluatorScratch& scratch) const noexcept;
  void try_rule(std::uint32_t idx, const Packet& packet, std::span<const std::uint8_t> payload,
                bool found_fast, EvaluatorScratch& scratch) const noexcept;

  std::shared_ptr<const RuleSet> rules_;
  std::array<Group, kNRuleProtocols> groups_;
  std::vector<bool> fast_is_all_;      // finding the fast content leaves no step to try
  bool judges_all_protocols_ = false;  // a rule has ip_proto
};

}  // namespace hb::nids
