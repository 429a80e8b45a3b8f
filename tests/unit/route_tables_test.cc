#include "manager/route_tables.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "nf_lib/route_reader.h"
#include "tests/unit/small_platform.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kA = 0, kB = 1, kC = 2;

/// Services a, b, c at endpoints 10, 11, 12; ports at 1, 2, ...; types default, web.
class RouteTablesTest : public ::testing::Test {
 protected:
  RouteTablesTest() {
    for (const char* const name : {"a", "b", "c"}) add_service(name);
    EXPECT_TRUE(types_.intern("web").ok());
    inputs_.types = &types_;
    set_ports(2);
  }
  void add_service(const char* name) {
    const auto endpoint = static_cast<std::uint16_t>(10 + inputs_.services.size());
    RoutedService service{.name = name, .running = true};
    service.targets.n = 1;
    service.targets.endpoint[0] = endpoint;
    inputs_.services.push_back(service);
  }
  void set_ports(std::uint16_t n) {
    inputs_.port_endpoints.clear();
    for (std::uint16_t port = 0; port < n; ++port)
      inputs_.port_endpoints.push_back(static_cast<std::uint16_t>(1 + port));
  }
  void rule(const char* type, const char* current, const char* next) {
    config_.rules.push_back({type, current, next});
    inputs_.config = &config_;
  }
  RouteTable build() { return build_route_table(inputs_); }
  Hop hop(std::uint32_t row, std::uint8_t type = kDefaultType) { return build().next[type][row]; }
  static Hop service(std::uint32_t id) { return make_hop(HopKind::kService, id); }
  static Hop missing(std::uint32_t id) { return make_hop(HopKind::kMissing, id); }

  TypeNames types_;
  RouteConfig config_;
  RouteInputs inputs_;
  static constexpr Hop kPaired = make_hop(HopKind::kPeerPort, 0);
  static constexpr Hop kDropped = make_hop(HopKind::kDrop, 0);
  static constexpr Hop kNowhere = make_hop(HopKind::kUnrouted, 0);
};

TEST_F(RouteTablesTest, TheDefaultChainIsTheStartOrder) {
  inputs_.default_chain = {kB, kA, kC};
  EXPECT_EQ(hop(kRxRow), service(kB));
  EXPECT_EQ(hop(kB), service(kA));
  EXPECT_EQ(hop(kA), service(kC));
  EXPECT_EQ(hop(kC), kPaired);
  EXPECT_EQ(hop(kRxRow, 1), service(kB)) << "every type takes it";
}

TEST_F(RouteTablesTest, WithoutNfsPacketsGoToThePairedPort) { EXPECT_EQ(hop(kRxRow), kPaired); }

TEST_F(RouteTablesTest, ATypesOwnRuleIsPreferredToTheStar) {
  rule("*", "rx", "a");
  rule("web", "rx", "b");
  rule("*", "a", "tx:1");
  rule("*", "b", "drop");
  EXPECT_EQ(hop(kRxRow, 0), service(kA));
  EXPECT_EQ(hop(kRxRow, 1), service(kB));
  EXPECT_EQ(hop(kA, 1), make_hop(HopKind::kPort, 1));
  EXPECT_EQ(hop(kB, 0), kDropped);
}

TEST_F(RouteTablesTest, WhatNoRuleNamesIsUnrouted) {
  rule("web", "rx", "a");
  rule("web", "a", "tx");
  EXPECT_EQ(hop(kRxRow, 0), kNowhere);
  EXPECT_EQ(hop(kRxRow, 1), service(kA));
  EXPECT_EQ(hop(kB, 1), kNowhere);
  EXPECT_EQ(build().next[kMaxTypes - 1][kRxRow], kNowhere) << "a type that nobody has named";
}

TEST_F(RouteTablesTest, PacketsForAMissingNfAreDroppedForIt) {
  rule("*", "rx", "a");
  rule("*", "a", "b");
  rule("*", "b", "tx");
  inputs_.services[kB].running = false;
  EXPECT_EQ(hop(kRxRow), service(kA));
  EXPECT_EQ(hop(kA), missing(kB));
  EXPECT_EQ(build().targets[kB].n, 0);
  EXPECT_EQ(build().targets[kA].n, 1);
}

TEST_F(RouteTablesTest, SkippingGoesOnWhereTheMissingNfsWouldHave) {
  rule("*", "rx", "a");
  rule("*", "a", "b");
  rule("*", "b", "c");
  rule("web", "b", "tx:0");
  rule("*", "c", "drop");
  inputs_.missing = MissingNf::kSkip;
  inputs_.services[kA].running = inputs_.services[kB].running = false;
  EXPECT_EQ(hop(kRxRow, 0), service(kC));
  EXPECT_EQ(hop(kRxRow, 1), make_hop(HopKind::kPort, 0)) << "by the type's own rule";
  inputs_.services[kC].running = false;
  EXPECT_EQ(hop(kRxRow, 0), kDropped);
}

TEST_F(RouteTablesTest, SkippingAMissingNfWithoutARuleLeadsNowhere) {
  rule("*", "rx", "a");
  inputs_.missing = MissingNf::kSkip;
  inputs_.services[kA].running = false;
  EXPECT_EQ(hop(kRxRow), kNowhere);
}

