// Addresses, ports and variables of a rule's header.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "nfs/nids/rule_parser.h"

namespace hb::nids {
namespace {

std::uint32_t v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  const std::uint8_t bytes[] = {a, b, c, d};
  return ipv4_number(bytes);
}

AddressSet addresses(const std::string& text) {
  VariableUse variables;
  Result<AddressSet> set = parse_addresses(text, variables);
  EXPECT_TRUE(set.ok()) << text;
  return set.ok() ? *set : AddressSet{};
}
PortSet ports(const std::string& text) {
  VariableUse variables;
  Result<PortSet> set = parse_ports(text, variables);
  EXPECT_TRUE(set.ok()) << text;
  return set.ok() ? *set : PortSet{};
}
bool ports_are_wrong(const std::string& text) {
  VariableUse variables;
  return !parse_ports(text, variables).ok();
}
bool addresses_are_wrong(const std::string& text) {
  VariableUse variables;
  return !parse_addresses(text, variables).ok();
}

TEST(RuleAddresses, ListsAreUnionsWithoutTheirNegatedMembers) {
  const AddressSet set = addresses("[10.0.0.0/8, 192.168.1.5 ,!10.1.0.0/16,!10.2.3.4]");
  EXPECT_TRUE(set.contains(v4(10, 0, 0, 1)));
  EXPECT_TRUE(set.contains(v4(192, 168, 1, 5)));
  EXPECT_FALSE(set.contains(v4(192, 168, 1, 6)));
  EXPECT_FALSE(set.contains(v4(10, 1, 200, 1)));
  EXPECT_FALSE(set.contains(v4(10, 2, 3, 4)));
  EXPECT_TRUE(set.contains(v4(10, 2, 3, 5)));
  EXPECT_FALSE(set.contains(U128{0x20010db800000000, 1}));
}

TEST(RuleAddresses, NegationAloneIsEverythingElseInBothFamilies) {
  for (const char* text : {"!10.0.0.0/8", "[!10.0.0.0/8]", "![10.0.0.0/8]", "[![10.0.0.0/8]]"}) {
    const AddressSet set = addresses(text);
    EXPECT_FALSE(set.contains(v4(10, 0, 0, 0))) << text;
    EXPECT_FALSE(set.contains(v4(10, 255, 255, 255))) << text;
    EXPECT_TRUE(set.contains(v4(11, 0, 0, 0))) << text;
    EXPECT_TRUE(set.contains(v4(0, 0, 0, 0))) << text;
    EXPECT_TRUE(set.contains(U128{1, 1})) << text;
  }
}

TEST(RuleAddresses, NestedNegationIsTakenInsideOut) {
  const AddressSet set = addresses("[10.0.0.0/8,![10.1.0.0/16,!10.1.1.0/24]]");
  EXPECT_TRUE(set.contains(v4(10, 2, 0, 0)));
  EXPECT_FALSE(set.contains(v4(10, 1, 2, 0)));
  EXPECT_TRUE(set.contains(v4(10, 1, 1, 9)));
}

TEST(RuleAddresses, KnowsMasksRangesAndIpv6) {
  EXPECT_TRUE(addresses("10.1.2.3/255.255.0.0").contains(v4(10, 1, 9, 9)));
  EXPECT_FALSE(addresses("10.1.2.3/255.255.0.0").contains(v4(10, 2, 0, 0)));
  EXPECT_TRUE(addresses("10.0.0.1-10.0.0.9").contains(v4(10, 0, 0, 9)));
  EXPECT_FALSE(addresses("10.0.0.1 - 10.0.0.9").contains(v4(10, 0, 0, 10)));
  EXPECT_TRUE(addresses("0.0.0.0/0").contains(v4(255, 255, 255, 255)));
  const AddressSet v6 = addresses("2001:db8::/33");
  EXPECT_TRUE(v6.contains(U128{0x20010db87fffffff, ~0ull}));
  EXPECT_FALSE(v6.contains(U128{0x20010db880000000, 0}));
  EXPECT_TRUE(addresses("fe80::1/127").contains(U128{0xfe80000000000000, 0}));
  EXPECT_TRUE(addresses("::/0").contains(U128{~0ull, ~0ull}));
  EXPECT_TRUE(addresses("!::ffff:ffff:ffff:ffff").contains(U128{1, 0}));
  EXPECT_FALSE(addresses("!::ffff:ffff:ffff:ffff").contains(U128{0, ~0ull}));
}

TEST(RuleAddresses, VariablesAreAnyEvenNegated) {
  VariableUse variables;
  for (const char* text : {"$HOME_NET", "!$HOME_NET", "[$HOME_NET,$DNS]", "[!$HOME_NET]",
                           "![$HOME_NET,10.0.0.1]", "[10.0.0.1,$HOME_NET]"}) {
    const auto set = parse_addresses(text, variables);
    ASSERT_TRUE(set.ok()) << text;
    EXPECT_TRUE(set->is_all()) << text;
  }
  EXPECT_EQ(variables.taken_as_any, (std::set<std::string>{"$HOME_NET", "$DNS"}));
  EXPECT_FALSE(addresses("[10.0.0.1,!$X]").contains(v4(10, 0, 0, 2)));
  EXPECT_FALSE(addresses("[$X,!10.0.0.1]").contains(v4(10, 0, 0, 1)));
}

TEST(RuleAddresses, RefusesWhatIsNoAddress) {
  for (const char* text : {"",
                           "!",
                           "!any",
                           "!!10.0.0.1",
                           "[]",
                           "[10.0.0.1",
                           "10.0.0.1]",
                           "10.0.0",
                           "10.0.0.1/33",
                           "10.0.0.1/",
                           "10.0.0.1/255.0.255.0",
                           "::1/129",
                           "host",
                           "[10.0.0.1,]",
                           "[,10.0.0.1]",
                           "10.0.0.9-10.0.0.1",
                           "10.0.0.1-::1",
                           "[10.0.0.1,!10.0.0.1]",
                           "[10.0.0.1],[10.0.0.2]",
                           "10.0.0.1/-1"}) {
    EXPECT_TRUE(addresses_are_wrong(text)) << text;
  }
  EXPECT_TRUE(addresses_are_wrong(std::string(100, '[') + "any" + std::string(100, ']')));
}

TEST(RulePorts, KnowsRangesListsAndNegation) {
  EXPECT_TRUE(ports("1024:").contains(65535));
  EXPECT_FALSE(ports("1024:").contains(1023));
  EXPECT_TRUE(ports(":80").contains(0));
  EXPECT_FALSE(ports(":80").contains(81));
  EXPECT_TRUE(ports("80:90").contains(90));
  const PortSet set = ports("[80, 8000:8100,!8080]");
  EXPECT_TRUE(set.contains(80));
  EXPECT_TRUE(set.contains(8081));
  EXPECT_FALSE(set.contains(8080));
  EXPECT_FALSE(ports("![80,443]").contains(443));
  EXPECT_TRUE(ports("![80,443]").contains(444));
  EXPECT_TRUE(ports("any").is_any());
  EXPECT_TRUE(ports("!$HTTP_PORTS").is_any());
  EXPECT_FALSE(ports("0:").is_any());
  EXPECT_FALSE(ports("[any,!80]").is_any());
  EXPECT_TRUE(ports("0:").contains(0));
  EXPECT_TRUE(ports("0:").contains(65535));
}

TEST(RulePorts, RefusesWhatIsNoPort) {
  for (const char* text : {"", ":", "!", "!any", "65536", "90:80", "-1", "80-90", "http", "[80",
                           "80,90", "!0:65535", "1:2:3", "[80,!80]"}) {
    EXPECT_TRUE(ports_are_wrong(text)) << text;
  }
}

TEST(RuleVariables, AreExpandedAndNegated) {
  const auto vars = Variables::parse(
      "%YAML 1.1\n---\nvars:\n  address-groups:\n    HOME_NET: \"[10.0.0.0/8, 192.168.0.0/16]\"\n"
      "    EXTERNAL_NET: '!$HOME_NET'  # the rest\n  port-groups:\n    HTTP_PORTS: \"[80,8080]\"\n"
      "ipvar DNS [10.0.0.53]\nportvar HIGH 1024:\nA = $B\nB = $A\n",
      "v");
  ASSERT_TRUE(vars.ok()) << vars.error().line();
  VariableUse use;
  use.variables = &*vars;
  const auto external = parse_addresses("$EXTERNAL_NET", use);
  ASSERT_TRUE(external.ok());
  EXPECT_FALSE(external->contains(v4(10, 1, 1, 1)));
  EXPECT_TRUE(external->contains(v4(8, 8, 8, 8)));
  const auto home = parse_addresses("!$EXTERNAL_NET", use);
  ASSERT_TRUE(home.ok());
  EXPECT_TRUE(home->contains(v4(192, 168, 1, 1)));
  EXPECT_FALSE(home->contains(v4(8, 8, 8, 8)));
  EXPECT_TRUE(parse_addresses("[$HOME_NET,!$DNS]", use)->contains(v4(10, 0, 0, 1)));
  EXPECT_FALSE(parse_addresses("[$HOME_NET,!$DNS]", use)->contains(v4(10, 0, 0, 53)));
  EXPECT_TRUE(parse_ports("[$HTTP_PORTS,$HIGH]", use)->contains(8080));
  EXPECT_FALSE(parse_ports("!$HTTP_PORTS", use)->contains(80));
  EXPECT_TRUE(parse_ports("[$HIGH,$HIGH]", use).ok());  // twice, but not inside itself
  EXPECT_TRUE(use.undefined.empty());
  EXPECT_FALSE(parse_ports("$NONE", use).ok());
  EXPECT_EQ(use.undefined, std::set<std::string>{"$NONE"});
  const auto circle = parse_ports("[80,!$A]", use);
  ASSERT_FALSE(circle.ok());
  EXPECT_EQ(circle.error().what, "$A is defined by itself in v: $A -> $B -> $A");
  EXPECT_TRUE(use.undefined.contains("$A"));
  EXPECT_TRUE(use.taken_as_any.empty());
}

TEST(RuleVariables, WrongFilesNameTheLine) {
  for (const char* text :
       {"", "# nothing", "A: 1\nB", "A: 1\nA: 2", "A: 1\nvar B", "A: 1\nb c: 1", "A: 1\n: 2"}) {
    const auto vars = Variables::parse(text, "v");
    ASSERT_FALSE(vars.ok()) << text;
    EXPECT_NE(vars.error().what.find("v:"), std::string::npos) << vars.error().what;
  }
  EXPECT_FALSE(Variables::load("/nonexistent").ok());
  EXPECT_FALSE(Variables::load(testing::TempDir()).ok());
}

}  // namespace
}  // namespace hb::nids
