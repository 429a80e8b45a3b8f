// OpenNetVM's flow tables: keys, hashes, entries.
#include <gtest/gtest.h>
#include <rte_thash.h>

#include <cstring>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "onvm_compat/include/onvm_flow_table.h"
#include "tests/unit/eal_fixture.h"

namespace {

using OnvmFlowTable = hb::test::EalTest;
using Flow = std::tuple<std::uint32_t, std::uint32_t, std::uint16_t, std::uint16_t, std::uint8_t>;

/// Those behind proto are anything: an NF's key on its stack may have them so.
onvm_ft_ipv4_5tuple key_of(const Flow& flow, int rest = 0) {
  onvm_ft_ipv4_5tuple key;
  std::memset(&key, rest, sizeof(key));
  std::tie(key.src_addr, key.dst_addr, key.src_port, key.dst_port, key.proto) = flow;
  return key;
}

Flow random_flow(std::mt19937& random) {
  return {random(), random(), static_cast<std::uint16_t>(random()),
          static_cast<std::uint16_t>(random()), random() % 2 == 0 ? 6 : 17};
}

TEST_F(OnvmFlowTable, TheHashIsDpdksToeplitzWithTheSymmetricKey) {
  std::mt19937 random(2012);
  for (int trial = 0; trial < 10'000; ++trial) {
    onvm_ft_ipv4_5tuple key = key_of(random_flow(random));
    rte_ipv4_tuple tuple{};
    tuple.src_addr = rte_be_to_cpu_32(key.src_addr);
    tuple.dst_addr = rte_be_to_cpu_32(key.dst_addr);
    tuple.sport = rte_be_to_cpu_16(key.src_port);
    tuple.dport = rte_be_to_cpu_16(key.dst_port);
    const std::uint32_t hash = rte_softrss(reinterpret_cast<std::uint32_t*>(&tuple),
                                           RTE_THASH_V4_L4_LEN, rss_symmetric_key);
    ASSERT_EQ(onvm_softrss(&key), hash) << "trial " << trial;
    std::swap(key.src_addr, key.dst_addr);
    std::swap(key.src_port, key.dst_port);
    ASSERT_EQ(onvm_softrss(&key), hash) << "trial " << trial;
  }
}

TEST_F(OnvmFlowTable, BehavesAsAMap) {
  struct Entry {
    std::uint64_t value;
    char text[24];
  };
  constexpr int kEntries = 256;
  std::mt19937 random(5);
  std::vector<Flow> flows(400);
  for (Flow& flow : flows) flow = random_flow(random);
  onvm_ft* const table = onvm_ft_create(kEntries, sizeof(Entry));
  ASSERT_NE(table, nullptr);
  std::map<Flow, std::uint64_t> model;
  for (int trial = 0; trial < 20'000; ++trial) {
    const Flow& flow = flows[random() % flows.size()];
    onvm_ft_ipv4_5tuple key = key_of(flow, static_cast<int>(random() % 256));
    char* data = nullptr;
    const int found = onvm_ft_lookup_key(table, &key, &data);
    const auto known = model.find(flow);
    ASSERT_EQ(found >= 0, known != model.end()) << "trial " << trial;
    if (found >= 0) {
      ASSERT_EQ(data, onvm_ft_get_data(table, found));
      ASSERT_EQ(reinterpret_cast<Entry*>(data)->value, known->second) << "trial " << trial;
    } else {
      ASSERT_EQ(found, -ENOENT);
    }
    if (random() % 3 == 0) {
      ASSERT_EQ(onvm_ft_remove_key(table, &key), found) << "trial " << trial;
      model.erase(flow);
      continue;
    }
    const int added = onvm_ft_add_key(table, &key, &data);
    if (added < 0) {
      ASSERT_EQ(added, -ENOSPC);
      ASSERT_GE(model.size(), static_cast<std::size_t>(kEntries)) << "it refuses before it is full";
      continue;
    }
    reinterpret_cast<Entry*>(data)->value = model[flow] = static_cast<std::uint64_t>(trial);
  }
  std::set<Flow> seen;
  const void* key = nullptr;
  void* data = nullptr;
  std::uint32_t next = 0;
  while (onvm_ft_iterate(table, &key, &data, &next) >= 0) {
    onvm_ft_ipv4_5tuple copy;
    std::memcpy(&copy, key, sizeof(copy));
    const Flow flow{copy.src_addr, copy.dst_addr, copy.src_port, copy.dst_port, copy.proto};
    ASSERT_TRUE(seen.insert(flow).second);
    ASSERT_EQ(static_cast<Entry*>(data)->value, model.at(flow));
  }
  EXPECT_EQ(seen.size(), model.size());
  EXPECT_EQ(onvm_ft_iterate(table, &key, &data, &next), -ENOENT);
  onvm_ft_free(table);
}

TEST_F(OnvmFlowTable, PacketsAndTheirKeysFindTheSameEntry) {
  rte_mempool* const pool =
      rte_pktmbuf_pool_create("flows", 15, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  ASSERT_NE(pool, nullptr);
  rte_mbuf* const pkt = onvm_pkt_generate_udp_sample(pool);
  ASSERT_NE(pkt, nullptr);
  onvm_ft* const table = onvm_ft_create(16, 8);
  onvm_ft_ipv4_5tuple key, back, symmetric;
  ASSERT_EQ(onvm_ft_fill_key(&key, pkt), 0);
  EXPECT_EQ(key.src_addr, rte_cpu_to_be_32(IPV4_SAMPLE_SRC));
  EXPECT_EQ(key.dst_port, rte_cpu_to_be_16(UDP_SAMPLE_DST_PORT));
  char* data = nullptr;
  EXPECT_EQ(onvm_ft_lookup_pkt(table, pkt, &data), -ENOENT);
  const int index = onvm_ft_add_pkt(table, pkt, &data);
  ASSERT_GE(index, 0);
  EXPECT_EQ(onvm_ft_lookup_key(table, &key, &data), index);
  EXPECT_EQ(onvm_ft_add_key(table, &key, &data), index);
  EXPECT_EQ(onvm_ft_remove_pkt(table, pkt), index);
  EXPECT_EQ(onvm_ft_lookup_key(table, &key, &data), -ENOENT);

  ASSERT_EQ(onvm_ft_fill_key_symmetric(&symmetric, pkt), 0);
  onvm_pkt_swap_ip_hdr(onvm_pkt_ipv4_hdr(pkt));
  rte_udp_hdr* const udp = onvm_pkt_udp_hdr(pkt);
  const rte_be16_t src_port = udp->src_port;
  udp->src_port = udp->dst_port;
  udp->dst_port = src_port;
  ASSERT_EQ(onvm_ft_fill_key_symmetric(&back, pkt), 0);
  EXPECT_EQ(std::memcmp(&symmetric, &back, sizeof(back)), 0);

  onvm_pkt_ipv4_hdr(pkt)->next_proto_id = 1;  // ports belong to TCP and UDP
  ASSERT_EQ(onvm_ft_fill_key(&key, pkt), 0);
  EXPECT_EQ(key.src_port | key.dst_port, 0);
  onvm_pkt_ipv4_hdr(pkt)->version_ihl = 0x65;
  EXPECT_EQ(onvm_ft_fill_key(&key, pkt), -EPROTONOSUPPORT);
  EXPECT_EQ(onvm_ft_add_pkt(table, pkt, &data), -EPROTONOSUPPORT);
  EXPECT_EQ(onvm_ft_lookup_pkt(table, pkt, &data), -EPROTONOSUPPORT);
  EXPECT_EQ(onvm_ft_remove_pkt(table, pkt), -EPROTONOSUPPORT);
  onvm_ft_free(table);
  rte_pktmbuf_free(pkt);
  EXPECT_EQ(rte_mempool_avail_count(pool), 15u);
  rte_mempool_free(pool);
}

TEST_F(OnvmFlowTable, NonsenseIsRefused) {
  EXPECT_EQ(onvm_ft_create(0, 8), nullptr);
  EXPECT_EQ(onvm_ft_create(-5, 8), nullptr);
  EXPECT_EQ(onvm_ft_create(8, -1), nullptr);
  onvm_ft_ipv4_5tuple key{};
  char* data = nullptr;
  EXPECT_EQ(onvm_ft_add_key(nullptr, &key, &data), -EINVAL);
  EXPECT_EQ(onvm_ft_lookup_key(nullptr, &key, &data), -EINVAL);
  EXPECT_EQ(onvm_ft_remove_key(nullptr, &key), -EINVAL);
  onvm_ft_free(nullptr);
}

}  // namespace
