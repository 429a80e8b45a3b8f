// OpenNetVM's packet helpers: what is found in a packet, what is changed, what is made.
#include <gtest/gtest.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "onvm_compat/include/onvm_flow_table.h"
#include "onvm_compat/include/onvm_pkt_helper.h"
#include "tests/unit/eal_fixture.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

class OnvmPacketHelper : public hb::test::EalTest {
 protected:
  static void SetUpTestSuite() {
    hb::test::EalTest::SetUpTestSuite();
    pool_ = rte_pktmbuf_pool_create("helpers", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    ASSERT_NE(pool_, nullptr);
  }
  static void TearDownTestSuite() { rte_mempool_free(pool_); }

  void TearDown() override {
    for (rte_mbuf* const pkt : made_) rte_pktmbuf_free(pkt);
    EXPECT_EQ(rte_mempool_avail_count(pool_), 63u);
  }

  rte_mbuf* keep(rte_mbuf* pkt) {
    if (pkt != nullptr) made_.push_back(pkt);
    return pkt;
  }
  rte_mbuf* packet(const Bytes& bytes) {
    rte_mbuf* const pkt = keep(rte_pktmbuf_alloc(pool_));
    std::ranges::copy(bytes, reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(
                                 pkt, static_cast<std::uint16_t>(bytes.size()))));
    return pkt;
  }

  static inline rte_mempool* pool_ = nullptr;
  std::vector<rte_mbuf*> made_;
};

/// Ethernet, IPv4 from 10.0.0.1 to 10.0.0.2 with a wrong checksum, and n bytes behind.
Bytes ipv4(std::uint8_t protocol, std::size_t n) {
  Bytes bytes(14 + 20 + n);
  bytes[12] = 0x08;
  std::uint8_t* const ip = bytes.data() + 14;
  ip[0] = 0x45;
  ip[2] = static_cast<std::uint8_t>((20 + n) >> 8);
  ip[3] = static_cast<std::uint8_t>(20 + n);
  ip[8] = 64;
  ip[9] = protocol;
  ip[10] = ip[11] = 0xee;
  ip[12] = ip[16] = 10;
  ip[15] = 1;
  ip[19] = 2;
  for (std::size_t i = 0; i < n; ++i) bytes[34 + i] = static_cast<std::uint8_t>(i * 7);
  return bytes;
}

/// RFC 1071, over bytes as they lie in the packet.
std::uint32_t sum(const std::uint8_t* bytes, std::size_t n) {
  std::uint32_t total = 0;
  for (std::size_t i = 0; i < n; ++i)
    total += static_cast<std::uint32_t>(bytes[i]) << (i % 2 ? 0 : 8);
  return total;
}
bool sums_to_zero(std::uint32_t total) {
  while (total >> 16 != 0) total = (total & 0xffff) + (total >> 16);
  return total == 0xffff;
}
bool ip_is_right(const rte_mbuf* pkt) {
  return sums_to_zero(sum(rte_pktmbuf_mtod_offset(pkt, const std::uint8_t*, 14), 20));
}
bool l4_is_right(const rte_mbuf* pkt) {
  const auto* const bytes = rte_pktmbuf_mtod(pkt, const std::uint8_t*);
  const std::size_t n = (static_cast<std::size_t>(bytes[16]) << 8 | bytes[17]) - 20;
  return sums_to_zero(sum(bytes + 26, 8) + bytes[23] + static_cast<std::uint32_t>(n) +
                      sum(bytes + 34, n));
}

