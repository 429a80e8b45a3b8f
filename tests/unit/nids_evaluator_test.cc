#include "nfs/nids/evaluator.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "nfs/nids/rule_parser.h"
#include "tests/unit/capture_reader.h"
#include "tests/unit/frame_builder.h"

namespace hb::nids {
namespace {

using test::Frame;
using test::FrameBuilder;

using Texts = std::vector<std::pair<std::string, std::string>>;

/// Rules from texts "HEADER | OPTIONS" with sids 1, 2, ... in order.
RuleSet rules_from(const Texts& texts) {
  RuleSet set;
  for (const auto& [header, options] : texts) {
    const std::string sid = std::to_string(set.rules.size() + 1);
    const ParsedRule parsed = parse_rule("alert " + header + " (" + options + " sid:" + sid + ";)");
    EXPECT_EQ(parsed.kind, ParsedRule::Kind::kRule) << header << options << ": " << parsed.why;
    set.rules.push_back(parsed.rule);
  }
  return set;
}

class Evaluation {
 public:
  explicit Evaluation(RuleSet set) {
    auto evaluator = Evaluator::create(std::make_shared<const RuleSet>(std::move(set)));
    EXPECT_TRUE(evaluator.ok());
    evaluator_ = *evaluator;
    scratch_ = *std::move(evaluator_->make_scratch());
  }
  explicit Evaluation(const Texts& texts) : Evaluation(rules_from(texts)) {}

  std::vector<std::uint32_t> sids(const Frame& frame) {
    std::vector<std::uint32_t> sids;
    for (const auto idx : evaluator_->evaluate(frame, decode_packet(frame), scratch_)) {
      sids.push_back(evaluator_->rules().rules[idx].sid);
    }
    return sids;
  }
  [[nodiscard]] std::uint64_t n_failed() const { return scratch_.n_failed_scans(); }

 private:
  std::shared_ptr<const Evaluator> evaluator_;
  EvaluatorScratch scratch_;
};

using Sids = std::vector<std::uint32_t>;

TEST(Evaluator, SearchesTheL4PayloadAndForIpRulesTheIpPayload) {
  // The UDP header 0x4142 0x4344 reads "ABCD".
  const Frame frame = FrameBuilder().ipv4(17).udp(0x4142, 0x4344).text("payload").done();
  Evaluation evaluation(
      Texts{{"udp any any -> any any", "content:\"ABCD\";"},
            {"ip any any -> any any", "content:\"ABCD\";"},
            {"udp any any -> any any", "content:\"payload\";"},
            {"ip any any -> any any", "content:\"payload\";"},
            {"tcp any any -> any any", "content:\"payload\";"},
            {"ip any any -> any any", "content:\"|11|\";"}});  // IPv4's protocol field
  EXPECT_EQ(evaluation.sids(frame), (Sids{2, 3, 4}));
}

TEST(Evaluator, RulesWithPayloadStepsWantAPayload) {
  const Texts texts{{"tcp any any -> any any", "content:!\"x\";"},
                    {"tcp any any -> any any", "pcre:!\"/x/\";"},
                    {"tcp any any -> any any", "isdataat:!1;"},
                    {"tcp any any -> any any", "content:!\"x\"; dsize:0;"},
                    {"tcp any any -> any any", "dsize:0;"},
                    {"tcp any any -> any any", ""}};
  Evaluation evaluation(texts);
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv4(6).tcp(1, 2).done()), (Sids{5, 6}));
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv4(6).tcp(1, 2).text("a").done()), (Sids{1, 2, 3, 6}));
}

