#include "nfs/nids/evaluator.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "nfs/nids/content_search.h"

namespace hb::nids {
namespace {

/// The packet's addresses as numbers, ready for many header checks.
struct PacketKey {
  bool is_v4 = false;
  bool has_ports = false;
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  std::uint32_t src4 = 0;
  std::uint32_t dst4 = 0;
  U128 src6;
  U128 dst6;

  explicit PacketKey(const DecodedPacket& packet) noexcept
      : is_v4(packet.ip_version == 4),
        has_ports(packet.has_ports),
        src_port(packet.src_port),
        dst_port(packet.dst_port) {
    if (is_v4) {
      src4 = ipv4_number(packet.src.data());
      dst4 = ipv4_number(packet.dst.data());
    } else {
      src6 = ipv6_number(packet.src.data());
      dst6 = ipv6_number(packet.dst.data());
    }
  }
};

bool port_matches(const PortSet& ports, const PacketKey& key, std::uint16_t port) noexcept {
  return ports.is_any() || (key.has_ports && ports.contains(port));
}

/// One direction; `swapped` exchanges the packet's source and destination.
bool direction_matches(const RuleHeader& header, const PacketKey& key, bool swapped) noexcept {
  if (!port_matches(header.src_ports, key, swapped ? key.dst_port : key.src_port)) return false;
  if (!port_matches(header.dst_ports, key, swapped ? key.src_port : key.dst_port)) return false;
  if (key.is_v4) {
    return header.src.contains(swapped ? key.dst4 : key.src4) &&
           header.dst.contains(swapped ? key.src4 : key.dst4);
  }
  return header.src.contains(swapped ? key.dst6 : key.src6) &&
         header.dst.contains(swapped ? key.src6 : key.dst6);
}

bool header_matches(const RuleHeader& header, const PacketKey& key) noexcept {
  return direction_matches(header, key, false) ||
         (header.bidirectional && direction_matches(header, key, true));
}

/// True when the payload holds every content of the rule.
/// @param found_fast  the search for all rules has found the longest one already
bool contents_match(const Rule& rule, std::span<const std::uint8_t> payload,
                    bool found_fast) noexcept {
  const std::size_t fast = found_fast ? fast_content_idx(rule) : kNoFastContent;
  for (std::size_t i = 0; i < rule.contents.size(); ++i) {
    const bool found_whole =
        i == fast && rule.contents[i].bytes.size() <= Matcher::kMaxPatternBytes;
    if (!found_whole && !contains_content(payload, rule.contents[i])) return false;
  }
  return true;
}

/// Fragments, and TCP, UDP and ICMP, whole or with their header cut short. Tunnels and other
/// protocols are not looked into, so their outer payload means nothing to a rule either.
bool is_searched(const DecodedPacket& packet) noexcept {
  if (packet.is_fragment) return true;
  switch (packet.protocol) {
    case kProtocolTcp:
    case kProtocolUdp:
      return true;
    case kProtocolIcmp:
      return packet.ip_version == 4;
    case kProtocolIcmpV6:
      return packet.ip_version == 6;
    default:
      return false;
  }
}

}  // namespace

Result<Evaluator::Group> Evaluator::make_group(const RuleSet& rules, RuleProtocol protocol) {
  Group group;
  // Rules with the same fast content share a pattern. The strings live as long as the rules.
  std::map<std::pair<std::string_view, bool>, std::vector<std::uint32_t>> rules_of;
  for (std::uint32_t idx = 0; idx < rules.rules.size(); ++idx) {
    const Rule& rule = rules.rules[idx];
    if (rule.header.protocol != protocol) continue;
    const std::size_t fast = fast_content_idx(rule);
    if (fast == kNoFastContent) {
      group.without_content.push_back(idx);
      continue;
    }
    const Content& content = rule.contents[fast];
    const std::string_view bytes(content.bytes);
    rules_of[{bytes.substr(0, Matcher::kMaxPatternBytes), content.nocase}].push_back(idx);
  }
  std::vector<Pattern> patterns;
  for (const auto& [pattern, idxs] : rules_of) {
    patterns.push_back({.bytes = pattern.first, .nocase = pattern.second});
    group.first_of_pattern.push_back(static_cast<std::uint32_t>(group.rule_idxs.size()));
    group.rule_idxs.insert(group.rule_idxs.end(), idxs.begin(), idxs.end());
  }
  group.first_of_pattern.push_back(static_cast<std::uint32_t>(group.rule_idxs.size()));
  Result<Matcher> matcher = Matcher::compile(patterns);
  if (!matcher) return matcher.error();
  group.matcher = std::move(*matcher);
  return group;
}

Result<std::shared_ptr<const Evaluator>> Evaluator::create(std::shared_ptr<const RuleSet> rules) {
  auto evaluator = std::shared_ptr<Evaluator>(new Evaluator(std::move(rules)));
  for (std::size_t i = 0; i < kNRuleProtocols; ++i) {
    Result<Group> group = make_group(*evaluator->rules_, static_cast<RuleProtocol>(i));
    if (!group) return group.error();
    evaluator->groups_[i] = std::move(*group);
  }
  return std::shared_ptr<const Evaluator>(std::move(evaluator));
}

Result<EvaluatorScratch> Evaluator::make_scratch() const {
  EvaluatorScratch scratch;
  for (const Group& group : groups_) {
    if (Result<void> done = group.matcher.grow(scratch.matcher_); !done) return done.error();
  }
  scratch.matches_.reserve(rules_->rules.size());
  return scratch;
}

std::span<const std::uint32_t> Evaluator::evaluate(std::span<const std::uint8_t> frame,
                                                   const DecodedPacket& packet,
                                                   EvaluatorScratch& scratch) const noexcept {
  scratch.matches_.clear();
  if (!packet.ok() || !is_searched(packet)) return {};
  const PacketKey key(packet);
  const auto search = [&](RuleProtocol protocol, std::uint32_t offset, std::uint32_t length) {
    const Group& group = groups_[static_cast<std::size_t>(protocol)];
    if (group.empty()) return;
    const std::span<const std::uint8_t> payload = frame.subspan(offset, length);
    // Each rule has one group and one pattern, and a pattern is reported once: no rule comes twice,
    // and push_back never allocates.
    for (const std::uint32_t idx : group.without_content) {
      if (header_matches(rules_->rules[idx].header, key)) scratch.matches_.push_back(idx);
    }
    const auto try_rule = [&](std::uint32_t idx, bool found_fast) {
      const Rule& rule = rules_->rules[idx];
      if (header_matches(rule.header, key) && contents_match(rule, payload, found_fast)) {
        scratch.matches_.push_back(idx);
      }
    };
    const std::size_t n_before = scratch.matches_.size();
    auto on_pattern = [&](std::uint32_t pattern) {
      for (auto at = group.first_of_pattern[pattern]; at < group.first_of_pattern[pattern + 1];
           ++at) {
        try_rule(group.rule_idxs[at], true);
      }
    };
    if (group.matcher.scan(payload, scratch.matcher_, on_pattern)) return;
    // Slow, but no alert is lost.
    ++scratch.n_failed_scans_;
    scratch.matches_.resize(n_before);
    for (const std::uint32_t idx : group.rule_idxs) try_rule(idx, false);
  };

  search(RuleProtocol::kIp, packet.ip_payload_offset, packet.ip_payload_length);
  switch (packet.l4) {
    case L4Kind::kTcp:
      search(RuleProtocol::kTcp, packet.l4_payload_offset, packet.l4_payload_length);
      break;
    case L4Kind::kUdp:
      search(RuleProtocol::kUdp, packet.l4_payload_offset, packet.l4_payload_length);
      break;
    case L4Kind::kIcmp:
    case L4Kind::kIcmpV6:
      search(RuleProtocol::kIcmp, packet.l4_payload_offset, packet.l4_payload_length);
      break;
    case L4Kind::kNone:
      break;
  }
  std::sort(scratch.matches_.begin(), scratch.matches_.end());
  return scratch.matches_;
}

}  // namespace hb::nids