TEST_F(OnvmPacketHelper, HeadersAreFoundOnlyWhereTheyAreWhole) {
  for (const std::uint8_t protocol : {6, 17, 1}) {
    const std::size_t l4 = protocol == 6 ? sizeof(rte_tcp_hdr) : sizeof(rte_udp_hdr);
    const Bytes whole = ipv4(protocol, 40);
    for (std::size_t n = 0; n <= whole.size(); ++n) {
      rte_mbuf* const pkt = packet(Bytes(whole.begin(), whole.begin() + static_cast<long>(n)));
      EXPECT_EQ(onvm_pkt_ether_hdr(pkt) != nullptr, n >= 14) << n;
      EXPECT_EQ(onvm_pkt_is_ipv4(pkt), n >= 34) << n;
      EXPECT_EQ(onvm_pkt_ipv4_hdr(pkt) != nullptr, n >= 34) << n;
      EXPECT_EQ(onvm_pkt_is_tcp(pkt), protocol == 6 && n >= 34 + l4) << n;
      EXPECT_EQ(onvm_pkt_is_udp(pkt), protocol == 17 && n >= 34 + l4) << n;
      EXPECT_EQ(onvm_pkt_tcp_hdr(pkt) != nullptr, onvm_pkt_is_tcp(pkt) != 0) << n;
      EXPECT_EQ(onvm_pkt_udp_hdr(pkt) != nullptr, onvm_pkt_is_udp(pkt) != 0) << n;
      rte_pktmbuf_free(pkt);
      made_.pop_back();
    }
  }
  EXPECT_EQ(onvm_pkt_ether_hdr(nullptr), nullptr);
  EXPECT_EQ(onvm_pkt_ipv4_hdr(nullptr), nullptr);
  EXPECT_EQ(onvm_pkt_is_tcp(nullptr), 0);
}

// The documented test is the version nibble; ether_type is not looked at.
TEST_F(OnvmPacketHelper, VersionFourIsIpv4WhateverTheEtherType) {
  Bytes bytes = ipv4(17, 20);
  bytes[12] = 0x86;
  bytes[13] = 0xdd;
  EXPECT_TRUE(onvm_pkt_is_udp(packet(bytes)));
  bytes[14] = 0x65;
  EXPECT_FALSE(onvm_pkt_is_ipv4(packet(bytes)));
}

TEST_F(OnvmPacketHelper, ChecksumsAreThoseOfRfc1071) {
  std::mt19937 random(1071);
  for (const std::uint8_t protocol : {6, 17}) {
    for (int trial = 0; trial < 500; ++trial) {
      Bytes bytes = ipv4(protocol, 20 + random() % 1400);
      for (std::size_t i = 26; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::uint8_t>(random());
      rte_mbuf* const pkt = packet(bytes);
      onvm_pkt_set_checksums(pkt);
      ASSERT_TRUE(ip_is_right(pkt)) << "trial " << trial;
      ASSERT_TRUE(l4_is_right(pkt)) << "trial " << trial;
      if (protocol == 17) {
        ASSERT_NE(onvm_pkt_udp_hdr(pkt)->dgram_cksum, 0) << "trial " << trial;
      }
      rte_pktmbuf_free(pkt);
      made_.pop_back();
    }
  }
}

// A fragment's and a cut packet's L4 checksum can't be known: those bytes stay.
TEST_F(OnvmPacketHelper, WhatCantBeSummedUpStays) {
  Bytes fragment = ipv4(17, 40);
  fragment[14 + 6] = 0x20;
  Bytes cut = ipv4(17, 40);
  cut.resize(60);
  for (const Bytes& bytes : {fragment, cut}) {
    rte_mbuf* const pkt = packet(bytes);
    onvm_pkt_set_checksums(pkt);
    EXPECT_TRUE(ip_is_right(pkt));
    EXPECT_EQ(
        std::memcmp(rte_pktmbuf_mtod_offset(pkt, void*, 34), bytes.data() + 34, bytes.size() - 34),
        0);
  }
  const Bytes not_ip(60, 0x11);
  rte_mbuf* const pkt = packet(not_ip);
  onvm_pkt_set_checksums(pkt);
  EXPECT_EQ(std::memcmp(rte_pktmbuf_mtod(pkt, void*), not_ip.data(), not_ip.size()), 0);
}

TEST_F(OnvmPacketHelper, AddressesAsText) {
  std::uint32_t ip = 7;
  char text[16];
  for (const char* const good : {"0.0.0.0", "10.0.0.1", "255.255.255.255", "192.168.7.130"}) {
    std::string copy = good;
    EXPECT_EQ(onvm_pkt_parse_ip(copy.data(), &ip), 0) << good;
    onvm_pkt_parse_char_ip(text, ip);
    EXPECT_STREQ(text, good);
  }
  for (const char* const good : {" 1.2.3.4", "1.2.3.4\n", "\t 1.2.3.4 \r\n"}) {
    std::string copy = good;
    EXPECT_EQ(onvm_pkt_parse_ip(copy.data(), &ip), 0) << "as a line of a file has it: " << good;
    EXPECT_EQ(ip, RTE_IPV4(1, 2, 3, 4));
  }
  std::string host = "1.2.3.4";
  onvm_pkt_parse_ip(host.data(), &ip);
  EXPECT_EQ(ip, RTE_IPV4(1, 2, 3, 4)) << "host byte order";
  for (const char* const bad : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1..2.3", "a.b.c.d",
                                "1.2.3.4 x", "-1.2.3.4", "1.2.3.0004", "1. 2.3.4", " "}) {
    std::string copy = bad;
    EXPECT_EQ(onvm_pkt_parse_ip(copy.data(), &ip), -1) << bad;
  }
  EXPECT_EQ(onvm_pkt_parse_ip(nullptr, &ip), -1);

  std::array<std::uint8_t, 6> mac{};
  std::string good = "02:aB:00:4:5:ff";
  EXPECT_EQ(onvm_pkt_parse_mac(good.data(), mac.data()), 0);
  EXPECT_EQ(mac, (std::array<std::uint8_t, 6>{2, 0xab, 0, 4, 5, 0xff}));
  for (const char* const bad : {"", "02:ab:00:04:05", "02:ab:00:04:05:06:07", "02:ab:00:04:05:100",
                                "02-ab-00-04-05-06", "0x:1:2:3:4:5"}) {
    std::string copy = bad;
    EXPECT_EQ(onvm_pkt_parse_mac(copy.data(), mac.data()), -1) << bad;
  }
}

