// gen: and null ports over a real packet pool in plain memory. EAL without hugepages.
#include "manager/generator_port.h"

#include <gtest/gtest.h>
#include <rte_dev.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <string>

#include "manager/ports.h"
#include "nf_lib/clock.h"
#include "nf_lib/decode.h"
#include "tests/unit/packet_region.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kPackets = PacketRegion::kPackets;

class GeneratorPortTest : public EalTest {
 protected:
  GeneratorPortTest() : pool_(PacketRegion::shared().pool.get()) {
    packet_meta_offset = rte_mbuf_dynfield_register(&kPacketMetaField);
  }
  void TearDown() override {
    if (!ports_.empty()) {
      EXPECT_TRUE(close_ports(ports_).ok());
    }
    if (!device_.empty()) rte_eal_hotplug_remove("vdev", device_.c_str());
    EXPECT_EQ(pool_->n_free(), kPackets);
  }

  void open(const std::string& spec, std::uint16_t n_rx_queues = 1) {
    const auto specs = parse_port_specs({spec}, PacketRegion::kDataRoom);
    ASSERT_TRUE(specs) << specs.error().line();
    device_ = specs->at(0).device;
    ASSERT_EQ(rte_eal_hotplug_add("vdev", device_.c_str(), "size=14"), 0);
    auto ports = open_ports(
        *specs, {.n_rx_queues = n_rx_queues, .pool = pool_->mempool(), .packets = pool_});
    ASSERT_TRUE(ports) << ports.error().line();
    ports_ = std::move(*ports);
    ASSERT_NE(ports_[0].generator, nullptr);
  }
  [[nodiscard]] Port& port() { return ports_.at(0); }
  std::uint16_t receive(std::uint16_t queue = 0) {
    return receive_burst(port(), queue, burst_.data());
  }
  std::uint32_t send(std::uint32_t n) { return send_burst(port(), 0, burst_.data(), n); }
  static std::span<const std::uint8_t> bytes(const rte_mbuf* mbuf) {
    return {rte_pktmbuf_mtod(mbuf, const std::uint8_t*), mbuf->data_len};
  }

  PacketPool* const pool_;
  std::vector<Port> ports_;
  std::string device_;
  std::array<rte_mbuf*, kMaxBurst> burst_{};
};

TEST_F(GeneratorPortTest, EveryQueueHasItsFlows) {
  open("gen:size=500,flows=10", 2);
  for (std::uint16_t queue = 0; queue < 2; ++queue) {
    ASSERT_EQ(receive(queue), kMaxBurst);
    for (const rte_mbuf* const mbuf : burst_) {
      EXPECT_EQ(mbuf->pkt_len, mbuf->data_len);
      const DecodedPacket packet = decode_packet(bytes(mbuf));
      ASSERT_TRUE(packet.ok());
      EXPECT_EQ((packet.src[3] - 1u) % 2, queue);
    }
    EXPECT_EQ(send(kMaxBurst), kMaxBurst);
  }
}

TEST_F(GeneratorPortTest, HandsOutWhatThePoolHasAndNoPacketTwice) {
  open("gen:size=64");
  std::set<rte_mbuf*> seen;
  std::vector<rte_mbuf*> out;
  while (const std::uint16_t n = receive())
    for (std::uint16_t i = 0; i < n; ++i) {
      EXPECT_TRUE(seen.insert(burst_[i]).second);
      out.push_back(burst_[i]);
    }
  EXPECT_EQ(out.size(), kPackets);
  // What comes back can go again.
  burst_[0] = out.back();
  send(1);
  EXPECT_EQ(receive(), 1u);
  for (rte_mbuf* const mbuf : out) {
    burst_[0] = mbuf;
    send(1);
  }
}

TEST_F(GeneratorPortTest, BurstsAreWholeAgainOnceThePoolIs) {
  open("gen:size=64");
  std::vector<rte_mbuf*> out;
  while (pool_->n_free() != 0) {
    ASSERT_EQ(receive(), kMaxBurst);
    out.insert(out.end(), burst_.begin(), burst_.end());
  }
  for (rte_mbuf* const mbuf : out) {
    burst_[0] = mbuf;
    send(1);
  }
  const std::uint16_t n_left = receive();
  ASSERT_LT(n_left, kMaxBurst);
  send(n_left);
  EXPECT_EQ(receive(), kMaxBurst);
  send(kMaxBurst);
}

