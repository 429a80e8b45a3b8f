#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "nfs/nids/rule_parser.h"

namespace hb::nids {
namespace {

using Kind = ParsedRule::Kind;
using namespace std::string_literals;

/// A rule around the given options.
ParsedRule with_options(const std::string& options) {
  return parse_rule("alert tcp any any -> any any (" + options + " sid:1;)");
}
/// A rule with the given header; it is accepted unless the header is wrong.
ParsedRule with_header(const std::string& header) { return parse_rule(header + " (sid:1;)"); }

const Content& content(const ParsedRule& parsed, std::size_t i) {
  return std::get<Content>(parsed.rule.buffers.at(0).steps.at(i));
}

TEST(RuleParser, ReadsAWholeRule) {
  const ParsedRule parsed = parse_rule(
      "alert udp 10.0.0.0/8 1024: <> [2001:db8::/32,!2001:db8::1] 53 (msg:\"a \\\"b\\\"\\; c\"; "
      "content:\"x|00 ff|y\"; nocase; content:\"Z\"; reference:url,a.b/(c); classtype:misc; "
      "metadata:k v, k2 v2; priority:2; target:src_ip; gid:3; sid:77; rev:5;)");
  ASSERT_EQ(parsed.kind, Kind::kRule) << parsed.why;
  const Rule& rule = parsed.rule;
  EXPECT_EQ(rule.gid, 3u);
  EXPECT_EQ(rule.sid, 77u);
  EXPECT_EQ(rule.rev, 5u);
  EXPECT_EQ(rule.msg, "a \"b\"; c");
  EXPECT_EQ(rule.header.protocol, RuleProtocol::kUdp);
  EXPECT_TRUE(rule.header.bidirectional);
  ASSERT_EQ(rule.buffers.size(), 1u);
  EXPECT_EQ(content(parsed, 0).bytes, "x\0\xffy"s);
  EXPECT_TRUE(content(parsed, 0).nocase);
  EXPECT_FALSE(content(parsed, 1).nocase);
  EXPECT_EQ(fast_content_place(rule)->step, 0u);
  EXPECT_EQ(rule.priority, 2u);
  EXPECT_EQ(rule.classtype, "misc");
}

TEST(RuleParser, ResolvesContentEscapesAndHex) {
  const std::pair<const char*, std::string> cases[] = {
      {"abc", "abc"},         {"a\\\"b\\\\c\\;d\\:e", "a\"b\\c;d:e"},
      {"|41|", "A"},          {"|4142 43|", "ABC"},
      {"|4 1|", "A"},         {"a|20|b|0d0A|", "a b\r\n"},
      {"|22|x|5c|", "\"x\\"}, {"semi;colon", "semi;colon"},
      {"x||y", "xy"},
  };
  for (const auto& [text, bytes] : cases) {
    const ParsedRule parsed = with_options("content:\""s + text + "\";");
    ASSERT_EQ(parsed.kind, Kind::kRule) << text << ": " << parsed.why;
    EXPECT_EQ(content(parsed, 0).bytes, bytes) << text;
  }
}

TEST(RuleParser, WrongContentsAreMalformed) {
  for (const char* value :
       {"\"\"", "\"||\"", "\"|4\"", "\"|4|\"", "\"|4g|\"", "\"a|41\"", "abc", "\"a\\b\"", "\"abc",
        "abc\"", "!abc", "", "\"a\"b", "\"a\",", "\"\\\""}) {
    EXPECT_EQ(with_options("content:"s + value + ";").kind, Kind::kMalformed) << value;
  }
}

TEST(RuleParser, NocaseFoldsAsciiOfThePrecedingContentOnly) {
  const ParsedRule parsed = with_options("content:\"AbC|C4 5A|\"; nocase; content:\"DeF\";");
  ASSERT_EQ(parsed.kind, Kind::kRule);
  EXPECT_EQ(content(parsed, 0).bytes, "abc\xc4z");
  EXPECT_EQ(content(parsed, 1).bytes, "DeF");
  EXPECT_EQ(content(with_options("content:\"A\",nocase;"), 0).bytes, "a");
  EXPECT_EQ(with_options("nocase; content:\"a\";").kind, Kind::kMalformed);
  EXPECT_EQ(with_options("content:\"a\"; nocase:1;").kind, Kind::kMalformed);
}

TEST(RuleParser, NamesEverythingThatIsNotSupported) {
  const ParsedRule parsed = parse_rule(
      "log http $A any -> any any (msg:\"m\"; flowbits:set,x; http.uri; content:!\"x\"; "
      "content:\"y\",depth 3,nocase,width 16; pcre:\"/a\\;\\\"b/U\"; byte_test:2,>,len,0; "
      "flow:only_stream; sid:1;)");
  EXPECT_EQ(parsed.kind, Kind::kUnsupported) << parsed.why;
  const std::set<std::string> expected = {
      "action log", "protocol http",           "flowbits",        "http.uri", "content,width",
      "pcre:/U",    "byte_test of a variable", "flow:only_stream"};
  EXPECT_EQ(parsed.unsupported, expected);
  EXPECT_EQ(parse_rule("alert http (sid:1;)").kind, Kind::kUnsupported);
  // The content belongs to the buffer: it must not be taken for one of the payload.
  EXPECT_EQ(with_options("http.uri; content:\"a\";").kind, Kind::kUnsupported);
  EXPECT_EQ(with_options("content:\"a\"; http_uri;").kind, Kind::kUnsupported);
}

TEST(RuleParser, RulesThatAreNoneAreMalformed) {
  for (const char* text : {"",
                           "alert",
                           "alert tcp any any -> any any",
                           "alert tcp any any -> any any (sid:1",
                           "alert tcp any any -> any any sid:1;)",
                           "alert tcp any any -> any (sid:1;)",
                           "alert tcp any any any any any (sid:1;)",
                           "alert tcp any any <- any any (sid:1;)",
                           "foo tcp any any -> any any (sid:1;)",
                           "alert tcp any any -> any any ()",
                           "alert tcp any any -> any any (msg:\"x\";)",
                           "alert tcp any any -> any any (sid:0;)",
                           "alert tcp any any -> any any (sid:x;)",
                           "alert tcp any any -> any any (sid:-1;)",
                           "alert tcp any any -> any any (sid:4294967296;)",
                           "alert tcp any any -> any any (sid:1; sid:2;)",
                           "alert tcp any any -> any any (sid:1)",
                           "alert tcp any any -> any any (sid:1; rev:;)",
                           "alert tcp any any -> any any (msg:x; sid:1;)",
                           "alert tcp any any -> any any (msg:\"x; sid:1;)",
                           "alert tcp any any -> any any (sid:1;) x",
                           "alert tcp any any -> any any (b?d:1; sid:1;)",
                           "alert tcp any 70000 -> any any (sid:1;)",
                           "alert tcp 1.2.3.400 any -> any any (sid:1;)",
                           ")(",
                           "()",
                           "alert ip ] [ -> any any (sid:1;)"}) {
    EXPECT_EQ(parse_rule(text).kind, Kind::kMalformed) << text;
    EXPECT_FALSE(parse_rule(text).why.empty()) << text;
  }
}

TEST(RuleParser, AnyCutOrMixedUpRuleIsHandled) {
  const std::string rule =
      "alert tcp [10.0.0.0/8,![10.1.0.0/16,$X]] ![1:5,7] <> any :80 (msg:\"a\\\"\"; "
      "content:\"b|00 01|\\;\",nocase; nocase; sid:5; rev:1;)";
  ASSERT_EQ(parse_rule(rule).kind, Kind::kRule) << parse_rule(rule).why;
  for (std::size_t n = 0; n < rule.size(); ++n) {
    EXPECT_EQ(parse_rule(rule.substr(0, n)).kind, Kind::kMalformed) << n;
  }
  std::mt19937 rng(5);
  const std::string alphabet = "\"\\;:|()[]!,$ \t-<>/.0123456789af\xff"s + '\0';
  for (int trial = 0; trial < 20'000; ++trial) {
    std::string mixed = rule;
    for (auto n = 1 + rng() % 5; n > 0; --n)
      mixed[rng() % mixed.size()] = alphabet[rng() % alphabet.size()];
    const ParsedRule parsed = parse_rule(mixed);
    ASSERT_EQ(parsed.kind == Kind::kMalformed, !parsed.why.empty()) << mixed;
  }
}

TEST(RuleHeaders, ListsMayHoldBlanks) {
  EXPECT_EQ(with_header("alert tcp [10.0.0.1, 10.0.0.2] [80, 81] -> ! 10.0.0.3 any").kind,
            Kind::kMalformed);
  EXPECT_EQ(with_header("alert  tcp\t[10.0.0.1, 10.0.0.2] [80, 81] -> any any").kind, Kind::kRule);
  EXPECT_EQ(with_header("ALERT TCP any any -> any any").kind, Kind::kRule);
}

TEST(RuleOptions, ContentPlacesThatContradictThemselvesAreMalformed) {
  for (const char* options :
       {"content:\"abc\"; depth:2;", "content:\"abc\"; within:2;", "content:\"a\"; offset:-1;",
        "content:\"a\"; offset:4294967295;", "content:\"a\"; depth:0;",
        "content:\"a\"; distance:4294967296;", "content:\"a\"; distance:1; offset:2;",
        "content:\"a\"; startswith; depth:5;", "content:\"a\"; startswith; within:5;",
        "content:\"a\"; offset:1; offset:2;", "content:\"a\"; startswith:1;", "offset:1;",
        "content:\"abc\"; fast_pattern:2,2;", "content:\"abc\"; fast_pattern:x;",
        "content:!\"abc\"; fast_pattern:only;", "content:\"a\"; fast_pattern:only; distance:0;",
        "content:\"a\"; fast_pattern; content:\"b\"; fast_pattern;",
        "content:\"a\"; fast_pattern:only; content:\"b\"; distance:0;"}) {
    EXPECT_EQ(with_options(options).kind, Kind::kMalformed) << options;
  }
}

TEST(RuleOptions, WrongValuesAreMalformed) {
  for (const char* options : {"dsize:x;",
                              "dsize:5<>5;",
                              "dsize:<0;",
                              "dsize:65536;",
                              "dsize:1; dsize:2;",
                              "ttl:256;",
                              "itype:-1;",
                              "flags:X;",
                              "flags:;",
                              "flags:S,;",
                              "flow:sideways;",
                              "flow:to_server,to_client;",
                              "ip_proto:nothing;",
                              "threshold:type limit;",
                              "threshold:type never,track by_src,count 1,seconds 1;",
                              "threshold:type limit,track by_src,count 0,seconds 1;",
                              "detection_filter:track by_src,count 1;",
                              "byte_test:0,=,1,0;",
                              "byte_test:9,=,1,0;",
                              "byte_test:1,~,1,0;",
                              "byte_test:1,=,1;",
                              "byte_test:24,=,1,0,string;",
                              "byte_test:1,=,1,0,hex;",
                              "byte_test:1,=,1,0,sideways;",
                              "byte_jump:4;",
                              "byte_jump:4,99999999999;",
                              "byte_jump:4,0,multiplier 0;",
                              "isdataat:-1;",
                              "isdataat:99999999999;",
                              "isdataat:1,sideways;",
                              "pcre:\"abc\";",
                              "pcre:\"/(/\";",
                              "pcre:\"/a/q\";",
                              "pcre:/a/;",
                              "priority:0;"}) {
    EXPECT_EQ(with_options(options).kind, Kind::kMalformed) << options;
    EXPECT_FALSE(with_options(options).why.empty()) << options;
  }
}

TEST(RuleOptions, ActionsAndVersionsOfTheHeader) {
  EXPECT_EQ(with_header("drop tcp any any -> any any").rule.action, Action::kDrop);
  EXPECT_EQ(with_header("pass ip any any -> any any").rule.action, Action::kPass);
  EXPECT_EQ(with_header("reject udp any any -> any any").rule.action, Action::kReject);
  EXPECT_EQ(with_header("alert ip6 any any -> any any").rule.tests.ip_version, 6);
  EXPECT_EQ(with_header("alert tcp-pkt any any -> any any").rule.header.protocol,
            RuleProtocol::kTcp);
  for (const char* protocol : {"http", "tls", "dns", "smb", "tcp-stream", "sctp"}) {
    EXPECT_EQ(with_header("alert "s + protocol + " any any -> any any").kind, Kind::kUnsupported);
  }
}

TEST(RuleOptions, TheFastPatternIsTheNamedOrTheLongestThatIsNotNegated) {
  const auto fast = [](const std::string& options) {
    const ParsedRule parsed = with_options(options);
    const auto place = fast_content_place(parsed.rule);
    return place ? std::string(
                       fast_bytes(std::get<Content>(parsed.rule.buffers[0].steps[place->step])))
                 : "none"s;
  };
  EXPECT_EQ(fast("content:\"ab\"; content:\"abcd\"; content:\"xyz\";"), "abcd");
  EXPECT_EQ(fast("content:\"ab\"; fast_pattern; content:\"abcd\";"), "ab");
  EXPECT_EQ(fast("content:\"abcdef\"; fast_pattern:2,3; content:\"abcd\";"), "cde");
  EXPECT_EQ(fast("content:!\"abcdef\"; fast_pattern; content:\"ab\";"), "ab");
  EXPECT_EQ(fast("content:!\"abcdef\";"), "none");
  EXPECT_EQ(fast("pcre:\"/a/\";"), "none");
}

}  // namespace
}  // namespace hb::nids