TEST_F(OnvmPacketHelper, SwapsAndPortAddresses) {
  rte_mbuf* const pkt = packet(ipv4(6, 20));
  rte_ether_hdr* const eth = onvm_pkt_ether_hdr(pkt);
  const rte_ether_addr a{{2, 0, 0, 0, 0, 1}}, b{{2, 0, 0, 0, 0, 2}}, p{{2, 0, 0, 0, 0, 3}},
      q{{2, 0, 0, 0, 0, 4}};
  port_info table{};
  table.num_ports = 2;
  table.init[0] = table.init[1] = 1;
  table.mac[0] = p;
  table.mac[1] = q;
  const auto same = [](const rte_ether_addr& x, const rte_ether_addr& y) {
    return rte_is_same_ether_addr(&x, &y) != 0;
  };
  eth->dst_addr = a;
  eth->src_addr = b;
  EXPECT_EQ(onvm_pkt_swap_ether_hdr(eth), 0);
  EXPECT_TRUE(same(eth->dst_addr, b) && same(eth->src_addr, a));
  EXPECT_EQ(onvm_pkt_swap_src_mac_addr(pkt, 1, &table), 0);
  EXPECT_TRUE(same(eth->dst_addr, a) && same(eth->src_addr, q));
  EXPECT_EQ(onvm_pkt_swap_dst_mac_addr(pkt, 0, &table), 0);
  EXPECT_TRUE(same(eth->dst_addr, p) && same(eth->src_addr, a));
  EXPECT_EQ(onvm_pkt_set_mac_addr(pkt, 0, 1, &table), 0);
  EXPECT_TRUE(same(eth->src_addr, p) && same(eth->dst_addr, q));
  for (const std::uint16_t bad :
       {std::uint16_t{2}, std::uint16_t{RTE_MAX_ETHPORTS}, std::uint16_t{0xffff}}) {
    EXPECT_EQ(onvm_pkt_swap_src_mac_addr(pkt, bad, &table), -1);
    EXPECT_EQ(onvm_pkt_swap_dst_mac_addr(pkt, bad, &table), -1);
    EXPECT_EQ(onvm_pkt_set_mac_addr(pkt, 0, bad, &table), -1);
  }
  EXPECT_TRUE(same(eth->src_addr, p) && same(eth->dst_addr, q)) << "an error changes nothing";

  rte_ipv4_hdr* const ip = onvm_pkt_ipv4_hdr(pkt);
  const auto src = ip->src_addr, dst = ip->dst_addr;
  onvm_pkt_swap_ip_hdr(ip);
  EXPECT_TRUE(ip->src_addr == dst && ip->dst_addr == src);
  rte_tcp_hdr* const tcp = onvm_pkt_tcp_hdr(pkt);
  tcp->src_port = 1;
  tcp->dst_port = 2;
  onvm_pkt_swap_tcp_hdr(tcp);
  EXPECT_TRUE(tcp->src_port == 2 && tcp->dst_port == 1);
}

