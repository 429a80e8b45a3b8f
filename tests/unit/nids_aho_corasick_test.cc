#define HB_KERNEL_ON_HOST  // first: it decides how kernels/platform.h reads
#include "nfs/nids/aho_corasick.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/nids.cl"
#include "nfs/nids/evaluator.h"
#include "nfs/nids/rule_parser.h"
#include "tests/unit/capture_reader.h"
#include "tests/unit/frame_builder.h"

namespace hb::nids {
namespace {

using test::Frame;
using test::FrameBuilder;

using namespace std::string_literals;
using Patterns = std::vector<std::string_view>;

/// A table at 64-byte alignment, as the device has it.
class Table {
 public:
  explicit Table(const std::vector<std::byte>& bytes) : size_(bytes.size()), memory_(size_ + 64) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    data_ = memory_.data() + (64 - address % 64) % 64;
    std::ranges::transform(bytes, data_, [](std::byte byte) { return static_cast<u8>(byte); });
  }
  explicit Table(const Patterns& patterns, bool copy_all = false)
      : Table(*build_nids_table(patterns, NidsMarks{.copy_all = copy_all})) {}
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  [[nodiscard]] u8* data() { return data_; }
  [[nodiscard]] u64 size() const { return size_; }
  HbNidsTable& header() { return *reinterpret_cast<HbNidsTable*>(data_); }
  [[nodiscard]] bool valid() const { return nids_table_valid(data_, size_); }
  bool finds(std::string_view text) {
    return hb_nids_found(reinterpret_cast<const u8*>(text.data()), static_cast<u32>(text.size()),
                         data_) != 0;
  }

