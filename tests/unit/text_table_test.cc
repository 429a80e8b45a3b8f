#include "nf_lib/text_table.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hb {
namespace {

using nlohmann::json;

/// A platform with one port and a chain of two, as the statistics JSON describes it.
json example_status() {
  return json::parse(R"({
    "ports": [{"id": 0, "spec": "pcap:rx=a.pcap", "rx_packets": 1000, "rx_bytes": 64000,
               "tx_packets": 990, "tx_bytes": 63360, "rx_missed": 0, "tx_dropped": 1}],
    "nfs": [{"service": "nids", "instance": 0, "compute": "gpu", "isolation": "private",
             "state": "running", "pid": 4711, "rx": 1000, "tx": 1000, "originated": 0,
             "drops": {}, "lost_in_crash": 0, "restarts": 0},
            {"service": "router", "instance": 1, "compute": "cpu", "isolation": "private",
             "state": "draining", "pid": 4712, "rx": 1000, "tx": 991, "originated": 0,
             "drops": {"no_route": 7, "ttl_expired": 2, "not_ip": 0}, "lost_in_crash": 0,
             "restarts": 0}],
    "drops": {"unrouted": 0, "too_big": 3}, "pool": {"size": 8191, "free": 8190}, "in_flight": 1,
    "gpu": {"backend": "opencl", "device": "pthread", "memory_mode": "svm-alias", "workgroups": 4},
    "routes": [{"type": "*", "current": "rx", "next": "nids"}], "audit": {"ok": true}
  })");
}

TEST(TextTable, AlignsNumbersRightAndWordsLeft) {
  TextTable table({"NAME", "N"});
  table.add_row({"a", "1"});
  table.add_row({"longer", "12345"});
  EXPECT_EQ(table.text(),
            "NAME        N\n"
            "a           1\n"
            "longer  12345\n");
}

TEST(TextTable, LeavesOutColumnsWithoutAnyValueAndMarksMissingNumbers) {
  TextTable table({"NAME", "NEVER", "N"});
  table.add_row({"a", "", "1"});
  table.add_row({"b"});
  EXPECT_EQ(table.text(), "NAME  N\na     1\nb     -\n");
}

TEST(TextTable, CountsCharactersNotBytes) {
  TextTable table({"NAME", "X"});
  table.add_row({"\u00e4\u00f6", "y"});
  EXPECT_EQ(table.text(), "NAME  X\n\u00e4\u00f6    y\n");
}

TEST(ShortNumber, KeepsThreeDigitsAcrossUnits) {
  const std::pair<double, const char*> cases[] = {
      {0, "0"},          {999, "999"},       {1000, "1.00k"},
      {9994, "9.99k"},   {9996, "10.0k"},    {99'960, "100k"},
      {999'400, "999k"}, {999'600, "1.00M"}, {14'880'952, "14.9M"},
      {3.2e11, "320G"},
  };
  for (const auto& [value, text] : cases) EXPECT_EQ(short_number(value), text) << value;
}

TEST(PortsText, ShowsRatesOnlyWithAnEarlierStatus) {
  const json before = example_status();
  json now = before;
  now["ports"][0]["rx_packets"] = 3000;
  now["ports"][0]["rx_bytes"] = 192'000;
  EXPECT_EQ(ports_text(before).find("pps"), std::string::npos);
  const EarlierStatus earlier{before, 2.0};
  const std::string text = ports_text(now, &earlier);
  EXPECT_NE(text.find("1.00k"), std::string::npos) << text;  // (3000 - 1000) / 2 s
  EXPECT_NE(text.find("512k"), std::string::npos) << text;   // 128,000 bytes * 8 / 2 s
}

TEST(PortsText, CounterThatWentBackHasNoRate) {
  const json before = example_status();
  json now = before;
  now["ports"][0]["rx_packets"] = 5;
  const EarlierStatus earlier{before, 1.0};
  const std::string text = ports_text(now, &earlier);
  EXPECT_EQ(text.find("18446744"), std::string::npos) << text;
}

TEST(NfsText, ListsDropReasonsAboveZeroBelowTheTable) {
  const std::string text = nfs_text(example_status());
  EXPECT_NE(text.find("router/1 dropped: no_route 7, ttl_expired 2\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("not_ip"), std::string::npos) << text;
  EXPECT_EQ(text.find("nids/0 dropped"), std::string::npos) << text;
}

TEST(SummaryText, NamesPoolDropsDeviceAndAudit) {
  EXPECT_EQ(summary_text(example_status()),
            "pool: 8190 of 8191 free; in flight: 1; dropped by the platform: too_big 3; "
            "gpu: pthread (opencl, svm-alias, 4 work-groups); audit: ok\n");
}

TEST(StatusLine, SumsPortsAndDrops) {
  const json before = example_status();
  EXPECT_EQ(status_line(before),
            "rx 1000 packets, tx 990 packets, dropped 13, in flight 1, 1 NFs running");
  json now = before;
  now["ports"][0]["rx_packets"] = 2000;
  const EarlierStatus earlier{before, 1.0};
  EXPECT_EQ(status_line(now, &earlier).substr(0, 38), "rx 2000 packets (1.00k pps, 0 bit/s), ");
}

TEST(AuditText, SaysWhetherEveryPacketHasItsPlace) {
  const json good = {{"ok", true}, {"placed", {{"pool", 8190}, {"ring", 1}}}, {"lost", 0}};
  EXPECT_EQ(audit_text(good).substr(0, 9), "audit: ok");
  EXPECT_NE(audit_text(good).find("pool 8190, ring 1\n"), std::string::npos) << audit_text(good);
  EXPECT_EQ(audit_text({{"ok", false}, {"lost", 2}}).substr(0, 13), "audit: FAILED");
}

// What hbctl reads comes from another process or from a file: no shape of it may end the program.
TEST(StatusText, AnyShapeOfJsonIsShownWithoutFailing) {
  const json shapes[] = {
      json(),
      json::array(),
      json::object(),
      5,
      "text",
      {{"ports", 3}, {"nfs", "x"}, {"drops", json::array()}, {"pool", 1}, {"gpu", json::array()}},
      {{"ports", {1, "a", json::object()}}, {"nfs", {1, json::object()}}, {"routes", {json()}}},
      {{"nfs", {{{"drops", {{"a", "b"}, {"c", -1}, {"d", 1.5}}}}}}, {"in_flight", -2}},
  };
  for (const json& shape : shapes) {
    const EarlierStatus earlier{shape, 1.0};
    EXPECT_FALSE(status_text(shape, &earlier).empty()) << shape;
    EXPECT_FALSE(status_line(shape, &earlier).empty()) << shape;
    EXPECT_FALSE(routes_text(shape).empty()) << shape;
    EXPECT_FALSE(gpu_text(shape).empty()) << shape;
    EXPECT_FALSE(audit_text(shape).empty()) << shape;
  }
}

}  // namespace
}  // namespace hb