TEST_F(RouteTablesTest, ACircleOfMissingNfsLeadsNowhere) {
  rule("*", "rx", "a");
  rule("*", "a", "b");
  rule("*", "b", "a");
  rule("*", "c", "c");
  inputs_.missing = MissingNf::kSkip;
  for (RoutedService& routed : inputs_.services) routed.running = false;
  EXPECT_EQ(hop(kRxRow), kNowhere);
  EXPECT_EQ(hop(kC), kNowhere);
}

TEST_F(RouteTablesTest, TheLongestChainOfMissingNfsIsSkipped) {
  inputs_.services.clear();
  std::vector<std::string> names;
  for (std::uint32_t i = 0; i < kMaxServices; ++i) names.push_back("s" + std::to_string(i));
  for (const std::string& name : names) add_service(name.c_str());
  rule("*", "rx", "s0");
  for (std::uint32_t i = 0; i + 1 < kMaxServices; ++i)
    rule("*", names[i].c_str(), names[i + 1].c_str());
  rule("*", names.back().c_str(), "tx:1");
  for (RoutedService& routed : inputs_.services) routed.running = false;
  inputs_.missing = MissingNf::kSkip;
  EXPECT_EQ(hop(kRxRow), make_hop(HopKind::kPort, 1));
}

TEST_F(RouteTablesTest, PortsAreTheirOwnPartnersWhenAlone) {
  EXPECT_EQ(paired_port(0, 1), 0u);
  EXPECT_EQ(paired_port(0, 2), 1u);
  EXPECT_EQ(paired_port(1, 2), 0u);
  EXPECT_EQ(paired_port(2, 3), 2u);
  EXPECT_EQ(paired_port(3, 4), 2u);
  set_ports(3);
  const RouteTable table = build();
  EXPECT_EQ(table.peer_port[0], 1);
  EXPECT_EQ(table.peer_port[2], 2);
  EXPECT_EQ(table.port_endpoint[2], 3);
  EXPECT_EQ(table.port_endpoint[3], kReclaimer.value);
}

TEST_F(RouteTablesTest, PublishingKeepsTheTableBefore) {
  const auto tables = std::make_unique<RouteTables>();
  rule("*", "rx", "a");
  publish_routes(*tables, next_version(tables->current), build());
  EXPECT_EQ(tables->current.load(), 1u);
  config_.rules[0].next = "b";
  publish_routes(*tables, next_version(tables->current), build());
  EXPECT_EQ(tables->current.load(), 2u);
  EXPECT_EQ(tables->table[1].next[0][kRxRow], service(kA));
  EXPECT_EQ(tables->table[0].next[0][kRxRow], service(kB));
}

/// The same tables as an NF or an RX thread reads them.
class RouteReaderTest : public RouteTablesTest {
 protected:
  RouteReaderTest() { registry_->n_ports = 2; }
  Destination resolve(std::uint32_t row, Verdict verdict) {
    publish_routes(*tables_, next_version(tables_->current), build());
    packet_meta(packet()).route_version = static_cast<std::uint8_t>(tables_->current.load());
    return RouteReader(tables_.get(), registry_.get(), row).resolve(packet(), verdict);
  }
  rte_mbuf* packet() { return world_.packet(0); }
  void expect_dropped(Destination to, DropReason reason, std::uint32_t by) {
    EXPECT_EQ(to, kReclaimer.value);
    EXPECT_EQ(packet_meta(packet()).drop_reason, static_cast<std::uint8_t>(reason));
    EXPECT_EQ(packet_meta(packet()).drop_service, by);
  }

  SmallPlatform world_;  // for packets and where their metadata is
  std::unique_ptr<Registry> registry_ = std::make_unique<Registry>();
  std::unique_ptr<RouteTables> tables_ = std::make_unique<RouteTables>();
};

TEST_F(RouteReaderTest, NextIsTheEndpointOfTheRulesService) {
  rule("*", "rx", "a");
  rule("web", "rx", "c");
  EXPECT_EQ(resolve(kRxRow, Verdict::next()), 10);
  packet_meta(packet()).type = 1;
  EXPECT_EQ(resolve(kRxRow, Verdict::next()), 12);
}

TEST_F(RouteReaderTest, TheTypeOfAPacketIsCheckedBeforeItIsUsed) {
  rule("*", "rx", "a");
  packet_meta(packet()).type = 255;
  EXPECT_EQ(resolve(kRxRow, Verdict::next()), 10);
}

TEST_F(RouteReaderTest, TxIsThePortPairedWithTheInputPort) {
  rule("*", "a", "tx");
  packet()->port = 0;
  EXPECT_EQ(resolve(kA, Verdict::next()), 2);
  packet()->port = 1;
  EXPECT_EQ(resolve(kA, Verdict::next()), 1);
  packet()->port = 0xffff;  // as a wild write leaves it
  EXPECT_EQ(resolve(kA, Verdict::next()), kReclaimer.value);
}

