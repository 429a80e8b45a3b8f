// OpenNetVM's command line and JSON files.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "onvm_compat/command_line.h"
#include "onvm_compat/include/onvm_config_common.h"

namespace {

using hb::onvm::CommandLine;
using hb::onvm::parse_command_line;

/// Words as main() gets them.
class Words {
 public:
  explicit Words(const std::string& line) {
    for (std::size_t at = 0; at < line.size();) {
      const std::size_t end = std::min(line.find(' ', at), line.size());
      if (end > at) words_.push_back(line.substr(at, end - at));
      at = end + 1;
    }
    for (std::string& word : words_) argv_.push_back(word.data());
    argv_.push_back(nullptr);
  }
  int argc() const { return static_cast<int>(argv_.size()) - 1; }
  char** argv() { return argv_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> argv_;
};

TEST(OnvmCommandLine, AllOfItsParts) {
  Words words(
      "nf -l 1,3-5 -n 4 --proc-type=secondary --file-prefix x -m 64 --log-level=lib.eal:debug "
      "-- -r 7 -n 3 -t 20 -l 9 -m -s --prefix edge --service web --cores 2-3 -- -d 5 -p 9");
  const auto line = parse_command_line(words.argc(), words.argv());
  ASSERT_TRUE(line) << line.error().line();
  EXPECT_EQ(line->lcores, (std::vector<unsigned>{1, 3, 4, 5}));
  EXPECT_EQ(line->memory_mb, 64u);
  EXPECT_EQ(line->log_levels, std::vector<std::string>{"--log-level=lib.eal:debug"});
  EXPECT_EQ(line->service, 7);
  EXPECT_EQ(line->instance, 3);
  EXPECT_EQ(line->time_to_live, 20);
  EXPECT_EQ(line->pkt_limit, 9);
  EXPECT_TRUE(line->manual_core && line->share_core);
  EXPECT_EQ(line->prefix + line->service_name + line->cores, "edgeweb2-3");
  // What an NF does next: argc -= consumed, argv += consumed, getopt.
  EXPECT_STREQ(words.argv()[line->consumed], "--");
  EXPECT_STREQ(words.argv()[line->consumed + 1], "-d");
  EXPECT_EQ(optind, 1);
}

TEST(OnvmCommandLine, GetoptIsAsIfItHadNotBeenUsed) {
  Words words("nf -- -r 7 -- one -d 5");
  const auto line = parse_command_line(words.argc(), words.argv());
  ASSERT_TRUE(line) << line.error().line();
  EXPECT_EQ(getopt(words.argc() - line->consumed, words.argv() + line->consumed, "d:"), 'd')
      << "words before an option do not hide it";
  EXPECT_STREQ(optarg, "5");
  optind = 1;
}

TEST(OnvmCommandLine, FormsThatOpenNetVmTakes) {
  const auto parsed = [](const char* text) {
    Words words(text);
    const auto line = parse_command_line(words.argc(), words.argv());
    EXPECT_TRUE(line) << text << ": " << (line ? "" : line.error().line());
    return line ? *line : CommandLine{};
  };
  EXPECT_EQ(parsed("nf -- -r 1").service, 1);
  EXPECT_EQ(parsed("nf -l0 -n3 -- -r31 --").service, 31);
  EXPECT_EQ(parsed("nf -c 0x5 -- -r 2 --").lcores, (std::vector<unsigned>{0, 2}));
  EXPECT_EQ(parsed("nf -- -r auto --").service, 0);
  using Cores = std::vector<unsigned>;
  EXPECT_EQ(parsed("nf --lcores (0-3)@1 -- -r 2 --").lcores, (Cores{0, 1, 2, 3}));
  EXPECT_EQ(parsed("nf --lcores=1@(2,3),(4,6)@5,8 -- -r 2 --").lcores, (Cores{1, 4, 6, 8}));
  EXPECT_EQ(parsed("nf --lcores 0-1@(0-7) -- -r 2 --").lcores, (Cores{0, 1}));
  EXPECT_EQ(parsed("nf --vfio-intr legacy --create-uio-dev --pci-whitelist 0000:01:00.0 "
                   "--huge-unlink=never -s 3 -l 1 -- -r 2 -n 0 --")
                .lcores,
            Cores{1});
  EXPECT_EQ(parsed("nf --lcores=2 --vdev=x --socket-mem 5 -- -r 2 -- --").lcores,
            std::vector<unsigned>{2});
}

TEST(OnvmCommandLine, WhatMakesNoSenseIsNamed) {
  const std::vector<std::pair<const char*, const char*>> bad = {
      {"nf", "'--'"},
      {"nf -l 0 -r 1", "'--'"},
      {"nf --", "service id"},
      {"nf -- -n 3 --", "service id"},
      {"nf -- -r 0 --", "-r '0'"},
      {"nf -- -r 32 --", "-r '32'"},
      {"nf -- -r -1 --", "-r '-1'"},
      {"nf -- -r 1x --", "-r '1x'"},
      {"nf -- -r", "'-r' needs a value"},
      {"nf -- -r 1 -n 128 --", "-n '128'"},
      {"nf -- -r 1 -t 0 --", "-t '0'"},
      {"nf -- -r 1 -l 70000 --", "-l '70000'"},
      {"nf -- -r 1 -q --", "'-q'"},
      {"nf -- -r 1 word -n 2 -- -d 5", "'word' does not belong"},
      {"nf -- 7 -r 1 -- -d 5", "'7' does not belong"},
      {"nf -- -r 1 word", "'word' does not belong"},
      {"nf -l 0-x -- -r 1", "core list 'x'"},
      {"nf -l 5-2 -- -r 1", "out of range"},
      {"nf --lcores (0-3 -- -r 1", "lcore map '(0-3'"},
      {"nf --lcores 0)@1 -- -r 1", "lcore map '0)@1'"},
      {"nf --lcores 0@1@2 -- -r 1", "lcore map '0@1@2'"},
      {"nf --lcores ()@1 -- -r 1", "core list ''"},
      {"nf -c 0 -- -r 1", "core mask '0'"},
      {"nf -m 1 -- -r 1", "-m '1'"},
      {"nf --no-such -- -r 1", "'--no-such'"},
      {"nf -l -- -r 1", "-l"}};
  for (const auto& [text, said] : bad) {
    Words words(text);
    const auto line = parse_command_line(words.argc(), words.argv());
    ASSERT_FALSE(line) << text;
    EXPECT_NE(line.error().line().find(said), std::string::npos)
        << text << ": " << line.error().line();
  }
}

TEST(OnvmCommandLine, TheEnvironmentNamesPrefixServiceAndCores) {
  setenv("HB_PREFIX", "edge", 1);
  setenv("HB_SERVICE", "web", 1);
  Words words("nf -- -r 1 --service other --");
  const auto line = parse_command_line(words.argc(), words.argv());
  unsetenv("HB_PREFIX");
  unsetenv("HB_SERVICE");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->prefix, "edge");
  EXPECT_EQ(line->service_name, "other") << "the command line wins";
}

// --- JSON ---------------------------------------------------------------------------------------

std::string joined(int argc, char** argv) {
  std::string text;
  for (int i = 0; i < argc; ++i) text += (i == 0 ? "" : " ") + std::string(argv[i]);
  return text;
}

constexpr const char* kFile =
    R"({"dpdk": {"corelist": "0,1", "memory_channels": 3, "portmask": 1},
        "onvm": {"output": "stdout", "serviceid": 5, "instanceid": 2}})";

