#include "manager/flow_config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace hb {
namespace {

Result<FlowConfig> parse(std::string_view text) {
  const Result<CsvFile> file = parse_csv("f.csv", text);
  if (!file) return file.error();
  return parse_flow_config(*file);
}

std::string error_of(std::string_view text) {
  const Result<FlowConfig> config = parse(text);
  return config ? "no error" : config.error().what;
}

TEST(FlowConfig, ReadsEveryField) {
  const Result<FlowConfig> config =
      parse("# flows\nweb, 10.0.0.0/8, 1024-65535, 192.0.2.1, 80, tcp");
  ASSERT_TRUE(config.ok()) << config.error().line();
  ASSERT_EQ(config->rules.size(), 1u);
  const FlowRule& rule = config->rules[0];
  EXPECT_EQ(rule.type, "web");
  EXPECT_EQ(rule.line, 2);
  EXPECT_EQ(rule.src.version, 4);
  EXPECT_EQ(rule.src.length, 8);
  EXPECT_EQ(rule.src.bytes[0], 10);
  EXPECT_EQ(rule.dst.length, 32);
  EXPECT_EQ(rule.dst.bytes[3], 1);
  EXPECT_FALSE(rule.src_ports.any);
  EXPECT_EQ(rule.src_ports.low, 1024);
  EXPECT_EQ(rule.src_ports.high, 65535);
  EXPECT_EQ(rule.dst_ports.low, 80);
  EXPECT_EQ(rule.dst_ports.high, 80);
  EXPECT_FALSE(rule.any_protocol);
  EXPECT_EQ(rule.protocol, 6);
  EXPECT_TRUE(rule.applies_to(4));
  EXPECT_FALSE(rule.applies_to(6));
  EXPECT_FALSE(rule.matches_all());
}

TEST(FlowConfig, ReadsIpv6AndClearsBitsPastTheLength) {
  const Result<FlowConfig> config = parse("a, 2001:db8:ffff::1/35, *, ::/0, *, icmp6");
  ASSERT_TRUE(config.ok()) << config.error().line();
  const FlowRule& rule = config->rules[0];
  EXPECT_EQ(rule.src.version, 6);
  EXPECT_EQ(rule.src.bytes[4], 0xe0);
  EXPECT_EQ(rule.src.bytes[5], 0);
  EXPECT_EQ(rule.src.bytes[15], 0);
  EXPECT_EQ(rule.dst.version, 6) << "::/0 is any IPv6 address, not any address";
  EXPECT_FALSE(rule.applies_to(4));
}

TEST(FlowConfig, StarsMatchEverything) {
  const Result<FlowConfig> config = parse("rest,*,*,*,*,*");
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE(config->rules[0].matches_all());
  EXPECT_TRUE(config->rules[0].applies_to(4));
  EXPECT_TRUE(config->rules[0].applies_to(6));
}

TEST(FlowConfig, KnowsTheProtocolsNames) {
  const std::pair<const char*, int> names[] = {
      {"tcp", 6},  {"udp", 17}, {"icmp", 1}, {"icmp6", 58}, {"sctp", 132},
      {"esp", 50}, {"ah", 51},  {"gre", 47}, {"0", 0},      {"255", 255}};
  for (const auto& [name, number] : names) {
    const Result<FlowConfig> config = parse(fmt::format("t,*,*,*,*,{}", name));
    ASSERT_TRUE(config.ok()) << name;
    EXPECT_EQ(config->rules[0].protocol, number) << name;
    EXPECT_FALSE(config->rules[0].any_protocol) << name;
  }
}

TEST(FlowConfig, ErrorsNameTheLine) {
  EXPECT_EQ(error_of("\nt,*,*,*,*"), "f.csv:2: 5 fields instead of 6");
  EXPECT_EQ(error_of("t,*,*,*,*,*,*"), "f.csv:1: 7 fields instead of 6");
  EXPECT_EQ(error_of("*,*,*,*,*,*"), "f.csv:1: '*' is no packet type");
  EXPECT_EQ(error_of(",*,*,*,*,*"), "f.csv:1: '' is no packet type");
  for (const std::string bad :
       {"", "10", "10.0.0.256", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::1/129", "1:2",
        "10.0.0.0/8/8", "host", "10.0.0.0/8x", "010.0.0.1"}) {
    EXPECT_EQ(error_of("t," + bad + ",*,*,*,*"), "f.csv:1: '" + bad + "' is no source address");
    EXPECT_EQ(error_of("t,*,*," + bad + ",*,*"),
              "f.csv:1: '" + bad + "' is no destination address");
  }
  for (const std::string bad : {"", "65536", "-1", "1-", "-", "9-8", "1-2-3", "http", "1 - 2"}) {
    EXPECT_EQ(error_of("t,*," + bad + ",*,*,*"), "f.csv:1: '" + bad + "' is no source port");
    EXPECT_EQ(error_of("t,*,*,*," + bad + ",*"), "f.csv:1: '" + bad + "' is no destination port");
  }
  for (const std::string bad : {"", "256", "TCP", "-1", "ip"})
    EXPECT_EQ(error_of("t,*,*,*,*," + bad), "f.csv:1: '" + bad + "' is no protocol");
}

TEST(FlowConfig, RefusesRulesThatCannotMatch) {
  EXPECT_EQ(error_of("t,10.0.0.1,*,::1,*,*"), "f.csv:1: one address is IPv4 and the other is IPv6");
  EXPECT_EQ(error_of("t,*,*,*,53,icmp"), "f.csv:1: ports with a protocol other than tcp and udp");
  EXPECT_EQ(error_of("t,*,0-65535,*,*,132"),
            "f.csv:1: ports with a protocol other than tcp and udp");
  EXPECT_EQ(error_of("t,*,*,*,53,*"), "no error");
  EXPECT_EQ(error_of("t,::1,*,*,*,icmp"), "f.csv:1: icmp with IPv6 addresses");
  EXPECT_EQ(error_of("t,*,*,10.0.0.1,*,icmp6"), "f.csv:1: icmp6 with IPv4 addresses");
}

TEST(FlowConfig, BoundsTheNumberOfRules) {
  std::string text;
  for (std::size_t i = 0; i < kMaxFlowRules; ++i) text += "t,*,*,*,*,*\n";
  EXPECT_EQ(error_of(text), "no error");
  EXPECT_EQ(error_of(text + "t,*,*,*,*,*\n"), "f.csv:16385: more than 16384 rules");
}

TEST(FlowConfig, EveryErrorSaysWhatToDo) {
  for (const char* text : {"t", "*,*,*,*,*,*", "t,x,*,*,*,*", "t,*,x,*,*,*", "t,*,*,x,*,*",
                           "t,*,*,*,x,*", "t,*,*,*,*,x", "t,::,*,0.0.0.0,*,*", "t,*,1,*,*,gre"})
    EXPECT_FALSE(parse(text).error().fix.empty()) << text;
}

}  // namespace
}  // namespace hb