TEST_F(OnvmPacketHelper, MadePacketsAreWholeAndRight) {
  rte_udp_hdr udp;
  rte_ipv4_hdr ip;
  rte_ether_hdr eth{};
  Bytes payload(RTE_MBUF_DEFAULT_BUF_SIZE);
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::uint8_t>(i);
  const std::size_t room = RTE_MBUF_DEFAULT_BUF_SIZE - 42;
  for (const std::size_t n : {0ul, 1ul, 100ul, 1400ul, room}) {
    onvm_pkt_fill_udp(&udp, 5, 6, static_cast<std::uint16_t>(n));
    onvm_pkt_fill_ipv4(&ip, RTE_IPV4(1, 2, 3, 4), RTE_IPV4(5, 6, 7, 8), 17);
    rte_mbuf* const pkt = keep(onvm_pkt_generate_udp(pool_, &udp, &ip, &eth, payload.data(), n));
    ASSERT_NE(pkt, nullptr) << n;
    EXPECT_EQ(pkt->pkt_len, 42 + n);
    EXPECT_TRUE(ip_is_right(pkt));
    EXPECT_EQ(std::memcmp(rte_pktmbuf_mtod_offset(pkt, void*, 42), payload.data(), n), 0) << n;
    EXPECT_EQ(rte_be_to_cpu_16(onvm_pkt_ipv4_hdr(pkt)->total_length), 28 + n);
    if (n == 0) continue;
    EXPECT_TRUE(l4_is_right(pkt)) << n;
  }
  EXPECT_EQ(onvm_pkt_generate_udp(pool_, &udp, &ip, &eth, payload.data(), room + 1), nullptr);

  rte_tcp_hdr tcp{};
  std::array<std::uint8_t, 8> options = {1, 1, 1, 1, 1, 1, 1, 0};
  onvm_pkt_fill_ipv4(&ip, 1, 2, 6);
  rte_mbuf* const pkt = keep(onvm_pkt_generate_tcp(pool_, &tcp, &ip, &eth, options.data(),
                                                   options.size(), payload.data(), 33));
  ASSERT_NE(pkt, nullptr);
  EXPECT_EQ(pkt->pkt_len, 14u + 20 + 20 + 8 + 33);
  EXPECT_EQ(onvm_pkt_tcp_hdr(pkt)->data_off >> 4, 7);
  EXPECT_TRUE(ip_is_right(pkt) && l4_is_right(pkt));
  EXPECT_EQ(std::memcmp(rte_pktmbuf_mtod_offset(pkt, void*, 54), options.data(), 8), 0);
}

TEST_F(OnvmPacketHelper, TcpsNineFlagsAndBits) {
  rte_tcp_hdr tcp{};
  tcp.data_off = 0x50;
  for (unsigned flags = 0; flags < 512; ++flags) {
    ONVM_PKT_SET_FLAGS(&tcp, flags);
    std::uint16_t got = 0;
    ONVM_PKT_GET_FLAGS(&tcp, got);
    ASSERT_EQ(got, flags);
    ASSERT_EQ(tcp.data_off >> 1, 0x50 >> 1);
  }
  EXPECT_EQ(ONVM_CHECK_BIT(0x80, 7), 1);
  EXPECT_EQ(ONVM_CHECK_BIT(0x7f, 7), 0);
  EXPECT_EQ(ONVM_SET_BIT(1, 6), 0x41u);
  EXPECT_EQ(ONVM_CLEAR_BIT(0x41, 6), 1u);
}

}  // namespace
