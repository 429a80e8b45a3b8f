// Steps of a rule on a payload: Suricata's meaning of each, and costs that hostile bytes can't
// raise.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "nfs/nids/byte_value.h"
#include "nfs/nids/payload_match.h"
#include "nfs/nids/rule_parser.h"

namespace hb::nids {
namespace {

using namespace std::string_literals;

std::vector<PayloadStep> steps_of(const std::string& options) {
  const ParsedRule parsed = parse_rule("alert tcp any any -> any any (" + options + " sid:1;)");
  EXPECT_EQ(parsed.kind, ParsedRule::Kind::kRule) << options << ": " << parsed.why;
  return parsed.rule.buffers.empty() ? std::vector<PayloadStep>{} : parsed.rule.buffers[0].steps;
}

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

class Steps : public testing::Test {
 protected:
  bool match(const std::string& options, const std::string& payload) {
    return steps_match(steps_of(options), bytes_of(payload), scratch_);
  }
  PayloadScratch scratch_ = *PayloadScratch::make();
};

struct Case {
  const char* options;
  std::string payload;
  bool matches;
};

TEST_F(Steps, MeanWhatSuricatasGuideSays) {
  const Case cases[] = {
      {"content:\"abc\"; offset:3;", "abcdef", false},
      {"content:\"def\"; offset:3;", "abcdef", true},
      {"content:\"abc\"; depth:3;", "abcdef", true},
      {"content:\"bcd\"; depth:3;", "abcdef", false},
      {"content:\"bcd\"; offset:1; depth:3;", "abcdef", true},  // depth counts from offset
      {"content:\"cde\"; offset:1; depth:3;", "abcdef", false},
      {"content:\"abc\"; startswith;", "abcdef", true},
      {"content:\"bcd\"; startswith;", "abcdef", false},
      {"content:\"def\"; endswith;", "defdef", true},
      {"content:\"de\"; endswith;", "abcdef", false},
      {"content:!\"xyz\";", "abcdef", true},
      {"content:!\"CDE\"; nocase;", "abcdef", false},
      {"content:!\"abc\"; offset:1;", "abcdef", true},
      {"content:\"ab\"; content:\"cd\"; distance:0;", "abcd", true},
      {"content:\"ab\"; content:\"cd\"; distance:1;", "abcd", false},
      {"content:\"ab\"; content:\"cd\"; distance:0; within:2;", "ab cd", false},
      {"content:\"ab\"; content:\"cd\"; distance:0; within:3;", "ab cd", true},
      {"content:\"ab\"; content:\"cd\"; within:3;", "ab cd", true},
      {"content:\"cd\"; content:\"ab\"; distance:-4;", "abcd", true},
      {"content:\"cd\"; content:\"ab\"; distance:-4; within:2;", "abcd", true},
      {"content:\"cd\"; content:\"ab\"; distance:-3;", "abcd", false},
      {"content:\"cd\"; content:\"ab\"; distance:-999; within:2;", "abcd", false},
      // The first occurrence leads nowhere, a later one does.
      {"content:\"a\"; content:\"b\"; distance:1; within:1;", "axxaxb", true},
      {"content:\"a\"; content:!\"b\"; within:1; content:\"c\"; distance:0;", "abac", true},
      {"content:\"a\"; content:!\"b\"; within:1;", "abab", false},
      {"content:\"ab\"; content:!\"cd\"; distance:0;", "cdab", true},
      // What is not relative begins again.
      {"content:\"cd\"; content:\"ab\"; content:\"cd\"; distance:0; within:2;", "abcd", true},
      {"content:\"ef\"; fast_pattern:only; content:\"ab\"; content:\"cd\"; distance:0;", "abcdef",
       true},
      {"isdataat:5;", "abcdef", true},
      {"isdataat:6;", "abcdef", false},
      {"isdataat:!6;", "abcdef", true},
      {"content:\"cd\"; isdataat:2,relative;", "abcdef", true},
      {"content:\"cd\"; isdataat:3,relative;", "abcdef", false},
      {"content:\"ef\"; isdataat:!1,relative;", "abcdef", true},
      {"content:\"a\"; isdataat:!1,relative;", "aba", true},
      {"byte_test:1,=,97,0;", "abc", true},
      {"byte_test:1,!,97,0;", "abc", false},
      {"byte_test:2,>,0x6161,0;", "abc", true},
      {"byte_test:2,=,0x6261,0,little;", "abc", true},
      {"byte_test:2,<=,0x6162,0;", "abc", true},
      {"byte_test:1,&,0x60,0;", "abc", true},
      {"byte_test:1,!&,0x80,0;", "abc", true},
      {"byte_test:1,^,97,0;", "abc", false},
      {"byte_test:1,=,6,0,bitmask 0xf0;", "abc", true},
      {"byte_test:4,=,0,0;", "abc", false},  // does not lie in the payload
      {"byte_test:4,!=,0,0;", "abc", false},
      {"byte_test:1,=,98,-2,relative;", "abc", false},
      {"content:\"c\"; byte_test:1,=,98,-2,relative;", "abc", true},
      {"content:\"a\"; byte_test:1,=,99,0,relative;", "abac", true},  // the second a
      {"byte_test:3,=,123,0,string,dec;", "123", true},
      {"byte_test:3,=,0x123,0,string,hex;", "123", true},
      {"byte_test:3,=,83,0,string,oct;", "123", true},
      {"byte_test:5,=,12,0,string;", "12x45", true},
      {"byte_test:3,=,0,0,string;", "xyz", false},
      {"byte_jump:1,0; content:\"x\"; distance:0; within:1;",
       "\x03"s
       "abcx",
       true},
      {"byte_jump:1,0; content:\"x\"; distance:0; within:1;",
       "\x02"s
       "abcx",
       false},
      {"byte_jump:1,0,relative,multiplier 2; isdataat:!1,relative;",
       "\x02"s
       "abcd",
       true},
      {"byte_jump:1,0,align; isdataat:!1,relative;",
       "\x03"s
       "abcd",
       true},
      {"byte_jump:1,0,from_beginning; content:\"c\"; within:1; distance:0;",
       "\x03"s
       "abcd",
       true},
      {"byte_jump:1,0,from_end,post_offset -3; content:\"b\"; within:1;",
       "\x00"s
       "abcd",
       true},
      {"byte_jump:1,0;",
       "\x09"s
       "abcd",
       false},
      {"byte_jump:4,0;",
       "\xff\xff\xff\xff"s
       "abcd",
       false},
      {"byte_jump:8,0,multiplier 65535;", "\xff\xff\xff\xff\xff\xff\xff\xff", false},
      {"byte_jump:1,0,post_offset -5;",
       "\x01"s
       "abcd",
       false},
      {"byte_jump:2,0,string,dec; content:\"x\"; within:1;", "03abcx", true},
      {"pcre:\"/b.d/\";", "abcd", true},
      {"pcre:\"/B.D/\";", "abcd", false},
      {"pcre:\"/B.D/i\";", "abcd", true},
      {"pcre:!\"/b.d/\";", "abcd", false},
      {"pcre:\"/^cd/\"; ", "abcd", false},
      {"content:\"ab\"; pcre:\"/^cd/R\";", "abcd", true},
      {"content:\"ab\"; pcre:\"/^cd/R\";", "abxabcd", true},
      {"content:\"ab\"; pcre:!\"/cd/R\";", "cdab", true},
      {"pcre:\"/a+/\"; content:\"b\"; within:1;", "aaxab", true},
      {"pcre:\"/c.d/\";", "c\nd", false},
      {"pcre:\"/c.d/s\";", "c\nd", true},
      {"pcre:\"/^b$/m\";", "a\nb\nc", true},
      {"pcre:\"/a\\\"\\;b\\/c/\";", "a\";b/c", true},
      {"pcre:\"/^$/\";", "", true},
  };
  for (const Case& c : cases) EXPECT_EQ(match(c.options, c.payload), c.matches) << c.options;
}

// The plainest backtracking over contents, as Suricata's: the set of places must say the same.
bool backtrack(const std::vector<PayloadStep>& steps, std::size_t at, std::size_t place,
               const std::string& payload) {
  if (at == steps.size()) return true;
  const auto& c = std::get<Content>(steps[at]);
  const auto size = static_cast<long>(payload.size());
  long low = static_cast<long>(c.offset);
  long high = c.depth != 0 ? low + static_cast<long>(c.depth) : size;
  if (c.is_relative()) {
    low = static_cast<long>(place) + c.distance;
    high = c.within != 0 ? low + static_cast<long>(c.within) : size;
  }
  high = std::min(high, size);
  bool found = false;
  for (long p = std::max(low, 0L); p + static_cast<long>(c.bytes.size()) <= high; ++p) {
    if (payload.compare(static_cast<std::size_t>(p), c.bytes.size(), c.bytes) != 0) continue;
    if (c.ends_with && p + static_cast<long>(c.bytes.size()) != size) continue;
    found = true;
    if (!c.negated &&
        backtrack(steps, at + 1, static_cast<std::size_t>(p) + c.bytes.size(), payload))
      return true;
  }
  return c.negated && !found && backtrack(steps, at + 1, place, payload);
}

TEST_F(Steps, SetsOfPlacesSayWhatBacktrackingSays) {
  std::mt19937 rng(62);
  std::size_t n_matches = 0;
  for (int trial = 0; trial < 60'000; ++trial) {
    std::vector<PayloadStep> steps(1 + rng() % 5);
    for (PayloadStep& step : steps) {
      Content c;
      for (auto n = 1 + rng() % 2; n > 0; --n) c.bytes.push_back("ab"[rng() % 2]);
      c.negated = rng() % 5 == 0;
      c.ends_with = rng() % 9 == 0;
      if (rng() % 3 != 0) {
        c.has_distance = true;
        c.distance = static_cast<std::int32_t>(rng() % 9) - 4;
        if (rng() % 2 == 0) c.within = static_cast<std::uint32_t>(c.bytes.size() + rng() % 4);
      } else if (rng() % 2 == 0) {
        c.has_offset = true;
        c.offset = rng() % 5;
        if (rng() % 2 == 0) c.depth = static_cast<std::uint32_t>(c.bytes.size() + rng() % 4);
      }
      step = c;
    }
    std::string payload(rng() % 16, '\0');
    for (char& c : payload) c = "ab"[rng() % 2];
    const bool expected = backtrack(steps, 0, 0, payload);
    n_matches += expected;
    ASSERT_EQ(steps_match(steps, bytes_of(payload), scratch_), expected)
        << "trial " << trial << " payload " << payload;
  }
  EXPECT_GT(n_matches, 10'000u);
}

TEST_F(Steps, ChainsOfContentsAreOnePassEachHoweverOftenTheyFit) {
  // Backtracking through this would take 1400^12 tries.
  std::string options = "content:\"a\";";
  for (int i = 0; i < 12; ++i) options += " content:\"a\"; distance:0;";
  options += " content:\"b\"; distance:0;";
  const std::string payload(1400, 'a');
  const auto steps = steps_of(options);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) ASSERT_FALSE(steps_match(steps, bytes_of(payload), scratch_));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(Steps, ARegularExpressionThatExplodesIsGivenUpAndCounted) {
  const auto steps = steps_of("pcre:\"/^(a+)+$/\";");
  const std::string payload = std::string(1400, 'a') + "b";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(steps_match(steps, bytes_of(payload), scratch_));
  EXPECT_EQ(scratch_.n_given_up(), 1u);
  // Negated, too, "don't know" is no match.
  EXPECT_FALSE(match("pcre:!\"/^(a+)+$/\";", payload));
  EXPECT_FALSE(match("content:\"a\"; pcre:!\"/^(a+)+$/R\";", payload));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(Steps, TheLongestPacketsAndFieldsAtTheirEndsAreHandled) {
  const std::string payload(70'000, 'a');
  EXPECT_TRUE(
      match("content:\"a\"; content:\"a\"; distance:0; pcre:\"/a/R\"; content:!\"b\";", "aaa"));
  EXPECT_TRUE(match("content:\"a\"; content:\"a\"; distance:65000;", payload));
  EXPECT_FALSE(match("content:\"a\"; offset:65535;", payload));  // cut at 65,535 bytes
  EXPECT_FALSE(match("byte_test:8,=,0,65535;", payload));
  EXPECT_FALSE(match("isdataat:65535;", payload));
  EXPECT_FALSE(match("byte_jump:1,-65535,relative;", payload));
}

}  // namespace
}  // namespace hb::nids