TEST(Evaluator, AContentThatIsFoundInTheHeaderFirstIsStillSoughtInThePayload) {
  // "ABCD" is the UDP header's first bytes, and lies across its end in the other packet.
  const Frame both = FrameBuilder().ipv4(17).udp(0x4142, 0x4344).text("...ABCD").done();
  Frame across = FrameBuilder().ipv4(17).udp(1, 2).text("CD").done();
  across[14 + 20 + 6] = 'A';  // the UDP checksum
  across[14 + 20 + 7] = 'B';
  Evaluation evaluation(Texts{{"udp any any -> any any", "content:\"ABCD\";"},
                              {"udp any any -> any any", "content:\"ABCD\"; offset:1;"},
                              {"ip any any -> any any", "content:\"ABCD\"; depth:4;"},
                              {"ip any any -> any any", "content:\"ABCD\";"},
                              {"udp any any -> any any", "content:\"CD\";"}});
  EXPECT_EQ(evaluation.sids(both), (Sids{1, 2, 3, 4, 5}));
  EXPECT_EQ(evaluation.sids(across), (Sids{4, 5}));
}

TEST(Evaluator, UdpPayloadEndsWhereItsOwnHeaderSays) {
  Frame frame = FrameBuilder().ipv4(17).udp(1, 2).text("in--out").done();
  frame[14 + 20 + 4] = 0;
  frame[14 + 20 + 5] = 8 + 4;
  Evaluation evaluation(Texts{{"udp any any -> any any", "content:\"in\";"},
                              {"udp any any -> any any", "content:\"out\";"},
                              {"udp any any -> any any", "content:\"-o\";"},
                              {"ip any any -> any any", "content:\"out\";"}});
  EXPECT_EQ(evaluation.sids(frame), (Sids{1, 4}));
}

TEST(Evaluator, StopsAtTheLengthsThatTheHeadersState) {
  Frame frame = FrameBuilder().ipv4(17).udp(1, 2).text("short").done();
  for (const char c : std::string("trailer")) frame.push_back(static_cast<std::uint8_t>(c));
  Evaluation evaluation(Texts{{"udp any any -> any any", "content:\"trailer\";"},
                              {"ip any any -> any any", "content:\"t\"; content:\"r\"; nocase;"},
                              {"ip any any -> any any", "content:\"rt\";"},
                              {"ip any any -> any any", "content:\"rtt\";"}});
  EXPECT_EQ(evaluation.sids(frame), (Sids{2, 3}));
}

TEST(Evaluator, AllContentsMustBeThereInAnyOrderAndMayOverlap) {
  const Frame frame = FrameBuilder().ipv4(6).tcp(1, 2).text("The quick brown fox").done();
  Evaluation evaluation(
      {{"tcp any any -> any any", "content:\"brown\"; content:\"quick\";"},
       {"tcp any any -> any any", "content:\"brown\"; content:\"slow\";"},
       {"tcp any any -> any any", "content:\"QUICK\"; nocase; content:\"T\";"},
       {"tcp any any -> any any", "content:\"QUICK\"; content:\"T\";"},
       {"tcp any any -> any any", "content:\"quick\"; content:\"t\";"},
       {"tcp any any -> any any", "content:\"own\"; content:\"brown\"; content:\"row\";"}});
  EXPECT_EQ(evaluation.sids(frame), (Sids{1, 3, 6}));
}

TEST(Evaluator, HonoursDirectionAndPorts) {
  const Frame frame =
      FrameBuilder().ipv4(6).tcp(40000, 80).text("x").done();  // 10.0.0.1 -> 192.168.1.2
  Evaluation evaluation(Texts{{"tcp 10.0.0.0/8 any -> 192.168.0.0/16 80", ""},
                              {"tcp 192.168.0.0/16 80 -> 10.0.0.0/8 any", ""},
                              {"tcp 192.168.0.0/16 80 <> 10.0.0.0/8 any", ""},
                              {"tcp 10.0.0.0/8 80 <> 192.168.0.0/16 any", ""},
                              {"tcp any !80 -> any :1023", ""},
                              {"tcp any any -> any !80", ""},
                              {"tcp any any <> any !80", ""}});
  EXPECT_EQ(evaluation.sids(frame), (Sids{1, 3, 5, 7}));
}

