#include "manager/classifier.h"

#include <fmt/format.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include <algorithm>
#include <array>
#include <set>

#include "manager/flow_hash.h"
#include "manager/flow_memory.h"
#include "tests/unit/eal_fixture.h"
#include "tests/unit/flow_world.h"

namespace hb {
namespace {

using test::Address;
using test::address_of;
using test::build;
using test::Frame;
using test::Known;
using test::Shape;
using test::TestPacket;
using test::World;

bool prefix_matches(const IpPrefix& prefix, unsigned ip_version, const Address& address) {
  if (prefix.any()) return true;
  if (prefix.version != ip_version) return false;
  for (unsigned bit = 0; bit < prefix.length; ++bit) {
    const unsigned difference = prefix.bytes[bit / 8] ^ address[bit / 8];
    if ((difference >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

/// The reference: every rule in turn, every field by its definition.
std::string first_match(const FlowConfig& config, const Known& packet) {
  for (const FlowRule& rule : config.rules) {
    if (rule.matches_all()) return rule.type;
    if (packet.ip_version == 0) continue;
    const auto port_matches = [&packet](const L4PortRange& range, unsigned port) {
      return range.any || (packet.has_ports && range.low <= port && port <= range.high);
    };
    if (prefix_matches(rule.src, packet.ip_version, packet.src) &&
        prefix_matches(rule.dst, packet.ip_version, packet.dst) &&
        port_matches(rule.src_ports, packet.src_port) &&
        port_matches(rule.dst_ports, packet.dst_port) &&
        (rule.any_protocol || rule.protocol == packet.protocol))
      return rule.type;
  }
  return "default";
}

class ClassifierTest : public test::EalTest {
 protected:
  void SetUp() override { pool_ = test::make_pool(127); }

  /// Classifies the packets in one burst and compares with the reference.
  void check(const Classifier& classifier, const TypeNames& names, const FlowConfig& config,
             const std::vector<TestPacket>& packets) {
    std::vector<test::MbufPtr> owners;
    std::vector<rte_mbuf*> burst;
    for (const TestPacket& packet : packets) {
      owners.push_back(test::make_mbuf(pool_.get(), packet.frame));
      burst.push_back(owners.back().get());
    }
    std::vector<std::uint8_t> types(burst.size(), 0xff);
    std::vector<std::uint8_t> types_too(burst.size(), 0xff);
    std::vector<std::uint32_t> hashes(burst.size());
    classifier.classify_burst(burst, types);
    classifier.classify_burst(burst, types_too, hashes);
    std::vector<std::uint32_t> hashes_too(burst.size());
    flow_hash_burst(burst, hashes_too.data());
    EXPECT_EQ(hashes, hashes_too);
    EXPECT_EQ(types, types_too);
    for (std::size_t i = 0; i < packets.size(); ++i) {
      ASSERT_EQ(names.name(types[i]), first_match(config, packets[i].known)) << "packet " << i;
      n_matched_ += types[i] != kDefaultType;
      ASSERT_EQ(hashes[i], flow_hash(packets[i].frame, decode_packet(packets[i].frame)));
    }
  }

  static FlowConfig flows(const std::string& text) {
    const Result<CsvFile> file = parse_csv("flows", text);
    const Result<FlowConfig> config = parse_flow_config(*file);
    EXPECT_TRUE(config.ok()) << config.error().line();
    return *config;
  }

  std::string type_of(const std::string& rules, const TestPacket& packet) {
    TypeNames names;
    const auto classifier = Classifier::build(flows(rules), names, SOCKET_ID_ANY);
    EXPECT_TRUE(classifier.ok()) << classifier.error().line();
    const test::MbufPtr mbuf = test::make_mbuf(pool_.get(), packet.frame);
    rte_mbuf* const burst[] = {mbuf.get()};
    std::uint8_t types[] = {0xff};
    (*classifier)->classify_burst(burst, types);
    return names.name(types[0]);
  }

  test::PoolPtr pool_;
  unsigned n_matched_ = 0;  ///< packets that check() saw match some rule
};

TestPacket ipv4(Shape shape, unsigned src_port = 5000, unsigned dst_port = 80) {
  return build(shape, 4, address_of("10.0.0.1"), address_of("10.0.0.2"), src_port, dst_port, 0);
}

TEST_F(ClassifierTest, EqualsAFirstMatchScan) {
  World world(2022);
  for (int trial = 0; trial < 60; ++trial) {
    SCOPED_TRACE(trial);
    const FlowConfig config = flows(world.rules(1 + world.below(80)));
    TypeNames names;
    const auto classifier = Classifier::build(config, names, SOCKET_ID_ANY);
    ASSERT_TRUE(classifier.ok()) << classifier.error().line();
    for (int burst = 0; burst < 12; ++burst) {
      std::vector<TestPacket> packets(1 + world.below(kMaxBurst));
      std::generate(packets.begin(), packets.end(), [&world] { return world.packet(); });
      ASSERT_NO_FATAL_FAILURE(check(**classifier, names, config, packets));
    }
  }
  EXPECT_GT(n_matched_, 10'000u) << "else the world is too large to test anything";
}

TEST_F(ClassifierTest, TheFirstOfSeveralMatchesWins) {
  EXPECT_EQ(type_of("a,10.0.0.0/8,*,*,*,*\nb,10.0.0.1,*,*,80,tcp", ipv4(Shape::kTcp)), "a");
  EXPECT_EQ(type_of("b,10.0.0.1,*,*,80,tcp\na,10.0.0.0/8,*,*,*,*", ipv4(Shape::kTcp)), "b");
}

TEST_F(ClassifierTest, PortsMatchOnlyPacketsThatHaveThem) {
  const std::string rules = "ports,*,*,*,0-65535,*\nudp,*,*,*,*,udp\n";
  EXPECT_EQ(type_of(rules, ipv4(Shape::kUdp, 0, 0)), "ports");
  EXPECT_EQ(type_of(rules, ipv4(Shape::kFragment)), "udp");
  EXPECT_EQ(type_of(rules, ipv4(Shape::kFirstFragment)), "udp") << "as its other fragments";
  EXPECT_EQ(type_of(rules, ipv4(Shape::kIcmp)), "default");
  EXPECT_EQ(type_of(rules, ipv4(Shape::kOther)), "default");
  EXPECT_EQ(type_of(rules, ipv4(Shape::kCutL4)), "default");
}

TEST_F(ClassifierTest, OnlyStarsMatchWhatIsNotIp) {
  const std::string rules = "v4,0.0.0.0/0,*,*,*,*\nv6,*,*,::/0,*,*\nrest,*,*,*,*,*\nlate,*,*,*,*,*";
  EXPECT_EQ(type_of(rules, ipv4(Shape::kArp)), "rest");
  EXPECT_EQ(type_of(rules, ipv4(Shape::kCutIp)), "rest");
  EXPECT_EQ(type_of(rules, TestPacket{.frame = {1, 2, 3}, .known = {}}), "rest");
  EXPECT_EQ(type_of(rules, TestPacket{}), "rest");
  EXPECT_EQ(type_of(rules, ipv4(Shape::kTcp)), "v4");
  EXPECT_EQ(type_of("v4,0.0.0.0/0,*,*,*,*", ipv4(Shape::kArp)), "default");
}

TEST_F(ClassifierTest, NoRulesMeansTheDefaultType) {
  for (Shape shape : {Shape::kTcp, Shape::kArp}) EXPECT_EQ(type_of("", ipv4(shape)), "default");
}

TEST_F(ClassifierTest, TakesAsManyRulesAsAFileMayHave) {
  std::string text;
  for (std::size_t i = 0; i < kMaxFlowRules; ++i)
    text +=
        fmt::format("t{},10.{}.{}.0/24,*,10.0.0.0/8,{},tcp\n", i % 63, i >> 8, i & 255, i % 60000);
  const FlowConfig config = flows(text);
  std::vector<TestPacket> packets;
  for (unsigned i = 0; i < kMaxBurst; ++i) {
    Address src = address_of("10.0.0.9");
    src[1] = static_cast<std::uint8_t>(i);
    src[2] = static_cast<std::uint8_t>(i * 5);
    packets.push_back(
        build(Shape::kTcp, 4, src, address_of("10.9.9.9"), 1, i << 8 | (i * 5 & 255), 0));
  }
  TypeNames names;
  const auto classifier = Classifier::build(config, names, SOCKET_ID_ANY);
  ASSERT_TRUE(classifier.ok()) << classifier.error().line();
  check(**classifier, names, config, packets);
}

TEST_F(ClassifierTest, TooManyTypesAreAnErrorWithItsLine) {
  std::string text;
  for (unsigned i = 0; i < 64; ++i) text += fmt::format("t{},*,*,*,*,tcp\n", i);
  TypeNames names;
  const auto classifier = Classifier::build(flows(text), names, SOCKET_ID_ANY);
  ASSERT_FALSE(classifier.ok());
  EXPECT_EQ(classifier.error().what, "flows:64: packet type 't63' is one too many");
}

/// What EAL's heaps have given away: all NUMA nodes' together, without the external ones.
std::size_t default_heap_bytes() {
  std::size_t bytes = 0;
  for (unsigned i = 0; i < rte_socket_count(); ++i) {
    rte_malloc_socket_stats stats{};
    EXPECT_EQ(rte_malloc_get_socket_stats(rte_socket_id_by_idx(i), &stats), 0);
    bytes += stats.heap_allocsz_bytes + stats.alloc_count;
  }
  return bytes;
}

TEST_F(ClassifierTest, RulesAreReplacedWithoutAnyOfTheDefaultHeap) {
  const auto memory = FlowMemory::create(std::size_t{48} << 20);
  ASSERT_TRUE(memory.ok()) << memory.error().line();
  std::array<std::unique_ptr<Classifier>, 2> sets;
  for (auto& set : sets) {
    auto made = Classifier::create((*memory)->socket_id(), kMaxFlowRules);
    ASSERT_TRUE(made.ok()) << made.error().line();
    set = std::move(*made);
  }
  World world(11);
  TypeNames names;
  const std::size_t before = default_heap_bytes();
  for (unsigned round = 0; round < 40; ++round) {
    const FlowConfig config = flows(world.rules(round % 5 == 4 ? 0 : 1 + round));
    ASSERT_TRUE(names.intern_all(&config, nullptr).ok());
    Classifier& classifier = *sets[round % 2];
    const Result<void> compiled = classifier.compile(config, names);
    ASSERT_TRUE(compiled.ok()) << compiled.error().line();
    ASSERT_EQ(default_heap_bytes(), before) << "round " << round;
    std::vector<TestPacket> packets;
    for (unsigned i = 0; i < kMaxBurst; ++i) packets.push_back(world.packet());
    check(classifier, names, config, packets);
  }
  // Rules that do not fit are refused, in bounded memory; the other set is none the worse for it.
  const FlowConfig good = flows(world.rules(20));
  ASSERT_TRUE(names.intern_all(&good, nullptr).ok());
  ASSERT_TRUE(sets[0]->compile(good, names).ok());
  FlowConfig many = good;
  while (many.rules.size() <= kMaxFlowRules) many.rules.push_back(many.rules.front());
  EXPECT_FALSE(sets[1]->compile(many, names).ok());
  EXPECT_EQ(default_heap_bytes(), before);
  std::vector<TestPacket> packets;
  for (unsigned i = 0; i < kMaxBurst; ++i) packets.push_back(world.packet());
  check(*sets[0], names, good, packets);
}

TEST(TypeNames, KeepsIdsAndKnowsOnlyWhatWasNamed) {
  TypeNames names;
  EXPECT_EQ(*names.find("default"), kDefaultType);
  EXPECT_EQ(*names.intern("web"), 1);
  EXPECT_EQ(*names.intern("dns"), 2);
  EXPECT_EQ(*names.intern("web"), 1);
  EXPECT_EQ(*names.intern("default"), 0);
  EXPECT_EQ(names.size(), 3u);
  EXPECT_EQ(names.name(2), "dns");
  EXPECT_EQ(names.name(3), "?");
  EXPECT_FALSE(names.find("ftp").has_value());
  RouteConfig routes;
  routes.types = {"dns", "voip"};
  EXPECT_TRUE(names.intern_all(nullptr, &routes).ok());
  EXPECT_EQ(*names.find("voip"), 3);
}

std::uint32_t hash_of(const Frame& frame) { return flow_hash(frame, decode_packet(frame)); }

TEST(FlowHash, BothDirectionsAreEqual) {
  World world(7);
  for (int trial = 0; trial < 20'000; ++trial) {
    const unsigned ip_version = world.below(2) == 0 ? 4 : 6;
    const auto shape = static_cast<Shape>(world.below(static_cast<unsigned>(Shape::kCutIp)));
    const Address a = world.address(ip_version);
    const Address b = world.address(ip_version);
    const unsigned a_port = world.port();
    const unsigned b_port = world.port();
    const Frame there = build(shape, ip_version, a, b, a_port, b_port, world.below(3)).frame;
    const Frame back = build(shape, ip_version, b, a, b_port, a_port, world.below(3)).frame;
    ASSERT_EQ(hash_of(there), hash_of(back)) << "trial " << trial;
  }
}

/// Packets with a few bytes that were not meant to be there, and cut anywhere.
TEST_F(ClassifierTest, ABurstIsHashedAsItsPacketsAre) {
  World world(1805);
  for (int trial = 0; trial < 100'000; ++trial) {
    TestPacket packet = world.packet();
    if (world.below(2) == 0)  // in its headers
      packet.frame[12 + world.below(static_cast<unsigned>(packet.frame.size()) - 12)] =
          static_cast<std::uint8_t>(world.below(256));
    if (world.below(4) == 0)
      packet.frame.resize(world.below(static_cast<unsigned>(packet.frame.size()) + 1));
    const test::MbufPtr mbuf = test::make_mbuf(pool_.get(), packet.frame);
    rte_mbuf* const burst[] = {mbuf.get()};
    std::uint32_t hash = 0;
    flow_hash_burst(burst, &hash);
    ASSERT_EQ(hash, flow_hash(packet.frame, decode_packet(packet.frame))) << "trial " << trial;
  }
}

TEST(FlowHash, AllFragmentsOfADatagramAreEqual) {
  for (const char* text : {"10.0.0.1", "2001:db8::1"}) {
    const unsigned ip_version = std::strchr(text, ':') != nullptr ? 6 : 4;
    const Address src = address_of(text);
    // The first has ports where the others have payload.
    EXPECT_EQ(hash_of(build(Shape::kFirstFragment, ip_version, src, Address{}, 1, 2, 0).frame),
              hash_of(build(Shape::kFragment, ip_version, src, Address{}, 3, 4, 0).frame));
  }
}

TEST(FlowHash, PacketsThatAreNotIpHashOverTheirMacPair) {
  Frame frame = ipv4(Shape::kArp).frame;
  frame[0] = 0x0a;
  Frame back = frame;
  std::swap_ranges(back.begin(), back.begin() + 6, back.begin() + 6);
  EXPECT_EQ(hash_of(frame), hash_of(back));
  Frame payload = frame;
  payload.back() ^= 1;
  EXPECT_EQ(hash_of(frame), hash_of(payload));
  Frame other = frame;
  other[5] ^= 1;
  EXPECT_NE(hash_of(frame), hash_of(other));
  EXPECT_EQ(hash_of({}), hash_of({1, 2, 3})) << "too short for addresses";
}

TEST(FlowHash, SpreadsNeighbouringFlowsEvenly) {
  // Any 8 bits of the hash, over flows that differ in a few low bits only.
  constexpr unsigned kFlows = 1u << 16;
  std::array<std::array<unsigned, 256>, 4> counts{};
  std::set<std::uint32_t> distinct;
  for (unsigned i = 0; i < kFlows; ++i) {
    Address src = address_of("10.0.0.0");
    src[3] = static_cast<std::uint8_t>(i >> 8);
    const std::uint32_t hash =
        hash_of(build(Shape::kUdp, 4, src, address_of("10.0.0.1"), 1024 + (i & 255), 53, 0).frame);
    distinct.insert(hash);
    for (unsigned byte = 0; byte < 4; ++byte) ++counts[byte][hash >> (8 * byte) & 255];
  }
  EXPECT_GE(distinct.size(), kFlows - 4);  // 0.5 collisions are expected of a random function
  for (const auto& bytes : counts) {
    // 256 in each bucket on average, standard deviation 16: six of them on both sides.
    EXPECT_GT(*std::min_element(bytes.begin(), bytes.end()), 160u);
    EXPECT_LT(*std::max_element(bytes.begin(), bytes.end()), 352u);
  }
}

}  // namespace
}  // namespace hb