TEST_F(RouteReaderTest, APortThatAnNfChoseReplacesTheRoutesPortOnly) {
  rule("*", "a", "tx:0");
  rule("*", "b", "tx");
  rule("*", "c", "a");
  set_out_port(packet_meta(packet()), 1);
  packet()->port = 1;
  EXPECT_EQ(resolve(kA, Verdict::next()), 2);
  EXPECT_EQ(resolve(kB, Verdict::next()), 2);
  EXPECT_EQ(resolve(kC, Verdict::next()), 10) << "the chain goes on first";
  EXPECT_EQ(resolve(kA, Verdict::to_port(0)), 1) << "a verdict is final";
  for (const std::uint32_t bad : {2u, 65'534u}) {
    set_out_port(packet_meta(packet()), bad);
    EXPECT_EQ(resolve(kA, Verdict::next()), 1) << "no such port: by the route";
  }
}

TEST_F(RouteReaderTest, NamedServicesAndPortsPassByTheRules) {
  rule("*", "a", "drop");
  EXPECT_EQ(resolve(kA, Verdict::to_service(ServiceId(kC))), 12);
  EXPECT_EQ(resolve(kA, Verdict::to_port(1)), 2);
  expect_dropped(resolve(kA, Verdict::to_port(2)), DropReason::kBadVerdict, kA);
  expect_dropped(resolve(kA, Verdict::to_service(ServiceId(kMaxServices))), DropReason::kBadVerdict,
                 kA);
  inputs_.services[kC].running = false;
  expect_dropped(resolve(kA, Verdict::to_service(ServiceId(kC))), DropReason::kMissingNf, kC);
}

TEST_F(RouteReaderTest, DropsSayWhyAndForWhom) {
  rule("*", "a", "drop");
  rule("*", "b", "c");
  inputs_.services[kC].running = false;
  expect_dropped(resolve(kA, Verdict::next()), DropReason::kRouteDrop, kA);
  expect_dropped(resolve(kB, Verdict::next()), DropReason::kMissingNf, kC);
  expect_dropped(resolve(kRxRow, Verdict::next()), DropReason::kUnrouted, kRxRow);
  expect_dropped(resolve(kA, Verdict(9, 0)), DropReason::kBadVerdict, kA);
}

TEST_F(RouteReaderTest, AnOldPacketIsJudgedByTheTableOfItsVersion) {
  rule("*", "rx", "a");
  EXPECT_EQ(resolve(kRxRow, Verdict::next()), 10);
  config_.rules[0].next = "b";
  publish_routes(*tables_, next_version(tables_->current), build());
  const RouteReader reader(tables_.get(), registry_.get(), kRxRow);
  EXPECT_EQ(reader.resolve(packet(), Verdict::next()), 10);
  packet_meta(packet()).route_version = static_cast<std::uint8_t>(reader.current_version());
  EXPECT_EQ(reader.resolve(packet(), Verdict::next()), 11);
}

TEST_F(RouteReaderTest, FlowsAreSpreadOverInstancesAndStayTogether) {
  ServiceTargets& targets = inputs_.services[kA].targets;
  targets.n = 3;
  for (std::uint16_t i = 0; i < 3; ++i) targets.endpoint[i] = static_cast<std::uint16_t>(20 + i);
  std::array<int, 3> n{};
  for (std::uint32_t hash = 0; hash < 300; ++hash) {
    packet_meta(packet()).flow_hash = hash;
    const Destination to = resolve(kB, Verdict::to_service(ServiceId(kA)));
    ASSERT_TRUE(to >= 20 && to < 23);
    ASSERT_EQ(to, resolve(kB, Verdict::to_service(ServiceId(kA))));
    ++n[to - 20u];
  }
  for (const int of_one : n) EXPECT_EQ(of_one, 100);
  targets.choice = InstanceChoice::kSingle;
  EXPECT_EQ(resolve(kB, Verdict::to_service(ServiceId(kA))), 20);
}

TEST_F(RouteReaderTest, AnOwnKeyDecidesWhereThePacketHasOne) {
  ServiceTargets& targets = inputs_.services[kA].targets;
  targets.n = 2;
  targets.endpoint[1] = 30;
  targets.choice = InstanceChoice::kOwnKey;
  targets.key_offset = 60;
  targets.key_bytes = 4;
  std::array<int, 2> n{};
  for (std::uint32_t key = 0; key < 200; ++key) {
    std::memcpy(rte_pktmbuf_mtod_offset(packet(), void*, 60), &key, sizeof(key));
    packet_meta(packet()).flow_hash = 0;
    const Destination to = resolve(kB, Verdict::to_service(ServiceId(kA)));
    packet_meta(packet()).flow_hash = 1;
    ASSERT_EQ(to, resolve(kB, Verdict::to_service(ServiceId(kA)))) << "the flow does not matter";
    ++n[to == 30];
  }
  EXPECT_GT(n[0], 50);
  EXPECT_GT(n[1], 50);
  packet()->data_len = 63;  // too short for the key: by flow
  EXPECT_EQ(resolve(kB, Verdict::to_service(ServiceId(kA))), 30);
}

}  // namespace
}  // namespace hb::test