TEST(Evaluator, PortConstraintsNeedAPacketWithPorts) {
  const Texts rules = {{"ip any any -> any any", ""},    {"ip any any -> any 1:", ""},
                       {"icmp any any -> any any", ""},  {"icmp any !7 -> any any", ""},
                       {"ip any $PORTS -> any any", ""}, {"ip any 0: -> any any", ""}};
  Evaluation evaluation(rules);
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv4(1).icmp(8).done()), (Sids{1, 3, 5}));
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv6(58).icmp(128).done()), (Sids{1, 3, 5}));
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv4(17).udp(5, 6).done()), (Sids{1, 2, 5, 6}));
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv4(17, 0, 0x2000).udp(5, 6).done()), (Sids{1, 5}));
}

TEST(Evaluator, FragmentsMatchIpRulesOnlyAndOtherProtocolsNone) {
  Evaluation evaluation(Texts{{"ip any any -> any any", "content:\"needle\";"},
                              {"udp any any -> any any", "content:\"needle\";"},
                              {"tcp any any -> any any", ""}});
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv4(17, 0, 0x2000).udp(1, 2).text("needle").done()),
            Sids{1});
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv4(17, 0, 0x0010).text("a needle").done()), Sids{1});
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv4(47).text("a needle").done()), Sids{});
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv4(58).text("a needle").done()), Sids{});
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv6(17).udp(1, 2).text("needle").done()), (Sids{1, 2}));
}

TEST(Evaluator, WhatIsNotIpMatchesNothing) {
  Evaluation evaluation(
      {{"ip any any -> any any", ""}, {"ip any any -> any any", "content:\"|00|\";"}});
  EXPECT_TRUE(evaluation.sids(FrameBuilder().be16(0x0806).zeros(40).done()).empty());
  EXPECT_TRUE(evaluation.sids(FrameBuilder().be16(0x8847).zeros(40).done()).empty());
  EXPECT_TRUE(evaluation.sids({}).empty());
}

TEST(Evaluator, LongContentsAreCheckedToTheirEnd) {
  const std::string start(Matcher::kMaxPatternBytes + 44, 'a');
  Evaluation evaluation(Texts{{"udp any any -> any any", "content:\"" + start + "b\";"},
                              {"udp any any -> any any", "content:\"" + start + "c\";"}});
  EXPECT_EQ(evaluation.sids(FrameBuilder().ipv4(17).udp(1, 2).text(start + "b").done()), Sids{1});
}

TEST(Evaluator, NoRulesAndNoPayloadAreHarmless) {
  Evaluation none{RuleSet{}};
  EXPECT_TRUE(none.sids(FrameBuilder().ipv4(17).udp(1, 2).text("x").done()).empty());
  Evaluation some(Texts{{"udp any any -> any any", "content:\"x\";"}});
  EXPECT_TRUE(some.sids(FrameBuilder().ipv4(17).udp(1, 2).done()).empty());
}

std::vector<PayloadStep> steps_of(const Rule& rule) {
  return rule.buffers.empty() ? std::vector<PayloadStep>{} : rule.buffers[0].steps;
}

