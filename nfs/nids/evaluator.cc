#include "nfs/nids/evaluator.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace hb::nids {
namespace {

bool port_matches(const PortSet& ports, bool has_ports, std::uint16_t port) noexcept {
  return ports.is_any() || (has_ports && ports.contains(port));
}

/// Fragments, and TCP, UDP and ICMP, whole or with their header cut short. Tunnels and other
/// protocols are not looked into, so their outer payload means nothing to a rule that does not name
/// them by ip_proto.
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

/// True when the rule is nothing but a header and a content that may lie anywhere and is searched
/// for as a whole.
bool fast_content_is_all(const Rule& rule) noexcept {
  const auto place = fast_content_place(rule);
  if (!place || rule.buffers.size() != 1 || rule.buffers[0].steps.size() != 1) return false;
  const auto* const content = std::get_if<Content>(&rule.buffers[0].steps[0]);
  return content != nullptr && content->is_anywhere() &&
         fast_bytes(*content).size() == content->bytes.size() &&
         content->bytes.size() <= Matcher::kMaxPatternBytes;
}

}  // namespace

/// One packet, ready for many header checks.
struct Evaluator::Packet {
  std::span<const std::uint8_t> frame;
  const DecodedPacket& decoded;
  bool is_searched;
  std::uint32_t src4 = 0;
  std::uint32_t dst4 = 0;
  U128 src6{};
  U128 dst6{};

  Packet(std::span<const std::uint8_t> bytes, const DecodedPacket& packet) noexcept
      : frame(bytes), decoded(packet), is_searched(nids::is_searched(packet)) {
    if (packet.ip_version == 4) {
      src4 = ipv4_number(packet.src.data());
      dst4 = ipv4_number(packet.dst.data());
    } else {
      src6 = ipv6_number(packet.src.data());
      dst6 = ipv6_number(packet.dst.data());
    }
  }

  /// One direction; `swapped` exchanges the packet's source and destination.
  [[nodiscard]] bool fits_one_way(const RuleHeader& header, bool swapped) const noexcept {
    const std::uint16_t src_port = swapped ? decoded.dst_port : decoded.src_port;
    const std::uint16_t dst_port = swapped ? decoded.src_port : decoded.dst_port;
    if (!port_matches(header.src_ports, decoded.has_ports, src_port)) return false;
    if (!port_matches(header.dst_ports, decoded.has_ports, dst_port)) return false;
    if (decoded.ip_version == 4) {
      return header.src.contains(swapped ? dst4 : src4) &&
             header.dst.contains(swapped ? src4 : dst4);
    }
    return header.src.contains(swapped ? dst6 : src6) && header.dst.contains(swapped ? src6 : dst6);
  }
  [[nodiscard]] bool fits(const RuleHeader& header) const noexcept {
    return fits_one_way(header, false) || (header.bidirectional && fits_one_way(header, true));
  }
};

void Evaluator::add_without_content(Group& group, std::uint32_t idx) const {
  const RuleHeader& header = rules_->rules[idx].header;
  const bool needs_src = !header.src_ports.is_any();
  const bool needs_dst = !header.dst_ports.is_any();
  if (header.bidirectional && needs_src != needs_dst) {
    group.by_nothing.push_back(idx);  // the port may be on either side
    return;
  }
  PortSet ports = needs_dst ? header.dst_ports : header.src_ports;
  if (header.bidirectional && needs_dst) ports.add(header.src_ports);
  if (needs_dst) {
    group.by_dst_port.add(idx, ports);
  } else if (needs_src) {
    group.by_src_port.add(idx, ports);
  } else {
    group.by_nothing.push_back(idx);
  }
}