TEST_F(GeneratorPortTest, AHeaderThatWasWrittenOverIsWholeWhenItComesAgain) {
  open("gen:size=64");
  for (int round = 0; round < 12; ++round) {
    const std::uint16_t n = receive();
    ASSERT_EQ(n, kMaxBurst);
    for (rte_mbuf* const mbuf : burst_) {
      EXPECT_EQ(mbuf->buf_addr, mbuf + 1);
      EXPECT_EQ(mbuf->data_off, RTE_PKTMBUF_HEADROOM);
      EXPECT_EQ(mbuf->pkt_len, 64u);
      EXPECT_EQ(mbuf->data_len, 64u);
      EXPECT_EQ(mbuf->buf_len, RTE_PKTMBUF_HEADROOM + PacketRegion::kDataRoom);
      EXPECT_EQ(mbuf->pool, pool_->mempool());
      EXPECT_EQ(mbuf->next, nullptr);
      EXPECT_EQ(mbuf->nb_segs, 1u);
      EXPECT_EQ(rte_mbuf_refcnt_read(mbuf), 1u);
      EXPECT_EQ(mbuf->ol_flags, 0u);
      EXPECT_EQ(mbuf->tx_offload, 0u);
      EXPECT_EQ(mbuf->packet_type, 0u);
      EXPECT_EQ(mbuf->vlan_tci, 0u);
      EXPECT_EQ(mbuf->priv_size, 0u);
      EXPECT_EQ(carried_word(mbuf), 0u);
      EXPECT_TRUE(decode_packet(bytes(mbuf)).ok());
    }
    for (rte_mbuf* const mbuf : burst_) std::memset(static_cast<void*>(mbuf), 0xa5, 192);
    send(n);
  }
}

TEST_F(GeneratorPortTest, TheTimeOnTheWayIsNoted) {
  open("gen:size=64");
  const std::uint16_t n = receive();
  const std::uint64_t now = wall_clock_ns();
  for (std::uint16_t i = 0; i < n; ++i) packet_meta(burst_[i]).capture_ns = now - i / 8 * 1'000'000;
  send(n);
  LatencyHistogram latency;
  port().generator->add_latency_to(latency);
  EXPECT_EQ(latency.count(), n);
  EXPECT_GE(latency.quantile_ns(1), 7'000'000u);
  EXPECT_LT(latency.quantile_ns(0.01), 7'000'000u);
}

/// A pipe would keep the control thread waiting for a reader.
TEST_F(GeneratorPortTest, ASampleIsWrittenToNothingButAFile) {
  open("gen:size=64");
  port().generator->begin_sample(1);
  send(receive());
  const std::string path = testing::TempDir() + "hb-sample-" + std::to_string(getpid());
  const auto written = port().generator->write_sample(path);
  ASSERT_TRUE(written) << written.error().line();
  EXPECT_EQ(*written, 1u);
  unlink(path.c_str());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  alarm(10);
  const auto refused = port().generator->write_sample(path);
  alarm(0);
  unlink(path.c_str());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("is no regular file"), std::string::npos);
}

TEST_F(GeneratorPortTest, ANullPortLeavesTheBytesAlone) {
  open("null:size=100", 2);
  for (std::uint16_t queue = 0; queue < 2; ++queue) {
    ASSERT_EQ(receive(queue), kMaxBurst);
    for (rte_mbuf* const mbuf : burst_) {
      EXPECT_EQ(mbuf->data_len, 100u);
      std::ranges::fill(std::span(rte_pktmbuf_mtod(mbuf, std::uint8_t*), 100), 0x5a);
    }
    send(kMaxBurst);
  }
  int kept = 0;
  for (std::uint32_t left = kPackets; left > kMaxBurst; left -= kMaxBurst) {
    receive();
    for (const rte_mbuf* const mbuf : burst_)
      kept += std::ranges::all_of(bytes(mbuf), [](std::uint8_t byte) { return byte == 0x5a; });
    send(kMaxBurst);
  }
  EXPECT_GE(kept, static_cast<int>(kMaxBurst));
}

/// Whoever watches a port sees both directions, headers whole.
TEST_F(GeneratorPortTest, CallbacksSeeItsPackets) {
  open("gen:size=64");
  struct Seen {
    int received = 0, sent = 0, whole = 0;
  } seen;
  const auto* const rx = rte_eth_add_rx_callback(
      port().id, 0,
      [](std::uint16_t, std::uint16_t, rte_mbuf**, std::uint16_t n, std::uint16_t,
         void* arg) -> std::uint16_t {
        static_cast<Seen*>(arg)->received += n;
        return n;
      },
      &seen);
  const auto* const tx = rte_eth_add_tx_callback(
      port().id, 0,
      [](std::uint16_t, std::uint16_t, rte_mbuf** burst, std::uint16_t n,
         void* arg) -> std::uint16_t {
        static_cast<Seen*>(arg)->sent += n;
        for (std::uint16_t i = 0; i < n; ++i)
          static_cast<Seen*>(arg)->whole += burst[i]->nb_segs == 1 && burst[i]->next == nullptr;
        return n;
      },
      &seen);
  ASSERT_NE(rx, nullptr);
  ASSERT_NE(tx, nullptr);
  const std::uint16_t n = receive();
  for (rte_mbuf* const mbuf : burst_) mbuf->nb_segs = 9;
  send(n);
  EXPECT_EQ(seen.received, n);
  EXPECT_EQ(seen.sent, n);
  EXPECT_EQ(seen.whole, n);
  rte_eth_remove_rx_callback(port().id, 0, static_cast<const rte_eth_rxtx_callback*>(rx));
  rte_eth_remove_tx_callback(port().id, 0, static_cast<const rte_eth_rxtx_callback*>(tx));
}

}  // namespace
}  // namespace hb::test
