#include "nfs/nids/eve_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/frame_builder.h"

namespace hb::nids {
namespace {

using nlohmann::json;
using test::FrameBuilder;

Rule rule_with(std::uint32_t sid, const std::string& msg) {
  Rule rule;
  rule.sid = sid;
  rule.rev = 4;
  rule.msg = msg;
  return rule;
}

json line_of(const std::vector<std::uint8_t>& frame, const std::string& msg = "m") {
  RuleSet rules;
  rules.rules.push_back(rule_with(7, msg));
  rules.version = 3;
  Alert alert = make_alert(decode_packet(frame), 0, 1'700'000'000'123'456'789, 42);
  alert.rules = &rules;
  const std::string line = eve_line(alert);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  return json::parse(line);
}

TEST(EveRecord, HasTheFieldsOfATcpAlert) {
  const json expected = {{"timestamp", "2023-11-14T22:13:20.123456+0000"},
                         {"event_type", "alert"},
                         {"src_ip", "10.0.0.1"},
                         {"src_port", 1234},
                         {"dest_ip", "192.168.1.2"},
                         {"dest_port", 80},
                         {"proto", "TCP"},
                         {"pcap_cnt", 42},
                         {"alert",
                          {{"signature_id", 7},
                           {"rev", 4},
                           {"gid", 1},
                           {"signature", "a \"b\" \\"},
                           {"action", "allowed"},
                           {"category", ""},
                           {"severity", 3},
                           {"rules_version", 3}}}};
  EXPECT_EQ(line_of(FrameBuilder().ipv4(6).tcp(1234, 80).done(), "a \"b\" \\"), expected);
}

TEST(EveRecord, OnlyPacketsWithPortsHavePorts) {
  const json icmp = line_of(FrameBuilder().ipv6(58).icmp(128).done());
  EXPECT_EQ(icmp.at("proto"), "IPv6-ICMP");
  EXPECT_EQ(icmp.at("src_ip"), "2001:db8::1");
  EXPECT_FALSE(icmp.contains("src_port"));
  const json fragment = line_of(FrameBuilder().ipv4(17, 0, 0x2000).udp(1, 2).done());
  EXPECT_EQ(fragment.at("proto"), "UDP");
  EXPECT_FALSE(fragment.contains("dest_port"));
}

TEST(EveRecord, UnnamedProtocolsAreThreeDigits) {
  EXPECT_EQ(eve_protocol(3), "003");
  EXPECT_EQ(eve_protocol(253), "253");
  EXPECT_EQ(eve_protocol(50), "ESP");
}

TEST(EveRecord, TimesAreUtcInMicroseconds) {
  EXPECT_EQ(eve_timestamp(0), "1970-01-01T00:00:00.000000+0000");
  EXPECT_EQ(eve_timestamp(1'709'164'800'000'000'999), "2024-02-29T00:00:00.000000+0000");
}

TEST(EveRecord, TextsThatAreNoUtf8StillGiveJson) {
  EXPECT_NO_THROW(line_of(FrameBuilder().ipv4(6).tcp(1, 2).done(), "bad \xff\xc3 text"));
}

class EveWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) /
            ("eve_writer_test." + std::to_string(getpid()) + ".json");
    std::filesystem::remove(path_);
    rules_.rules.push_back(rule_with(7, "seven"));
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::unique_ptr<EveWriter> open(std::uint32_t capacity, bool wait) {
    auto writer =
        EveWriter::open({.path = path_.string(), .capacity = capacity, .wait_when_full = wait});
    EXPECT_TRUE(writer.ok());
    return *std::move(writer);
  }
  [[nodiscard]] Alert alert(std::uint64_t number) const {
    static const auto frame = FrameBuilder().ipv4(6).tcp(1, 2).done();
    Alert alert = make_alert(decode_packet(frame), 0, number * 1000, number);
    alert.rules = &rules_;
    return alert;
  }
  std::vector<std::uint64_t> numbers() {
    std::vector<std::uint64_t> numbers;
    std::ifstream in(path_);
    for (std::string line; std::getline(in, line);)
      numbers.push_back(json::parse(line).at("pcap_cnt"));
    return numbers;
  }

  std::filesystem::path path_;
  RuleSet rules_;
};

TEST_F(EveWriterTest, LosslessProducerWaitsAndNothingIsLost) {
  const auto writer = open(4, true);
  for (std::uint64_t i = 1; i <= 5000; ++i) ASSERT_TRUE(writer->push(alert(i)));
  writer->flush();
  const auto written = numbers();
  ASSERT_EQ(written.size(), 5000u);
  for (std::uint64_t i = 0; i < 5000; ++i) ASSERT_EQ(written[i], i + 1);
  EXPECT_EQ(writer->n_written(), 5000u);
  EXPECT_EQ(writer->n_lost(), 0u);
}

TEST_F(EveWriterTest, OtherwiseWhatDoesNotFitIsCountedAsLost) {
  const auto writer = open(2, false);
  std::uint64_t taken = 0;
  for (std::uint64_t i = 1; i <= 20000; ++i) taken += writer->push(alert(i));
  writer->flush();
  EXPECT_EQ(numbers().size(), taken);
  EXPECT_EQ(writer->n_written(), taken);
  EXPECT_EQ(writer->n_lost(), 20000 - taken);
}