/// The command line that a file and the words behind -F FILE make; empty if refused.
std::string made(const char* json, const std::string& behind, std::string* left = nullptr) {
  cJSON* const config = cJSON_Parse(json);
  EXPECT_NE(config, nullptr) << json;
  Words words("nf -F file " + behind);
  int argc = 0;
  char** argv = nullptr;
  const int status =
      onvm_config_create_nf_arg_list(config, &argc, &argv, words.argc(), words.argv());
  cJSON_Delete(config);
  if (left != nullptr) *left = joined(words.argc(), words.argv());
  if (status != 0) return "";
  const std::string text = joined(argc, argv);
  for (int i = 0; i < argc; ++i) free(argv[i]);
  free(argv);
  return text;
}

TEST(OnvmConfig, AFileMakesACommandLine) {
  const std::string start = "nf -l 0,1 -n 3 --proc-type=secondary";
  EXPECT_EQ(made(kFile, ""), start + " -- -r 5 -n 2 --");
  EXPECT_EQ(made(kFile, "-- -- -d 3"), start + " -- -r 5 -n 2 -- -d 3");
  EXPECT_EQ(made(kFile, "-l 4 -- -r 6 -- -d 3"), start + " -l 4 -- -r 5 -n 2 -r 6 -- -d 3");
  std::string left;
  made(kFile, "-l 4 -- -r 6 -- -d 3", &left);
  EXPECT_EQ(left, "nf -F file       -d 3") << "words that were used are empty";
}

