// Files of rules: what becomes of lines, duplicates, skipped and broken rules.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "nfs/nids/rule_set.h"
#include "tests/unit/capture_reader.h"

namespace hb::nids {
namespace {

using namespace std::string_literals;

/// A file that ends with the test.
class RuleFiles : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    const auto path = std::filesystem::path(testing::TempDir()) / ("nids_rules_" + name);
    std::ofstream(path, std::ios::binary) << text;
    paths_.push_back(path);
    return path.string();
  }
  void TearDown() override {
    for (const auto& path : paths_) std::filesystem::remove(path);
  }
  std::vector<std::filesystem::path> paths_;
};

TEST_F(RuleFiles, CommentsBlankLinesContinuationsAndCrLf) {
  const std::string path =
      write("a",
            "\xef\xbb\xbf# comment\r\n\r\n  # alert tcp any any -> any any (sid:9;)\n"
            "alert tcp any any \\\r\n  -> any any (content:\"a\\\nb\"; sid:1;)\r\n"
            "\t\nalert udp any any -> any any (sid:2;)");
  const auto rules = load_rule_files(std::vector{path});
  ASSERT_TRUE(rules.ok()) << rules.error().line();
  ASSERT_EQ(rules->rules.size(), 2u);
  EXPECT_EQ(std::get<Content>(rules->rules[0].buffers.at(0).steps.at(0)).bytes, "ab");
  EXPECT_EQ(rules->report.n_rules, 2u);
}

TEST_F(RuleFiles, TheHigherRevisionOfADuplicateWins) {
  const std::string first =
      write("a",
            "alert tcp any any -> any any (msg:\"old\"; sid:1; rev:1;)\n"
            "alert tcp any any -> any any (msg:\"gid\"; gid:2; sid:1; rev:9;)\n");
  const std::string second = write("b",
                                   "alert tcp any any -> any any (msg:\"new\"; sid:1; rev:3;)\n"
                                   "alert tcp any any -> any any (msg:\"2\"; sid:1; rev:2;)\n"
                                   "alert tcp any any -> any any (msg:\"same\"; sid:1; rev:3;)\n");
  const auto rules = load_rule_files(std::vector{first, second});
  ASSERT_TRUE(rules.ok());
  ASSERT_EQ(rules->rules.size(), 2u);
  EXPECT_EQ(rules->rules[0].msg, "new");
  EXPECT_EQ(rules->report.n_duplicates, 3u);
  EXPECT_EQ(
      rules->report.duplicates,
      (std::vector{first + ":1: sid 1 rev 1: " + second + ":1 has the same sid, and rev 3",
                   second + ":2: sid 1 rev 2: " + second + ":1 has the same sid, and rev 3",
                   second + ":3: sid 1 rev 3: " + second + ":1 has the same sid, and rev 3"}));
}

TEST_F(RuleFiles, SkippedAndMalformedRulesAreCountedAndNamed) {
  const std::string path = write("a",
                                 "alert tcp any any -> any any (http.uri; urilen:3; sid:1;)\n"
                                 "log tcp any any -> any any (http.uri; sid:2;)\n"
                                 "\n"
                                 "alert tcp any any -> any any (msg:\"no number\";)\n"
                                 "alert tcp $HOME_NET any -> any any (sid:3;)\n");
  const auto rules = load_rule_files(std::vector{path});
  ASSERT_TRUE(rules.ok());
  ASSERT_EQ(rules->report.malformed.size(), 1u);
  EXPECT_EQ(rules->report.malformed[0], path + ":4: malformed rule: sid is missing");
  EXPECT_EQ(rules->report.summary(rules->rules.size()),
            "1 of 4 rules in use; 2 skipped, not supported: action log 1, http.uri 2, urilen 1; "
            "1 malformed; taken as any: $HOME_NET");
  EXPECT_EQ(rules->report.skipped, (std::vector{path + ":1: sid 1: http.uri, urilen",
                                                path + ":2: sid 2: action log, http.uri"}));
}

TEST_F(RuleFiles, AVariableThatIsNotDefinedIsAnErrorWithItsLine) {
  const std::string path = write("a",
                                 "alert tcp $HOME_NET any -> any $HTTP_PORTS (sid:1;)\n"
                                 "alert tcp any any -> $OTHER any (sid:2;)\n");
  const auto vars = Variables::parse("HOME_NET: \"[10.0.0.0/8]\"\nHTTP_PORTS: 80\n", "v.yaml");
  ASSERT_TRUE(vars.ok());
  const auto rules = load_rule_files(std::vector{path}, *vars);
  ASSERT_FALSE(rules.ok());
  EXPECT_EQ(rules.error().what, path + ":2: $OTHER is not defined in v.yaml");
}

TEST_F(RuleFiles, FilesWithoutRulesAreErrorsThatNameTheLine) {
  const std::string empty = write("empty", "");
  const std::string text = write("text", "# a\n\nroot:x:0:0::/root:/bin/sh\n");
  const std::string comments = write("comments", "# alert tcp any any -> any any (sid:1;)\n");
  EXPECT_NE(load_rule_files(std::vector{empty}).error().what.find(empty + ":1:"),
            std::string::npos);
  EXPECT_NE(load_rule_files(std::vector{text}).error().what.find(text + ":3:"), std::string::npos);
  EXPECT_TRUE(load_rule_files(std::vector{comments}).ok());
  EXPECT_FALSE(load_rule_files(std::vector{"/nonexistent/x.rules"s}).ok());
  EXPECT_EQ(load_rule_files(std::vector{testing::TempDir()}).error().what,
            "rule file " + testing::TempDir() + ": Is a directory");
  const auto capture = (test::data_dir() / "pcap" / "zeek-web.pcap").string();
  EXPECT_FALSE(load_rule_files(std::vector{capture}).ok());
}

}  // namespace
}  // namespace hb::nids