TEST_F(EveWriterTest, AlertsReachTheFileWithoutAFlush) {
  const auto writer = open(8, true);
  writer->push(alert(1));
  for (int i = 0; i < 1000 && numbers().empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(numbers(), std::vector<std::uint64_t>{1});
}

TEST_F(EveWriterTest, TheEndWritesWhatIsQueued) {
  open(1024, true)->push(alert(1));
  EXPECT_EQ(numbers().size(), 1u);
}

TEST_F(EveWriterTest, AppendsAndEndsALineThatWasCut) {
  std::ofstream(path_) << "{\"pcap_cnt\":90}\n{\"pcap_cnt\":91}";
  open(8, true)->push(alert(1));
  EXPECT_EQ(numbers(), (std::vector<std::uint64_t>{90, 91, 1}));
}

TEST_F(EveWriterTest, TwoWritersShareAFile) {
  {
    const auto first = open(64, true);
    const auto second = open(64, true);
    std::thread other([&] {
      for (std::uint64_t i = 0; i < 2000; ++i) second->push(alert(i));
    });
    for (std::uint64_t i = 0; i < 2000; ++i) first->push(alert(i));
    other.join();
  }
  EXPECT_EQ(numbers().size(), 4000u);
}

TEST_F(EveWriterTest, AFileThatCannotBeOpenedIsAnErrorThatNamesIt) {
  const auto writer = EveWriter::open({.path = "/nonexistent/eve.json"});
  ASSERT_FALSE(writer.ok());
  EXPECT_NE(writer.error().what.find("/nonexistent/eve.json"), std::string::npos);
}

/// A pipe that is read when the test says so.
class EveWriterPipeTest : public EveWriterTest {
 protected:
  void SetUp() override {
    EveWriterTest::SetUp();
    ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
    fd_ = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK);
    ASSERT_GE(fd_, 0);
  }
  void TearDown() override {
    close(fd_);
    EveWriterTest::TearDown();
  }
  std::unique_ptr<EveWriter> open(std::uint32_t capacity, std::chrono::milliseconds stall_limit,
                                  std::function<bool()> may_wait) {
    return *EveWriter::open({.path = path_.string(),
                             .capacity = capacity,
                             .wait_when_full = true,
                             .may_wait = std::move(may_wait),
                             .stall_limit = stall_limit});
  }
  /// Takes what lies in the pipe, at most so much.
  void read(std::size_t n_bytes = 65536) {
    std::string part(n_bytes, '\0');
    if (const ssize_t n = ::read(fd_, part.data(), part.size()); n > 0)
      got_.append(part, 0, static_cast<std::size_t>(n));
  }
  /// Reads all that is there.
  std::uint64_t n_lines() {
    for (std::size_t before = got_.size() + 1; before != got_.size();) {
      before = got_.size();
      read();
    }
    EXPECT_TRUE(got_.ends_with('\n'));
    return static_cast<std::uint64_t>(std::count(got_.begin(), got_.end(), '\n'));
  }

  /// Of a pipe that nobody reads: that is found out by waiting for so long.
  static constexpr std::chrono::milliseconds kNobodyReads{500};
  /// Of one that is read: longer than a busy machine keeps the reader from it.
  static constexpr std::chrono::milliseconds kIsRead{30'000};
  /// Of one whose reader is seen to be alive for longer than this, with a margin of 150 reads.
  static constexpr std::chrono::milliseconds kIsSlow{3000};

  int fd_ = -1;
  std::string got_;
};

TEST_F(EveWriterPipeTest, AProducerThatWaitsSaysSoUntilItIsReadOn) {
  int n_said = 0;
  const auto writer = open(2, kIsRead, [&] {
    if (++n_said % 20 == 0) read();
    return true;
  });
  for (std::uint64_t i = 1; i <= 1000; ++i) ASSERT_TRUE(writer->push(alert(i)));
  EXPECT_GE(n_said, 20);
  while (writer->n_written() < 1000) read();
  EXPECT_EQ(n_lines(), 1000u);
  EXPECT_EQ(writer->n_lost(), 0u);
}

TEST_F(EveWriterPipeTest, AnEndGivesUpAPipeThatNobodyReadsAndCountsToTheLine) {
  const auto writer = open(64, kNobodyReads, [] { return false; });
  std::uint64_t n_pushed = 0;
  for (std::uint64_t i = 1; i <= 2000; ++i) n_pushed += writer->push(alert(i));
  EXPECT_LT(n_pushed, 2000u);
  writer->end();
  EXPECT_EQ(n_lines(), writer->n_written());
  EXPECT_EQ(writer->n_written() + writer->n_lost(), 2000u);
}

TEST_F(EveWriterPipeTest, AnEndWaitsForAReaderThatIsSlow) {
  const auto writer = open(4096, kIsSlow, [] { return true; });
  for (std::uint64_t i = 1; i <= 4000; ++i) ASSERT_TRUE(writer->push(alert(i)));
  std::atomic<bool> over{false};
  std::thread reader([&] {
    while (!over.load(std::memory_order_acquire)) {                // pairs with the store below
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // it is slow
      read(4096);
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  writer->end();
  EXPECT_GT(std::chrono::steady_clock::now() - begin, kIsSlow) << "too few alerts for this test";
  over.store(true, std::memory_order_release);
  reader.join();
  EXPECT_EQ(n_lines(), 4000u);
  EXPECT_EQ(writer->n_written(), 4000u);
  EXPECT_EQ(writer->n_lost(), 0u);
}

TEST_F(EveWriterTest, AFullDiskCountsAsLostAndDoesNotStop) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  const auto writer = *EveWriter::open({.path = "/dev/full", .wait_when_full = true});
  for (std::uint64_t i = 0; i < 10; ++i) writer->push(alert(i));
  writer->flush();
  EXPECT_EQ(writer->n_lost(), 10u);
}

}  // namespace
}  // namespace hb::nids