Result<void> Evaluator::make_group(RuleProtocol protocol) {
  Group& group = groups_[static_cast<std::size_t>(protocol)];
  // Rules with the same fast content share a pattern. The strings live as long as the rules.
  std::map<std::pair<std::string_view, bool>, std::vector<std::uint32_t>> rules_of;
  for (std::uint32_t idx = 0; idx < rules_->rules.size(); ++idx) {
    const Rule& rule = rules_->rules[idx];
    if (rule.header.protocol != protocol) continue;
    judges_all_protocols_ |= !rule.tests.ip_protocols.empty();
    const auto place = fast_content_place(rule);
    if (!place) {
      add_without_content(group, idx);
      continue;
    }
    const auto& content = std::get<Content>(rule.buffers[place->buffer].steps[place->step]);
    const std::string_view bytes = fast_bytes(content).substr(0, Matcher::kMaxPatternBytes);
    rules_of[{bytes, content.nocase}].push_back(idx);
    fast_is_all_[idx] = fast_content_is_all(rule);
  }
  group.by_dst_port.build();
  group.by_src_port.build();
  for (const auto& [pattern, idxs] : rules_of) {
    group.patterns.push_back({.bytes = pattern.first, .nocase = pattern.second});
    group.first_of_pattern.push_back(static_cast<std::uint32_t>(group.rule_idxs.size()));
    group.rule_idxs.insert(group.rule_idxs.end(), idxs.begin(), idxs.end());
  }
  group.first_of_pattern.push_back(static_cast<std::uint32_t>(group.rule_idxs.size()));
  std::vector<Pattern> searched = group.patterns;
  if (const std::vector<Pattern>& ip = group_of(RuleProtocol::kIp).patterns;
      protocol != RuleProtocol::kIp && !ip.empty() && !searched.empty()) {
    group.joint = true;
    searched.insert(searched.begin(), ip.begin(), ip.end());
  }
  Result<Matcher> matcher = Matcher::compile(searched);
  if (!matcher) return matcher.error();
  group.matcher = std::move(*matcher);
  return {};
}

Result<std::shared_ptr<const Evaluator>> Evaluator::create(std::shared_ptr<const RuleSet> rules) {
  auto evaluator = std::shared_ptr<Evaluator>(new Evaluator(std::move(rules)));
  evaluator->fast_is_all_.resize(evaluator->rules_->rules.size());
  static_assert(RuleProtocol::kIp == RuleProtocol{}, "first: others search for its contents too");
  for (std::size_t i = 0; i < kNRuleProtocols; ++i) {
    const Result<void> made = evaluator->make_group(static_cast<RuleProtocol>(i));
    if (!made) return made.error();
  }
  return std::shared_ptr<const Evaluator>(std::move(evaluator));
}

Result<EvaluatorScratch> Evaluator::make_scratch() const {
  EvaluatorScratch scratch;
  for (const Group& group : groups_) {
    if (Result<void> done = group.matcher.grow(scratch.matcher_); !done) return done.error();
  }
  Result<PayloadScratch> payload = PayloadScratch::make();
  if (!payload) return payload.error();
  scratch.payload_ = std::move(*payload);
  scratch.matches_.reserve(rules_->rules.size());
  return scratch;
}

void Evaluator::try_rule(std::uint32_t idx, const Packet& packet,
                         std::span<const std::uint8_t> payload, bool found_fast,
                         EvaluatorScratch& scratch) const noexcept {
  const Rule& rule = rules_->rules[idx];
  ++scratch.n_tried_;
  if (!packet.is_searched && rule.tests.ip_protocols.empty()) return;
  if (!packet.fits(rule.header)) return;
  if (!rule.tests.match(packet.frame, packet.decoded, payload)) return;
  if (!found_fast || !fast_is_all_[idx]) {
    for (const BufferSteps& buffer : rule.buffers) {
      // The one place that knows where a buffer's bytes are: named buffers are found here.
      const std::span<const std::uint8_t> bytes =
          buffer.buffer == Buffer::kPayload ? payload : std::span<const std::uint8_t>{};
      // As in Suricata (SIG_MASK_REQUIRE_PAYLOAD): `content:!"x"` does not match where nothing is.
      if (bytes.empty()) return;
      if (!steps_match(buffer.steps, bytes, scratch.payload_)) return;
    }
  }
  scratch.matches_.push_back(idx);
}

/// Rules with nothing to search for. Each rule is in one of these lists or has one pattern, and a
/// pattern is reported once: no rule comes twice, and push_back never allocates.
void Evaluator::try_without_content(const Group& group, const Packet& packet,
                                    std::span<const std::uint8_t> payload,
                                    EvaluatorScratch& scratch) const noexcept {
  const auto try_all = [&](std::span<const std::uint32_t> idxs) {
    for (const std::uint32_t idx : idxs) try_rule(idx, packet, payload, false, scratch);
  };
  try_all(group.by_nothing);
  if (!packet.decoded.has_ports) return;
  try_all(group.by_dst_port.rules(packet.decoded.dst_port));
  try_all(group.by_src_port.rules(packet.decoded.src_port));
}

