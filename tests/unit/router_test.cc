#include "nfs/router/router.h"

#include <arpa/inet.h>
#include <rte_ip.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <random>

#include "nf_lib/limits.h"
#include "tests/unit/eal_fixture.h"
#include "tests/unit/frame_builder.h"

namespace hb::router {
namespace {

using Frame = std::vector<std::uint8_t>;

constexpr MacAddress kPortMac0 = {0x02, 0xaa, 0, 0, 0, 0};
constexpr MacAddress kPortMac1 = {0x02, 0xaa, 0, 0, 0, 1};
constexpr MacAddress kHop = {0x02, 0xbb, 0, 0, 0, 7};

std::string error_of(std::string_view text, std::uint32_t n_ports = 2) {
  const Result<std::vector<Route>> routes = parse_routes("r", text, n_ports);
  if (routes) return "no error";
  EXPECT_FALSE(routes.error().fix.empty()) << text;
  return routes.error().what;
}

TEST(RouteFile, ReadsPrefixesPortsAndNextHops) {
  const auto routes = parse_routes(
      "r",
      "# table\n\n 10.1.0.0/16 , 1, 02:BB:00:00:00:07 # lab\r\n0.0.0.0/0,0,02:bb:0A:00:00:07\n"
      "192.0.2.1,0,02:bb:00:00:00:07",
      2);
  ASSERT_TRUE(routes.ok()) << routes.error().line();
  ASSERT_EQ(routes->size(), 3u);
  const Route& first = routes->at(0);
  EXPECT_EQ(first.prefix, 0x0a010000u);
  EXPECT_EQ(first.length, 16);
  EXPECT_EQ(first.port, 1);
  EXPECT_EQ(first.next_hop, kHop);
  EXPECT_EQ(first.line, 3);
  EXPECT_EQ(routes->at(1).length, 0);
  EXPECT_EQ(routes->at(2).length, 32);
}

TEST(RouteFile, ErrorsNameTheLine) {
  const std::string mac = "02:00:00:00:00:01";
  EXPECT_EQ(error_of("\n10.0.0.0/8, 1"), "r:2: not three fields");
  EXPECT_EQ(error_of("10.0.0.0/8,1," + mac + ","), "r:1: not three fields");
  for (const std::string bad : {"", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/", "::/0", "10.0.0.0/x"})
    EXPECT_EQ(error_of(bad + ",1," + mac), "r:1: '" + bad + "' is no IPv4 prefix");
  EXPECT_EQ(error_of("10.0.0.1/8,1," + mac), "r:1: '10.0.0.1/8' has bits set past its length");
  EXPECT_EQ(error_of("1.0.0.0/0,1," + mac), "r:1: '1.0.0.0/0' has bits set past its length");
  for (const std::string bad : {"", "x", "-1", "1x", "256"})
    EXPECT_EQ(error_of("10.0.0.0/8," + bad + "," + mac), "r:1: '" + bad + "' is no port");
  EXPECT_EQ(error_of("10.0.0.0/8,2," + mac), "r:1: there is no port 2");
  for (const std::string bad : {"", "02:00:00:00:00", "02-00-00-00-00-01", "02:00:00:00:00:0g",
                                "02:00:00:00:00:01:02", "2:0:0:0:0:1", "02:00:00:00:00:+1"})
    EXPECT_EQ(error_of("10.0.0.0/8,1," + bad), "r:1: '" + bad + "' is no MAC address");
  for (const std::string bad : {"01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"})
    EXPECT_EQ(error_of("10.0.0.0/8,1," + bad), "r:1: '" + bad + "' can't be a next hop's address");
  EXPECT_EQ(error_of("10.0.0.0/8,1," + mac + "\n10.0.0.0/9,1," + mac + "\n10.0.0.0/8,0," + mac),
            "r:3: a second route for the prefix of line 1");
  EXPECT_EQ(error_of("# none\n"), "r: no route");
}

TEST(RouteFile, IsReadFromDisk) {
  EXPECT_EQ(read_route_file("/nonexistent", 1).error().what,
            "cannot read '/nonexistent': No such file or directory");
  EXPECT_EQ(read_route_file("/", 1).error().what, "cannot read '/': Is a directory");
  const std::string path = testing::TempDir() + "hb_routes_" + std::to_string(getpid());
  std::ofstream(path) << "10.0.0.0/8, 0, 02:00:00:00:00:01\n";
  EXPECT_TRUE(read_route_file(path, 1).ok());
  unlink(path.c_str());
}

class FibTest : public test::EalTest {};

/// The reference: each prefix length in turn, from the longest.
std::optional<NextHop> longest_match(const std::map<std::pair<int, std::uint32_t>, NextHop>& routes,
                                     std::uint32_t address) {
  for (int length = 32; length >= 0; --length) {
    const std::uint32_t mask = length == 0 ? 0 : ~0u << (32 - length);
    const auto found = routes.find({length, address & mask});
    if (found != routes.end()) return found->second;
  }
  return std::nullopt;
}

TEST_F(FibTest, EqualsALinearLongestPrefixMatch) {
  std::mt19937 rng(24'8);
  for (int trial = 0; trial < 6; ++trial) {
    std::vector<Route> routes;
    std::map<std::pair<int, std::uint32_t>, NextHop> reference;
    // All in 10.0.0.0/14, so that prefixes nest; odd trials have a default route too.
    for (int i = 0; i < 3000; ++i) {
      Route route;
      route.length = static_cast<std::uint8_t>(i == 0 && trial % 2 == 1 ? 0 : 1 + rng() % 32);
      const std::uint32_t mask = route.length == 0 ? 0 : ~0u << (32 - route.length);
      route.prefix = (0x0a000000 | (rng() & 0x3ffff)) & mask;
      route.port = static_cast<std::uint8_t>(rng() % 4);
      route.next_hop = {2, 0, 0, 0, 0, static_cast<std::uint8_t>(rng() % 200)};
      const NextHop hop{.port = route.port, .mac = route.next_hop};
      if (reference.try_emplace({route.length, route.prefix}, hop).second) routes.push_back(route);
    }
    const Result<Fib> fib = Fib::build(routes);
    ASSERT_TRUE(fib.ok()) << fib.error().line();
    EXPECT_LE(fib->next_hops().size(), 800u);
    for (int burst = 0; burst < 200; ++burst) {
      std::vector<std::uint32_t> addresses(1 + rng() % kMaxBurst);
      for (std::uint32_t& address : addresses)
        address = rng() % 8 == 0 ? rng() : 0x0a000000 | (rng() & 0x7ffff);
      std::vector<std::uint32_t> hops(addresses.size());
      fib->lookup_burst(addresses, hops);
      for (std::size_t i = 0; i < addresses.size(); ++i) {
        const std::optional<NextHop> expected = longest_match(reference, addresses[i]);
        ASSERT_EQ(hops[i] != Fib::kNoRoute, expected.has_value()) << std::hex << addresses[i];
        if (!expected) continue;
        ASSERT_EQ(fib->next_hop(hops[i]), *expected) << std::hex << addresses[i];
      }
    }
  }
}

class RouterTest : public test::EalTest {
 protected:
  void SetUp() override {
    pool_ = test::make_pool(127);
    make_router("192.168.0.0/16, 1, 02:bb:00:00:00:07");
  }

  void make_router(const std::string& table) {
    const Result<std::vector<Route>> routes = parse_routes("r", table, 2);
    ASSERT_TRUE(routes.ok()) << routes.error().line();
    router_.reset();  // gives its table's name free
    Result<Fib> fib = Fib::build(*routes);
    ASSERT_TRUE(fib.ok()) << fib.error().line();
    router_.emplace(*std::move(fib), std::vector<MacAddress>{kPortMac0, kPortMac1});
  }

  /// Routes one frame; it is changed as the packet was.
  Verdict route(Frame& frame) {
    const test::MbufPtr mbuf = test::make_mbuf(pool_.get(), frame);
    rte_mbuf* const burst[] = {mbuf.get()};
    Verdict verdicts[] = {Verdict::hold()};
    router_->process_burst(burst, verdicts);
    EXPECT_EQ(rte_pktmbuf_data_len(mbuf.get()), frame.size());
    std::copy_n(rte_pktmbuf_mtod(mbuf.get(), std::uint8_t*), frame.size(), frame.begin());
    return verdicts[0];
  }

  test::PoolPtr pool_;
  std::optional<Router> router_;
};

constexpr Verdict drop(Drop reason) { return Verdict::drop(static_cast<std::uint32_t>(reason)); }

/// The IPv4 checksum, by DPDK; the header's options count.
std::uint16_t right_checksum(Frame frame, std::size_t ip) {
  auto* const header = reinterpret_cast<rte_ipv4_hdr*>(frame.data() + ip);
  header->hdr_checksum = 0;
  return rte_ipv4_cksum(header);
}

void set_checksum(Frame& frame, std::size_t ip) {
  const std::uint16_t checksum = right_checksum(frame, ip);
  std::memcpy(frame.data() + ip + 10, &checksum, sizeof(checksum));
}

/// A UDP packet to 192.168.1.2 with a right checksum.
Frame packet(unsigned n_vlans = 0, unsigned option_bytes = 0) {
  test::FrameBuilder builder;
  for (unsigned i = 0; i < n_vlans; ++i) builder.vlan(0x8100, 5);
  Frame frame = builder.ipv4(17, option_bytes).udp(1, 2).text("payload").done();
  set_checksum(frame, 14 + 4 * n_vlans);
  return frame;
}

TEST_F(RouterTest, RewritesAddressesTtlAndChecksumOnly) {
  for (const unsigned n_vlans : {0u, 1u, 2u}) {
    for (const unsigned option_bytes : {0u, 4u, 40u}) {
      SCOPED_TRACE(std::to_string(n_vlans) + " tags, options " + std::to_string(option_bytes));
      const std::size_t ip = 14 + 4 * n_vlans;
      Frame frame = packet(n_vlans, option_bytes);
      Frame expected = frame;
      std::ranges::copy(kHop, expected.begin());
      std::ranges::copy(kPortMac1, expected.begin() + 6);
      --expected[ip + 8];
      set_checksum(expected, ip);
      EXPECT_EQ(route(frame), Verdict::to_port(1));
      EXPECT_EQ(frame, expected);
    }
  }
}

TEST_F(RouterTest, PatchedChecksumEqualsDpdkRecompute) {
  std::mt19937 rng(1624);
  make_router("0.0.0.0/0, 0, 02:bb:00:00:00:07");
  for (int trial = 0; trial < 50'000; ++trial) {
    Frame frame = packet(0, rng() % 3 * 4);
    for (const std::size_t at : {1, 4, 5, 6, 7, 9, 12, 13, 14, 15, 16, 17, 18, 19})
      frame[14 + at] = static_cast<std::uint8_t>(rng());
    frame[14 + 8] = static_cast<std::uint8_t>(2 + rng() % 254);
    // RFC 1624 section 4: the case in which the older RFC 1141 formula fails has a sum of 0.
    if (trial % 4 == 0) {
      frame[14 + 4] = frame[14 + 5] = 0;
      const std::uint16_t rest = right_checksum(frame, 14);
      std::memcpy(frame.data() + 18, &rest, sizeof(rest));  // makes the checksum 0
    }
    set_checksum(frame, 14);
    const std::uint8_t ttl = frame[14 + 8];
    ASSERT_EQ(route(frame), Verdict::to_port(0)) << "trial " << trial;
    ASSERT_EQ(frame[14 + 8], ttl - 1) << "trial " << trial;
    std::uint16_t checksum = 0;
    std::memcpy(&checksum, frame.data() + 24, sizeof(checksum));
    ASSERT_EQ(checksum, right_checksum(frame, 14)) << "trial " << trial;
  }
}

/// One byte of the IPv4 header is set, the checksum is made right, and the packet is dropped.
TEST_F(RouterTest, DropsWithTheReasonAndLeavesThePacketAlone) {
  struct Case {
    const char* what;
    std::size_t offset;
    std::uint8_t value;
    Drop reason;
  };
  const Case cases[] = {
      {"version 6", 0, 0x65, Drop::kBadHeader},
      {"header of 16 bytes", 0, 0x44, Drop::kBadHeader},
      {"header longer than total length", 0, 0x4f, Drop::kBadHeader},
      {"total length of 19", 3, 19, Drop::kBadHeader},
      {"total length 0", 3, 0, Drop::kBadHeader},
      {"total length beyond the frame", 3, 36, Drop::kBadHeader},
      {"TTL 1", 8, 1, Drop::kTtlExpired},
      {"TTL 0", 8, 0, Drop::kTtlExpired},
      {"no route", 17, 169, Drop::kNoRoute},
  };
  for (const Case& test : cases) {
    Frame frame = packet();
    frame[14 + test.offset] = test.value;
    if ((frame[14] & 15) == 5) set_checksum(frame, 14);
    const Frame before = frame;
    EXPECT_EQ(route(frame), drop(test.reason)) << test.what;
    EXPECT_EQ(frame, before) << test.what;
  }
}

TEST_F(RouterTest, DropsAWrongChecksumInAnyByteOfTheHeader) {
  for (const unsigned option_bytes : {0u, 40u}) {
    for (std::size_t at = 4; at < 20 + option_bytes; ++at) {  // before: version and lengths
      Frame frame = packet(0, option_bytes);
      frame[14 + at] ^= 0x10;
      EXPECT_EQ(route(frame), drop(Drop::kBadChecksum)) << "byte " << at;
    }
  }
}

TEST_F(RouterTest, DropsWhatIsNotIpv4) {
  Frame arp = test::FrameBuilder().be16(0x0806).zeros(28).done();
  EXPECT_EQ(route(arp), drop(Drop::kNotIpv4));
  Frame ipv6 = test::FrameBuilder().ipv6(17).udp(1, 2).done();
  EXPECT_EQ(route(ipv6), drop(Drop::kNotIpv4));
  Frame three_tags = packet(3);
  EXPECT_EQ(route(three_tags), drop(Drop::kNotIpv4));
}

TEST_F(RouterTest, DropsEveryCutPacket) {
  const Frame whole = packet(1);
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    Frame frame(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
    const Verdict verdict = route(frame);
    EXPECT_EQ(verdict, drop(Drop::kBadHeader)) << bytes << " bytes";
  }
}

TEST_F(RouterTest, EthernetPaddingIsAllowed) {
  Frame frame = packet();
  frame.resize(60);
  EXPECT_EQ(route(frame), Verdict::to_port(1));
}

TEST_F(RouterTest, ABurstMixesVerdicts) {
  make_router("192.168.0.0/16, 1, 02:bb:00:00:00:07\n10.0.0.0/8, 0, 02:bb:00:00:00:08");
  std::vector<test::MbufPtr> owners;
  std::vector<rte_mbuf*> burst;
  std::vector<Verdict> expected;
  for (std::size_t i = 0; i < kMaxBurst; ++i) {
    Frame frame = packet();
    if (i % 4 == 1) frame[14 + 16] = 10;
    if (i % 4 == 2) frame[14 + 8] = 1;
    if (i % 4 != 3)
      set_checksum(frame, 14);
    else
      frame[14 + 10] ^= 1;
    const Verdict verdicts[] = {Verdict::to_port(1), Verdict::to_port(0), drop(Drop::kTtlExpired),
                                drop(Drop::kBadChecksum)};
    expected.push_back(verdicts[i % 4]);
    owners.push_back(test::make_mbuf(pool_.get(), frame));
    burst.push_back(owners.back().get());
  }
  std::vector<Verdict> verdicts(burst.size(), Verdict::hold());
  router_->process_burst(burst, verdicts);
  EXPECT_EQ(verdicts, expected);
  EXPECT_EQ(rte_pktmbuf_mtod(burst[1], std::uint8_t*)[5], 8);
}

TEST(Drop, EveryReasonHasAName) {
  EXPECT_EQ(drop_names().size(), static_cast<std::size_t>(Drop::kCount));
}

}  // namespace
}  // namespace hb::router
