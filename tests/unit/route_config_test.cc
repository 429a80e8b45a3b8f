#include "manager/route_config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace hb {
namespace {

using Names = std::vector<std::string>;

Result<RouteConfig> parse(std::string_view text, unsigned n_ports = 2) {
  const Result<CsvFile> file = parse_csv("r.csv", text);
  if (!file) return file.error();
  return parse_route_config(*file, n_ports);
}

std::string error_of(std::string_view text, unsigned n_ports = 2) {
  const Result<RouteConfig> config = parse(text, n_ports);
  return config ? "no error" : config.error().what;
}

TEST(Csv, SkipsCommentsAndBlanksAndKeepsLineNumbers) {
  const Result<CsvFile> file =
      parse_csv("f", "\xef\xbb\xbf# head\r\n\r\n a , b c,\t d #tail, x\r\n  # x\n\n,\nlast");
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(file->rows.size(), 3u);
  EXPECT_EQ(file->rows[0].line, 3);
  EXPECT_EQ(file->rows[0].fields, (Names{"a", "b c", "d"}));
  EXPECT_EQ(file->rows[1].line, 6);
  EXPECT_EQ(file->rows[1].fields, (Names{"", ""}));
  EXPECT_EQ(file->rows[2].line, 7);
  EXPECT_EQ(file->rows[2].fields, (Names{"last"}));
}

TEST(Csv, EmptyTextHasNoRows) {
  ASSERT_TRUE(parse_csv("f", "").ok());
  EXPECT_TRUE(parse_csv("f", "\n\n# c")->rows.empty());
}

TEST(Csv, RefusesBinaryFiles) {
  const Result<CsvFile> file = parse_csv("f", std::string_view("a,b\nc\0d", 7));
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().what, "f:2: control character 0x00");
}

TEST(Csv, NamesTheFileThatCannotBeRead) {
  EXPECT_EQ(read_csv("/nonexistent/r.csv").error().what,
            "cannot read '/nonexistent/r.csv': No such file or directory");
  EXPECT_EQ(read_csv("/").error().what, "cannot read '/': Is a directory");
}

TEST(Csv, ReadsAFile) {
  const std::string path = testing::TempDir() + "hb_csv_" + std::to_string(getpid());
  std::ofstream(path) << "x, y\n";
  const Result<CsvFile> file = read_csv(path);
  unlink(path.c_str());
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->rows.at(0).fields, (Names{"x", "y"}));
}

TEST(ParseDecimal, TakesOnlyDigitsUpToTheLimit) {
  std::uint32_t value = 7;
  EXPECT_TRUE(parse_decimal("0", 10, value));
  EXPECT_EQ(value, 0u);
  EXPECT_TRUE(parse_decimal("10", 10, value));
  for (const char* bad : {"", "11", "-1", "+1", " 1", "1 ", "0x1", "1.0", "99999999999"}) {
    value = 7;
    EXPECT_FALSE(parse_decimal(bad, 10, value)) << bad;
    EXPECT_EQ(value, 7u) << bad;
  }
}

TEST(RouteConfig, KeepsTheRulesInTheFilesOrder) {
  const Result<RouteConfig> config = parse("*, rx, fw\nweb, fw, nids\n*, fw, tx\n*, nids, tx:1\n");
  ASSERT_TRUE(config.ok()) << config.error().line();
  ASSERT_EQ(config->rules.size(), 4u);
  EXPECT_EQ(config->rules[1].type, "web");
  EXPECT_EQ(config->rules[1].current, "fw");
  EXPECT_EQ(config->rules[1].next, "nids");
  EXPECT_EQ(config->rules[1].line, 2);
  EXPECT_EQ(config->types, (Names{"web"}));
  EXPECT_EQ(config->services, (Names{"fw", "nids"}));
  EXPECT_TRUE(config->unreachable.empty());
}

TEST(RouteConfig, FindsWhichServicesRxLeadsTo) {
  // d and e form a loop that nothing enters; b comes before a in the file.
  const Result<RouteConfig> config =
      parse("x, b, c\n*, rx, a\ny, a, b\n*, c, a\n*, d, e\n*, e, d\n*, f, drop\n");
  ASSERT_TRUE(config.ok()) << config.error().line();
  EXPECT_EQ(config->services, (Names{"b", "c", "a"}));
  EXPECT_EQ(config->unreachable, (Names{"d", "e", "f"}));
}

TEST(RouteConfig, AChainWithoutNfsIsAllowed) {
  const Result<RouteConfig> config = parse("*, rx, tx");
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE(config->services.empty());
}

TEST(RouteConfig, TellsTheKindsOfNext) {
  unsigned port = 99;
  EXPECT_EQ(next_kind("tx", port), NextKind::kTxPaired);
  EXPECT_EQ(next_kind("drop", port), NextKind::kDrop);
  EXPECT_EQ(next_kind("txt", port), NextKind::kService);
  EXPECT_EQ(port, 99u);
  EXPECT_EQ(next_kind("tx:1", port), NextKind::kTxPort);
  EXPECT_EQ(port, 1u);
}