void Evaluator::try_pattern(const Group& group, std::uint32_t pattern, const Packet& packet,
                            std::span<const std::uint8_t> payload, bool found_fast,
                            EvaluatorScratch& scratch) const noexcept {
  const std::uint32_t first = group.first_of_pattern[pattern];
  const std::uint32_t n = group.first_of_pattern[pattern + 1] - first;
  for (const std::uint32_t idx : std::span(group.rule_idxs).subspan(first, n))
    try_rule(idx, packet, payload, found_fast, scratch);
}

/// Searches for the group's own contents.
void Evaluator::search(const Group& group, const Packet& packet,
                       std::span<const std::uint8_t> payload,
                       EvaluatorScratch& scratch) const noexcept {
  if (group.patterns.empty()) return;
  const std::size_t n_before = scratch.matches_.size();
  auto on_pattern = [&](std::uint32_t pattern) {
    try_pattern(group, pattern, packet, payload, true, scratch);
  };
  if (group.matcher.scan(payload, scratch.matcher_, on_pattern)) return;
  // Slow, but no alert is lost.
  ++scratch.n_failed_scans_;
  scratch.matches_.resize(n_before);
  for (const std::uint32_t idx : group.rule_idxs) try_rule(idx, packet, payload, false, scratch);
}

/// Searches the IP payload for the contents of `ip` and of the group at once. Those of the group
/// count in the payload of TCP, UDP or ICMP only, so one that is first found elsewhere is no more
/// than a reason to try its rules.
void Evaluator::search_joint(const Group& group, const Packet& packet,
                             EvaluatorScratch& scratch) const noexcept {
  const DecodedPacket& decoded = packet.decoded;
  const Group& ip = group_of(RuleProtocol::kIp);
  const auto ip_payload =
      packet.frame.subspan(decoded.ip_payload_offset, decoded.ip_payload_length);
  const auto payload = packet.frame.subspan(decoded.l4_payload_offset, decoded.l4_payload_length);
  const std::uint64_t begin = decoded.l4_payload_offset - decoded.ip_payload_offset;
  const std::size_t n_before = scratch.matches_.size();
  auto on_pattern = [&](std::uint32_t pattern, std::uint64_t end) {
    if (pattern < ip.patterns.size()) {
      try_pattern(ip, pattern, packet, ip_payload, true, scratch);
      return;
    }
    pattern -= static_cast<std::uint32_t>(ip.patterns.size());
    const bool inside = end >= begin + group.patterns[pattern].bytes.size() &&
                        end <= begin + decoded.l4_payload_length;
    try_pattern(group, pattern, packet, payload, inside, scratch);
  };
  if (group.matcher.scan(ip_payload, scratch.matcher_, on_pattern)) return;
  ++scratch.n_failed_scans_;
  scratch.matches_.resize(n_before);
  for (const std::uint32_t idx : ip.rule_idxs) try_rule(idx, packet, ip_payload, false, scratch);
  for (const std::uint32_t idx : group.rule_idxs) try_rule(idx, packet, payload, false, scratch);
}

std::span<const std::uint32_t> Evaluator::evaluate(std::span<const std::uint8_t> frame,
                                                   const DecodedPacket& packet,
                                                   EvaluatorScratch& scratch) const noexcept {
  scratch.matches_.clear();
  if (!packet.ok()) return {};
  const Packet judged(frame, packet);
  if (!judged.is_searched && !judges_all_protocols_) return {};
  const Group& ip = group_of(RuleProtocol::kIp);
  const auto ip_payload = frame.subspan(packet.ip_payload_offset, packet.ip_payload_length);
  try_without_content(ip, judged, ip_payload, scratch);
  if (packet.l4 == L4Kind::kNone) {
    search(ip, judged, ip_payload, scratch);
  } else {
    const Group& own = group_of(packet.l4 == L4Kind::kTcp   ? RuleProtocol::kTcp
                                : packet.l4 == L4Kind::kUdp ? RuleProtocol::kUdp
                                                            : RuleProtocol::kIcmp);
    const auto payload = frame.subspan(packet.l4_payload_offset, packet.l4_payload_length);
    try_without_content(own, judged, payload, scratch);
    if (own.joint) {
      search_joint(own, judged, scratch);
    } else {
      search(ip, judged, ip_payload, scratch);
      search(own, judged, payload, scratch);
    }
  }
  std::sort(scratch.matches_.begin(), scratch.matches_.end());
  return scratch.matches_;
}

}  // namespace hb::nids