 private:
  std::size_t size_;
  std::vector<u8> memory_;
  u8* data_ = nullptr;
};

std::string folded(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = to_lower_ascii(c);
  return result;
}

bool naive_finds(const Patterns& patterns, std::string_view text) {
  const std::string lower = folded(text);
  for (const auto pattern : patterns) {
    if (lower.find(folded(pattern.substr(0, kMaxDevicePatternBytes))) != std::string::npos)
      return true;
  }
  return false;
}

TEST(NidsTable, FindsTheTextbookPatterns) {
  Table table(Patterns{"he", "she", "his", "hers"});
  ASSERT_TRUE(table.valid());
  for (const char* text : {"ushers", "he", "HIS", "xxsHe", "thhis"})
    EXPECT_TRUE(table.finds(text)) << text;
  for (const char* text : {"", "h", "hirs", "sh e", "sss"}) EXPECT_FALSE(table.finds(text)) << text;
}

TEST(NidsTable, WithoutPatternsNothingIsFound) {
  Table table(Patterns{});
  EXPECT_TRUE(table.valid());
  EXPECT_FALSE(table.finds("anything"));
  EXPECT_EQ(table.header().n_states, 2u);  // the start and "found"
}

TEST(NidsTable, AgreesWithANaiveSearchOnRandomTexts) {
  std::mt19937 rng(1975);
  for (int trial = 0; trial < 3000; ++trial) {
    const unsigned n_letters = 1 + static_cast<unsigned>(rng() % 4);
    const auto random_text = [&](std::size_t longest) {
      std::string text(1 + rng() % longest, '\0');
      for (char& c : text) c = "aBc\xff"[rng() % n_letters] ^ (rng() % 40 == 0 ? 0x20 : 0);
      return text;
    };
    std::vector<std::string> texts(1 + rng() % 8);
    for (std::string& text : texts) text = random_text(rng() % 10 == 0 ? 40 : 6);
    const Patterns patterns(texts.begin(), texts.end());
    Table table(patterns);
    ASSERT_TRUE(table.valid()) << "trial " << trial;
    for (int i = 0; i < 10; ++i) {
      const std::string text = random_text(60);
      ASSERT_EQ(table.finds(text), naive_finds(patterns, text)) << "trial " << trial;
    }
  }
}

TEST(NidsTable, HoldsEveryByteValue) {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.push_back({static_cast<char>(byte), '!'});
  Table table(Patterns(texts.begin(), texts.end()));
  ASSERT_TRUE(table.valid());
  EXPECT_EQ(table.header().n_columns, 231u);  // 256 less 26 folded letters, and column 0
  for (int byte = 0; byte < 256; ++byte)
    EXPECT_TRUE(table.finds(texts[static_cast<std::size_t>(byte)]));
  EXPECT_FALSE(table.finds("abc"));
}

TEST(NidsTable, TensOfThousandsOfPatternsUseWideEntriesAndFit) {
  std::mt19937 rng(3);
  std::vector<std::string> texts(30'000);
  for (std::string& text : texts) {
    text.resize(6 + rng() % 20);
    for (char& c : text) c = static_cast<char>(' ' + rng() % 95);
  }
  const Patterns patterns(texts.begin(), texts.end());
  Table table(patterns);
  ASSERT_TRUE(table.valid());
  EXPECT_NE(table.header().flags & HB_NIDS_WIDE, 0u);
  EXPECT_EQ(table.header().n_columns, kMaxColumns);  // rare bytes share columns
  EXPECT_LT(table.size(), 150u << 20);
  std::size_t n_false = 0;
  for (std::size_t i = 0; i < texts.size(); i += 100) {
    ASSERT_TRUE(table.finds("  " + texts[i])) << i;
    const std::string cut = texts[i].substr(0, 5);
    ASSERT_TRUE(table.finds(cut) || !naive_finds(patterns, cut)) << i;
    n_false += table.finds(cut) && !naive_finds(patterns, cut);
  }
  EXPECT_LT(n_false, 10u);
}

TEST(NidsTable, DamagedTablesAreRefused) {
  Table table(Patterns{"abc", "bd"});
  ASSERT_TRUE(table.valid());
  EXPECT_FALSE(nids_table_valid(nullptr, 0));
  EXPECT_FALSE(nids_table_valid(table.data(), table.size() - 1));
  EXPECT_FALSE(nids_table_valid(table.data(), 16));
  const std::vector<u8> good(table.data(), table.data() + table.size());
  const auto damaged = [&](std::size_t at, u8 value) {
    std::memcpy(table.data(), good.data(), good.size());
    table.data()[at] = value;
    return !table.valid();
  };
  for (std::size_t at : {0u, 4u, 8u, 16u, 24u, 28u, 32u, 40u}) EXPECT_TRUE(damaged(at, 0xee)) << at;
  EXPECT_TRUE(damaged(64 + 'a', 200));                           // a column that there is not
  EXPECT_TRUE(damaged(table.header().transitions_offset, 200));  // a row that there is not
  EXPECT_TRUE(damaged(table.size() - 2, 0));                     // a way out of "found"
}

// What gpu_host accepts never leads the kernel out of the block, whatever the bytes are (ASan).
TEST(NidsTable, RandomlyDamagedTablesAreRefusedOrHarmless) {
  std::mt19937 rng(11);
  const Patterns patterns{"abc", "abd", "xyz", "yx"};
  const std::vector<std::byte> good = *build_nids_table(patterns, NidsMarks{});
  std::string text(300, '\0');
  for (int trial = 0; trial < 20'000; ++trial) {
    std::vector<std::byte> bytes = good;
    for (auto n = 1 + rng() % 3; n > 0; --n)
      bytes[rng() % bytes.size()] = static_cast<std::byte>(rng());
    Table table(bytes);
    if (!table.valid()) continue;
    for (char& c : text) c = static_cast<char>(rng());
    (void)table.finds(text);
  }
}

/// Runs one round of the kernel over the frames, one lane each, out of one region.
std::vector<u64> run_round(const std::vector<Frame>& frames, Table& table,
                           std::vector<u64>& slots) {
  std::vector<u8> region(64);
  slots.clear();
  for (const Frame& frame : frames) {
    const std::size_t base = (region.size() + 63) / 64 * 64;
    const u32 data_offset = 128 + static_cast<u32>(slots.size() % 7);  // unaligned on purpose
    region.resize(base + data_offset + frame.size());
    std::copy(frame.begin(), frame.end(),
              region.begin() + static_cast<std::ptrdiff_t>(base + data_offset));
    slots.push_back(HB_SLOT(base / 64, frame.size(), data_offset));
  }
  slots.push_back(0);
  std::vector<u64> results(slots.size(), 0xdead);
  for (u32 lane = 0; lane < slots.size(); ++lane) {
    HbRound round{};
    round.region = region.data();
    round.slots = slots.data();
    round.results = results.data();
    round.table = table.data();
    round.region_bytes = region.size();
    round.packet_limit = 0xffff;
    round.lane = lane;
    round.n_lanes = static_cast<u32>(slots.size());
    hb_round_nids_alone(&round);
  }
  return results;
}

TEST(NidsKernel, CopiesSuspectsAndChangesNothing) {
  Table table(Patterns{"attack"});
  const std::vector<Frame> frames = {FrameBuilder().ipv4(17).udp(1, 2).text("an ATTACK!").done(),
                                     FrameBuilder().ipv4(17).udp(1, 2).text("peace").done()};
  std::vector<u64> slots;
  const std::vector<u64> results = run_round(frames, table, slots);
  EXPECT_EQ(results[0], HB_RESULT_UNCHANGED(slots[0], HB_RESULT_COPY_TO_CPU));
  EXPECT_EQ(results[1], HB_RESULT_UNCHANGED(slots[1], 0));
  EXPECT_EQ(results[2], 0u);  // the dummy packet
}

TEST(NidsKernel, RulesWithoutContentCopyEveryPacket) {
  Table table(Patterns{"attack"}, true);
  std::vector<u64> slots;
  const auto results = run_round({FrameBuilder().ipv4(17).udp(1, 2).done(), Frame{}}, table, slots);
  EXPECT_EQ(HB_RESULT_FLAGS(results[0]), HB_RESULT_COPY_TO_CPU);
  EXPECT_EQ(HB_RESULT_FLAGS(results[1]), HB_RESULT_COPY_TO_CPU);
}

TEST(NidsKernel, RulesWithoutContentCopyPacketsWithTheirHeadersOnly) {
  RuleSet set;
  for (const char* text :
       {"tcp any any -> any 22 (flags:S; sid:1;)", "udp any 53 -> any any (sid:2;)",
        "icmp any any -> any any (itype:8; sid:3;)"}) {
    set.rules.push_back(parse_rule("alert "s + text).rule);
  }
  Table table(*build_nids_table(set));
  ASSERT_TRUE(table.valid());
  Frame syn = FrameBuilder().ipv4(6).tcp(5, 22).done();
  syn[14 + 20 + 13] = 0x02;
  Frame tagged = FrameBuilder().vlan(0x8100, 1).ipv4(6, 8).tcp(5, 22).done();
  tagged[18 + 28 + 13] = 0x02;
  const std::vector<Frame> marked = {syn,
                                     tagged,
                                     FrameBuilder().ipv4(17).udp(53, 9).done(),
                                     FrameBuilder().ipv4(1).icmp(8).done(),
                                     FrameBuilder().ipv6(58).icmp(128).done(),
                                     FrameBuilder().ipv6(0).zeros(8).udp(53, 9).done()};
  const std::vector<Frame> others = {FrameBuilder().ipv4(6).tcp(5, 22).done(),  // PSH and ACK
                                     FrameBuilder().ipv4(17).udp(9, 53).done(),
                                     FrameBuilder().ipv4(17, 0, 0x2000).udp(53, 9).done(),
                                     FrameBuilder().ipv4(58).icmp(128).done(),
                                     FrameBuilder().be16(0x0806).zeros(40).done(),
                                     Frame(13, 0),
                                     Frame(syn.begin(), syn.begin() + 40)};
  std::vector<u64> slots;
  for (const u64 result : run_round(marked, table, slots)) {
    if (result == 0) continue;  // the dummy packet
    EXPECT_EQ(HB_RESULT_FLAGS(result), HB_RESULT_COPY_TO_CPU);
  }
  for (const u64 result : run_round(others, table, slots)) EXPECT_EQ(HB_RESULT_FLAGS(result), 0u);
}

TEST(NidsKernel, HitsWaitForAnAnswerWhereTheTableSaysSo) {
  RuleSet set;
  set.rules.push_back(parse_rule("drop tcp any any -> any any (content:\"evil\"; sid:1;)").rule);
  for (const bool asks : {false, true}) {
    Table table(*build_nids_table(set, asks));
    ASSERT_TRUE(table.valid());
    std::vector<u64> slots;
    const auto results = run_round({FrameBuilder().ipv4(6).tcp(1, 2).text("evil").done(),
                                    FrameBuilder().ipv4(6).tcp(1, 2).text("good").done()},
                                   table, slots);
    EXPECT_EQ(HB_RESULT_FLAGS(results[0]), asks ? HB_RESULT_ASK_CPU : HB_RESULT_COPY_TO_CPU);
    EXPECT_EQ(HB_RESULT_FLAGS(results[1]), 0u);
  }
}

TEST(NidsKernel, ABlockThatIsNoTableCopiesEveryPacket) {
  Table table(std::vector<std::byte>(16));
  std::vector<u64> slots;
  const auto results = run_round({FrameBuilder().ipv4(17).udp(1, 2).done()}, table, slots);
  EXPECT_EQ(HB_RESULT_FLAGS(results[0]), HB_RESULT_COPY_TO_CPU);
}

TEST(NidsKernel, NeverMissesAnAlertOfTheEvaluator) {
  std::mt19937 rng(23);
  std::vector<Frame> frames;
  for (const auto& path : test::capture_files()) {
    for (Frame& frame : test::read_capture(path)) {
      if (rng() % 4 == 0) frames.push_back(std::move(frame));
    }
  }
  std::size_t n_alerts = 0;
  std::size_t n_passed = 0;
  for (int trial = 0; trial < 6; ++trial) {
    RuleSet set;
    for (std::uint32_t sid = 1; sid <= 40; ++sid) {
      Rule rule = parse_rule("alert ip any any -> any any (sid:1;)").rule;
      if (sid % 2 == 0) rule.header.protocol = RuleProtocol::kTcp;
      const Frame& frame = frames[rng() % frames.size()];
      if (frame.size() < 60) continue;
      const std::size_t at = 20 + rng() % (frame.size() - 30);
      const std::size_t length = std::min<std::size_t>(frame.size() - at, 3 + rng() % 50);
      Content content;
      content.bytes.assign(frame.begin() + static_cast<std::ptrdiff_t>(at),
                           frame.begin() + static_cast<std::ptrdiff_t>(at + length));
      Content letter;
      letter.bytes = "e";
      letter.nocase = true;
      rule.buffers.push_back({.steps = {content, letter}});
      set.rules.push_back(rule);
    }
    // Without a content, by ports and flags: what the kernel must not miss either.
    for (const char* text :
         {"tcp any any -> any 22 (flags:S; sid:1;)", "udp any 53 <> any 1024: (sid:1;)",
          "icmp any any -> any any (itype:3; sid:1;)"}) {
      if (trial % 2 == 0) set.rules.push_back(parse_rule("alert "s + text).rule);
    }
    Table table(*build_nids_table(set));
    ASSERT_TRUE(table.valid());
    Patterns patterns;
    for (const Rule& rule : set.rules)
      if (!rule.buffers.empty())
        patterns.push_back(fast_bytes(std::get<Content>(rule.buffers[0].steps[0])));
    auto evaluator = *Evaluator::create(std::make_shared<const RuleSet>(set));
    auto scratch = *std::move(evaluator->make_scratch());
    std::vector<u64> slots;
    const std::vector<u64> results = run_round(frames, table, slots);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      const bool copied = HB_RESULT_FLAGS(results[i]) == HB_RESULT_COPY_TO_CPU;
      const std::string_view text(reinterpret_cast<const char*>(frames[i].data()),
                                  frames[i].size());
      const bool holds = text.size() > 14 && naive_finds(patterns, text.substr(14));
      ASSERT_TRUE(trial % 2 == 0 ? copied || !holds : copied == holds) << i;
      const bool alerts =
          !evaluator->evaluate(frames[i], decode_packet(frames[i]), scratch).empty();
      ASSERT_TRUE(copied || !alerts) << "trial " << trial << " frame " << i;
      n_alerts += alerts;
      n_passed += !copied;
    }
  }
  EXPECT_GT(n_alerts, 100u);
  EXPECT_GT(n_passed, 100u);
}

}  // namespace
}  // namespace hb::nids