TEST(RouteConfig, ErrorsNameTheLine) {
  const std::string name31(31, 'n');
  EXPECT_EQ(error_of("*,rx," + name31), "no error");
  EXPECT_EQ(error_of("*,rx," + name31 + "n"), "r.csv:1: '" + name31 + "n' is no NF's name");
  EXPECT_EQ(error_of("*,rx"), "r.csv:1: 2 fields instead of 3");
  EXPECT_EQ(error_of("*,rx,tx,"), "r.csv:1: 4 fields instead of 3");
  EXPECT_EQ(error_of("\n,rx,tx"), "r.csv:2: the packet type is empty");
  EXPECT_EQ(error_of("*,,tx"), "r.csv:1: the current NF is empty");
  EXPECT_EQ(error_of("*,rx,"), "r.csv:1: the next NF is empty");
  EXPECT_EQ(error_of("a b,rx,tx"), "r.csv:1: 'a b' is no packet type");
  EXPECT_EQ(error_of("*,f/w,tx"), "r.csv:1: 'f/w' is no NF's name");
  EXPECT_EQ(error_of("*,*,tx"), "r.csv:1: '*' is no NF's name");
  EXPECT_EQ(error_of("*,rx,*"), "r.csv:1: '*' is no NF's name");
  EXPECT_EQ(error_of("*,fw,rx"), "r.csv:1: 'rx' can't be the next NF");
  EXPECT_EQ(error_of("*,tx,fw"), "r.csv:1: 'tx' can't be the current NF");
  EXPECT_EQ(error_of("*,tx:0,fw"), "r.csv:1: 'tx:0' can't be the current NF");
  EXPECT_EQ(error_of("*,drop,fw"), "r.csv:1: 'drop' can't be the current NF");
  EXPECT_EQ(error_of("*,rx:0,fw"), "r.csv:1: 'rx:0' can't be the current NF");
  EXPECT_EQ(error_of("*,rx,tx:"), "r.csv:1: 'tx:' names no port");
  EXPECT_EQ(error_of("*,rx,tx:a"), "r.csv:1: 'tx:a' names no port");
  EXPECT_EQ(error_of("*,rx,tx:1", 2), "no error");
  EXPECT_EQ(error_of("*,rx,tx:2", 2), "r.csv:1: 'tx:2': there is no port 2");
  EXPECT_EQ(error_of("*,rx,tx:0", 0), "r.csv:1: 'tx:0': there is no port 0");
  EXPECT_EQ(error_of("*,rx,a\n\nx,a,tx\nx , a,b"),
            "r.csv:4: a second rule for type 'x' at 'a'; the first is in line 3");
  EXPECT_EQ(error_of("*,a,tx"), "r.csv: no rule says where packets go from rx");
  EXPECT_EQ(error_of("# nothing"), "r.csv: no rule says where packets go from rx");
}

TEST(RouteConfig, EveryErrorSaysWhatToDo) {
  for (const char* text : {"*,rx", "a b,rx,tx", "*,,tx", "*,rx,tx:9", "*,rx,a\n*,rx,b", "*,a,tx"})
    EXPECT_FALSE(parse(text).error().fix.empty()) << text;
}

/// The rules after an edit as text, or what was wrong with it.
std::string edited(RouteEdit edit, const RouteRule& rule) {
  const Result<RouteConfig> before = parse("*, rx, a\nweb, rx, b\n*, a, tx\n");
  const Result<RouteConfig> after = edit_route_config(*before, edit, rule, 2);
  if (!after) return after.error().what;
  std::string text;
  for (const RouteRule& r : after->rules) text += r.type + ' ' + r.current + ' ' + r.next + '\n';
  return text;
}

TEST(RouteEdit, AddsReplacesAndDeletes) {
  EXPECT_EQ(edited(RouteEdit::kAdd, {"dns", "rx", "tx:1"}),
            "* rx a\nweb rx b\n* a tx\ndns rx tx:1\n");
  EXPECT_EQ(edited(RouteEdit::kReplace, {"web", "rx", "c"}), "* rx a\nweb rx c\n* a tx\n");
  EXPECT_EQ(edited(RouteEdit::kDelete, {"web", "rx", ""}), "* rx a\n* a tx\n");
  EXPECT_EQ(edited(RouteEdit::kDelete, {"web", "rx", "b"}), "* rx a\n* a tx\n");
}

TEST(RouteEdit, RefusesWhatMakesNoSense) {
  EXPECT_EQ(edited(RouteEdit::kAdd, {"*", "rx", "b"}),
            "there is a rule already for type '*' at 'rx'");
  EXPECT_EQ(edited(RouteEdit::kReplace, {"dns", "rx", "b"}),
            "there is no such rule for type 'dns' at 'rx'");
  EXPECT_EQ(edited(RouteEdit::kDelete, {"web", "rx", "other"}),
            "there is no such rule for type 'web' at 'rx'");
  EXPECT_EQ(edited(RouteEdit::kAdd, {"*", "b", "tx:2"}), "'tx:2': there is no port 2");
  EXPECT_EQ(edited(RouteEdit::kAdd, {"*", "", "tx"}), "the current NF is empty");
  EXPECT_EQ(edited(RouteEdit::kAdd, {"*", "b", ""}), "the next NF is empty");
}

}  // namespace
}  // namespace hb