TEST(OnvmConfig, InstanceZeroIsAnyInstance) {
  const std::string text = made(R"({"dpdk": {"corelist": "0", "memory_channels": 3},
                                    "onvm": {"serviceid": 5, "instanceid": 0}})",
                                "");
  Words words(text);
  const auto line = parse_command_line(words.argc(), words.argv());
  ASSERT_TRUE(line) << text << ": " << line.error().line();
  EXPECT_EQ(line->instance, 0);
}

TEST(OnvmConfig, WordsBehindAFileNeedTwoSeparators) {
  for (const char* const good : {"nf -F file", "nf -F file -- --", "nf -F file -- -- -d 5",
                                 "nf -F file -l 4 -- -r 6 -- -d 3 -- x"}) {
    Words words(good);
    EXPECT_TRUE(hb::onvm::check_words_behind_file(words.argc(), words.argv())) << good;
  }
  for (const char* const bad :
       {"nf -F file -r 7 -- -d 5", "nf -F file -- -d 5", "nf -F file --", "nf -F file -d 5"}) {
    Words words(bad);
    const auto checked = hb::onvm::check_words_behind_file(words.argc(), words.argv());
    ASSERT_FALSE(checked) << bad;
    EXPECT_NE(checked.error().line().find("two '--'"), std::string::npos) << checked.error().line();
  }
}

TEST(OnvmConfig, MembersThatAreMissingAreMissed) {
  for (const char* const bad :
       {R"({})", R"({"dpdk": {}, "onvm": {}})",
        R"({"dpdk": {"corelist": "0", "memory_channels": 3}})",
        R"({"dpdk": {"corelist": 0, "memory_channels": 3}, "onvm": {"serviceid": 1}})",
        R"({"dpdk": {"corelist": "0", "memory_channels": "x"}, "onvm": {"serviceid": 1}})",
        R"({"dpdk": {"corelist": "0", "memory_channels": 3}, "onvm": {"serviceid": "one"}})"})
    EXPECT_EQ(made(bad, ""), "") << bad;
}

TEST(OnvmConfig, FilesAreParsedAndCounted) {
  char name[] = "/tmp/onvm-config-XXXXXX";
  const int fd = mkstemp(name);
  ASSERT_GE(fd, 0);
  close(fd);
  std::ofstream(name) << kFile;
  cJSON* const config = onvm_config_parse_file(name);
  ASSERT_NE(config, nullptr);
  EXPECT_EQ(onvm_config_get_item_count(config), 2);
  int value = 0;
  char* text = nullptr;
  cJSON* const dpdk = cJSON_GetObjectItem(config, "dpdk");
  cJSON* const onvm = cJSON_GetObjectItem(config, "onvm");
  EXPECT_EQ(onvm_config_get_item_count(onvm), 3);
  EXPECT_EQ(onvm_config_extract_portmask(dpdk, &value), 0);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(onvm_config_extract_output_location(onvm, &text), 0);
  EXPECT_STREQ(text, "stdout");
  free(text);
  EXPECT_EQ(onvm_config_extract_instance_id(dpdk, &value), -1);
  cJSON_Delete(config);
  EXPECT_EQ(onvm_config_get_item_count(nullptr), 0);

  std::ofstream(name) << "{\n\"a\": 1,\n\"b\": }\n";
  testing::internal::CaptureStdout();
  EXPECT_EQ(onvm_config_parse_file(name), nullptr);
  EXPECT_EQ(onvm_config_parse_file("/nowhere/x.json"), nullptr);
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_NE(said.find(std::string(name) + ":3"), std::string::npos) << said;
  EXPECT_NE(said.find("/nowhere/x.json"), std::string::npos) << said;
  unlink(name);
}

}  // namespace