/// The plainest scan: every rule, every offset, byte by byte; `any` addresses and ports only.
Sids naive_sids(const RuleSet& set, const Frame& frame) {
  const DecodedPacket packet = decode_packet(frame);
  Sids sids;
  if (!packet.ok()) return sids;
  const int icmp = packet.ip_version == 4 ? 1 : 58;
  if (!packet.is_fragment && packet.protocol != 6 && packet.protocol != 17 &&
      packet.protocol != icmp)
    return sids;
  const std::map<L4Kind, RuleProtocol> protocol_of = {{L4Kind::kTcp, RuleProtocol::kTcp},
                                                      {L4Kind::kUdp, RuleProtocol::kUdp},
                                                      {L4Kind::kIcmp, RuleProtocol::kIcmp},
                                                      {L4Kind::kIcmpV6, RuleProtocol::kIcmp}};
  for (const Rule& rule : set.rules) {
    const bool is_ip = rule.header.protocol == RuleProtocol::kIp;
    const auto protocol = protocol_of.find(packet.l4);
    if (!is_ip && (protocol == protocol_of.end() || protocol->second != rule.header.protocol))
      continue;
    const std::size_t begin = is_ip ? packet.ip_payload_offset : packet.l4_payload_offset;
    const std::size_t end = begin + (is_ip ? packet.ip_payload_length : packet.l4_payload_length);
    bool all = true;
    for (const PayloadStep& step : steps_of(rule)) {
      const auto& content = std::get<Content>(step);
      bool found = false;
      for (std::size_t at = begin; !found && at + content.bytes.size() <= end; ++at) {
        found = true;
        for (std::size_t i = 0; found && i < content.bytes.size(); ++i) {
          int byte = frame[at + i];
          if (content.nocase && byte >= 'A' && byte <= 'Z') byte += 'a' - 'A';
          found = byte == static_cast<std::uint8_t>(content.bytes[i]);
        }
      }
      all = all && found;
    }
    if (all) sids.push_back(rule.sid);
  }
  return sids;
}

/// Rules whose contents are cut out of real packets, so that many match.
RuleSet rules_from_packets(const std::vector<Frame>& frames, std::mt19937& rng,
                           std::size_t n_rules) {
  static const char* const kHeaders[] = {"tcp", "udp", "icmp", "ip"};
  RuleSet set;
  while (set.rules.size() < n_rules) {
    ParsedRule parsed =
        parse_rule("alert " + std::string(kHeaders[rng() % 4]) + " any any -> any any (sid:1;)");
    const Frame& frame = frames[rng() % frames.size()];
    for (auto n = 1 + rng() % 3; n > 0 && frame.size() > 60; --n) {
      const std::size_t length = 1 + rng() % (rng() % 8 == 0 ? 300 : 8);
      const std::size_t at = 34 + rng() % (frame.size() - 40);
      const std::string bytes(
          frame.begin() + static_cast<std::ptrdiff_t>(at),
          frame.begin() + static_cast<std::ptrdiff_t>(std::min(at + length, frame.size())));
      Content content;
      content.bytes = bytes;
      content.nocase = rng() % 2 == 0;
      if (content.nocase) {
        for (char& c : content.bytes) c = to_lower_ascii(c);
      }
      if (parsed.rule.buffers.empty()) parsed.rule.buffers.emplace_back();
      parsed.rule.buffers[0].steps.emplace_back(content);
    }
    if (parsed.rule.buffers.empty()) continue;
    parsed.rule.sid = static_cast<std::uint32_t>(set.rules.size() + 1);
    set.rules.push_back(parsed.rule);
  }
  return set;
}

TEST(Evaluator, AgreesWithANaiveScanOnRealPackets) {
  std::mt19937 rng(7);
  std::vector<Frame> frames;
  for (const auto& path : test::capture_files()) {
    for (Frame& frame : test::read_capture(path)) {
      if (rng() % 8 == 0) frames.push_back(std::move(frame));
    }
  }
  std::size_t n_alerts = 0;
  for (int trial = 0; trial < 12; ++trial) {
    const RuleSet set = rules_from_packets(frames, rng, 60);
    Evaluation evaluation(set);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      const Sids expected = naive_sids(set, frames[i]);
      n_alerts += expected.size();
      ASSERT_EQ(evaluation.sids(frames[i]), expected) << "trial " << trial << " frame " << i;
    }
    EXPECT_EQ(evaluation.n_failed(), 0u);
  }
  EXPECT_GT(n_alerts, 1000u);
}

}  // namespace
}  // namespace hb::nids
