#include "manager/generator.h"

#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_ip.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <set>

#include "manager/generator_sample.h"
#include "manager/port_spec.h"
#include "nf_lib/decode.h"
#include "nf_lib/packet_meta.h"
#include "tests/unit/eal_fixture.h"

namespace hb {
namespace {

std::string capture() {
  const char* const source = std::getenv("HB_SOURCE_DIR");
  return std::string(source != nullptr ? source : ".") + "/tests/data/pcap/zeek-http_methods.pcap";
}

GeneratorSpec spec_of(std::vector<std::uint16_t> sizes, std::uint32_t n_flows,
                      std::uint32_t rate_pps = 0) {
  GeneratorSpec spec;
  spec.sizes = std::move(sizes);
  spec.n_flows = n_flows;
  spec.rate_pps = rate_pps;
  return spec;
}

class GeneratorTest : public test::EalTest {
 protected:
  GeneratorTest() : pool_(test::make_pool(255)) {
    std::array<rte_mbuf*, 64> burst{};
    EXPECT_EQ(rte_pktmbuf_alloc_bulk(pool_.get(), burst.data(), burst.size()), 0);
    burst_ = burst;
  }
  ~GeneratorTest() override { rte_pktmbuf_free_bulk(burst_.data(), burst_.size()); }

  /// Makes the first packets of burst_.
  /// @return how many: fewer than n if the rate allows no more
  std::uint32_t fill(GeneratorQueue& queue, std::uint32_t n, std::uint64_t tsc) {
    n = queue.allowed(n, tsc);
    for (std::uint32_t i = 0; i < n; ++i)
      burst_[i]->data_len = queue.make(rte_pktmbuf_mtod(burst_[i], std::uint8_t*));
    return n;
  }
  static std::span<const std::uint8_t> bytes(const rte_mbuf* mbuf) {
    return {rte_pktmbuf_mtod(mbuf, const std::uint8_t*), mbuf->data_len};
  }
  static std::uint32_t source(const rte_mbuf* mbuf) {
    const DecodedPacket packet = decode_packet(bytes(mbuf));
    return std::uint32_t{packet.src[0]} << 24 | packet.src[1] << 16 | packet.src[2] << 8 |
           packet.src[3];
  }

  test::PoolPtr pool_;
  std::array<rte_mbuf*, 64> burst_;
  const std::vector<std::uint8_t> none_;
};

TEST_F(GeneratorTest, EveryPacketIsAWholeUdpPacketWithARightChecksum) {
  for (const std::uint16_t size : {42, 43, 64, 1472, 2048}) {
    GeneratorQueue queue(spec_of({size}, 70'000), none_, 1, 3);
    for (int round = 0; round < 1100; ++round) {  // the identification wraps
      ASSERT_EQ(fill(queue, 64, 0), 64u);
      for (rte_mbuf* const mbuf : burst_) {
        ASSERT_EQ(mbuf->data_len, size);
        const DecodedPacket packet = decode_packet(bytes(mbuf));
        ASSERT_TRUE(packet.ok());
        ASSERT_EQ(packet.l4, L4Kind::kUdp);
        ASSERT_EQ(packet.l4_payload_length, size - kGeneratedHeaderBytes);
        auto* const ip = rte_pktmbuf_mtod_offset(mbuf, rte_ipv4_hdr*, 14);
        const rte_be16_t stated = ip->hdr_checksum;
        ip->hdr_checksum = 0;
        ASSERT_EQ(rte_ipv4_cksum(ip), stated) << "round " << round;
      }
    }
  }
}

TEST_F(GeneratorTest, QueuesShareTheFlowsAndNoneIsLeftOut) {
  constexpr std::uint32_t kFlows = 1000;
  std::map<std::uint32_t, int> seen;
  for (std::uint32_t number = 0; number < 3; ++number) {
    GeneratorQueue queue(spec_of({64}, kFlows), none_, number, 3);
    for (int round = 0; round < 30; ++round) {
      fill(queue, 64, 0);
      for (const rte_mbuf* const mbuf : burst_) {
        EXPECT_EQ((source(mbuf) - (10u << 24 | 1)) % 3, number);
        ++seen[source(mbuf)];
      }
    }
  }
  EXPECT_EQ(seen.size(), kFlows);
  EXPECT_EQ(seen.begin()->first, 10u << 24 | 1);
  EXPECT_EQ(seen.rbegin()->first, (10u << 24 | 1) + kFlows - 1);
}

TEST_F(GeneratorTest, AQueueWithoutAFlowHasNoPackets) {
  GeneratorQueue queue(spec_of({64}, 2), none_, 2, 4);
  EXPECT_EQ(fill(queue, 64, 0), 0u);
}

TEST_F(GeneratorTest, ImixIsSevenToFourToOne) {
  GeneratorQueue queue(spec_of(imix_sizes(), 5), none_, 0, 1);
  std::map<std::uint32_t, int> seen;
  for (int round = 0; round < 3; ++round) {
    fill(queue, 64, 0);
    for (const rte_mbuf* const mbuf : burst_) ++seen[mbuf->data_len];
  }
  EXPECT_EQ(seen, (std::map<std::uint32_t, int>{{64, 112}, {594, 64}, {1518, 16}}));
}

TEST_F(GeneratorTest, TheRateIsKeptAndShared) {
  const std::uint64_t hz = rte_get_tsc_hz();
  constexpr std::uint32_t kRate = 3'000'000;
  std::uint64_t sent = 0;
  for (std::uint32_t number = 0; number < 3; ++number) {  // flows 2, 1, 1 of 4
    GeneratorQueue queue(spec_of({64}, 4, kRate), none_, number, 3);
    std::uint64_t own = 0;
    for (std::uint64_t us = 0; us <= 1'000'000; us += 7)  // a second
      own += fill(queue, 64, 1'000 + us * hz / 1'000'000);
    EXPECT_NEAR(static_cast<double>(own), number == 0 ? kRate / 2.0 : kRate / 4.0, 70);
    sent += own;
  }
  EXPECT_NEAR(static_cast<double>(sent), kRate, 200);
}

TEST_F(GeneratorTest, ALongPauseIsNotMadeUpFor) {
  const std::uint64_t hz = rte_get_tsc_hz();
  GeneratorQueue queue(spec_of({64}, 1, 1'000'000), none_, 0, 1);
  EXPECT_EQ(fill(queue, 64, 1), 0u);
  std::uint64_t sent = 0;
  for (std::uint32_t n = 64; n == 64;) sent += n = fill(queue, 64, 10 * hz);
  EXPECT_LE(sent, 1001u) << "a millisecond's worth, not ten seconds'";
  EXPECT_GE(sent, 999u);
}

TEST_F(GeneratorTest, AnotherRateHoldsFromTheNextBurstOn) {
  const std::uint64_t hz = rte_get_tsc_hz();
  GeneratorQueue queue(spec_of({64}, 4), none_, 0, 1);
  std::uint64_t us = 1;
  const auto second = [&] {
    std::uint64_t sent = 0;
    for (const std::uint64_t end = us + 1'000'000; us <= end; us += 7)
      sent += fill(queue, 64, us * hz / 1'000'000);
    return static_cast<double>(sent);
  };
  EXPECT_GT(second(), 64e5) << "no limit";
  for (const std::uint32_t rate : {1'000'000u, 3'000'000u, 10'000u}) {
    queue.set_rate(rate);
    EXPECT_NEAR(second(), rate, 70);  // what came before is not made up for, nor waited for
  }
  queue.set_rate(0);
  EXPECT_GT(second(), 64e5);
}

TEST_F(GeneratorTest, ASampleIsOnePacketOfEachBurstWithItsTime) {
  packet_meta_offset = rte_mbuf_dynfield_register(&kPacketMetaField);
  ASSERT_GE(packet_meta_offset, 0);
  GeneratorQueue queue(spec_of({64}, 1000), none_, 0, 1);
  GeneratorSample sample;
  EXPECT_FALSE(sample.is_wanted());
  const std::string path = ::testing::TempDir() + "generator_sample.pcap";
  const auto written = [&] {
    pcap_t* const format =
        pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 65535, PCAP_TSTAMP_PRECISION_NANO);
    pcap_dumper_t* const out = pcap_dump_open(format, path.c_str());
    const std::uint32_t n = sample.write(out);
    pcap_dump_close(out);
    pcap_close(format);
    return n;
  };
  for (int again = 0; again < 2; ++again) {
    sample.begin(3);
    EXPECT_TRUE(sample.is_wanted());
    EXPECT_EQ(written(), 0u) << "what an earlier begin() asked for is forgotten";
    std::vector<std::vector<std::uint8_t>> kept;
    for (std::uint64_t burst = 0; burst < 5; ++burst) {
      ASSERT_EQ(fill(queue, 64, 0), 64u);
      for (rte_mbuf* const mbuf : burst_) packet_meta(mbuf).capture_ns = 5'000'000'007 + burst;
      EXPECT_EQ(sample.is_wanted(), burst < 3);
      if (!sample.is_wanted()) continue;
      sample.take(burst_);
      const auto packet = bytes(burst_[burst]);
      kept.emplace_back(packet.begin(), packet.end());
    }
    EXPECT_EQ(written(), 3u);
    std::array<char, PCAP_ERRBUF_SIZE> why{};
    pcap_t* const in = pcap_open_offline_with_tstamp_precision(
        path.c_str(), PCAP_TSTAMP_PRECISION_NANO, why.data());
    ASSERT_NE(in, nullptr) << why.data();
    pcap_pkthdr* header = nullptr;
    const std::uint8_t* data = nullptr;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      ASSERT_EQ(pcap_next_ex(in, &header, &data), 1);
      EXPECT_EQ(header->ts.tv_sec, 5);
      EXPECT_EQ(header->ts.tv_usec, static_cast<long>(7 + i)) << "nanoseconds";
      EXPECT_EQ(std::vector<std::uint8_t>(data, data + header->caplen), kept[i]);
    }
    pcap_close(in);
  }
}

TEST_F(GeneratorTest, PayloadsArePiecesOfTheCaptures) {
  Result<std::vector<std::uint8_t>> payload = load_payloads(capture());
  ASSERT_TRUE(payload) << payload.error().line();
  ASSERT_GT(payload->size(), 2000u);
  GeneratorQueue queue(spec_of({142}, 1), *payload, 0, 1);
  ASSERT_EQ(fill(queue, 64, 0), 64u);
  std::set<std::ptrdiff_t> places;
  for (const rte_mbuf* const mbuf : burst_) {
    const auto piece = bytes(mbuf).subspan(42);
    const auto found = std::ranges::search(*payload, piece);
    ASSERT_EQ(found.size(), 100u);
    places.insert(found.begin() - payload->begin());
  }
  EXPECT_GT(places.size(), 32u) << "of one capture's payloads, many pieces are on the way";
  EXPECT_FALSE(load_payloads("/nonexistent"));
}

TEST_F(GeneratorTest, APayloadThatAnNfHasChangedIsWrittenAgain) {
  Result<std::vector<std::uint8_t>> payload = load_payloads(capture());
  ASSERT_TRUE(payload) << payload.error().line();
  for (const std::uint16_t size : {43, 60, 142, 1472}) {
    GeneratorQueue queue(spec_of({size}, 1), *payload, 0, 1);
    ASSERT_EQ(fill(queue, 1, 0), 1u);
    std::uint8_t* const at = rte_pktmbuf_mtod(burst_[0], std::uint8_t*) + 42;
    const std::vector<std::uint8_t> first(at, at + size - 42);
    for (const std::size_t changed : {std::size_t{0}, first.size() / 3, first.size() - 1}) {
      at[changed] ^= 1;
      ASSERT_EQ(fill(queue, 1, 0), 1u);
      EXPECT_TRUE(std::equal(first.begin(), first.end(), at)) << size << ", byte " << changed;
    }
  }
}

TEST(LatencyHistogramTest, QuantilesAreWithinASixteenth) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.quantile_ns(0.5), 0u);
  for (std::uint64_t ns = 1; ns <= 100'000; ++ns) histogram.add(ns);
  EXPECT_EQ(histogram.count(), 100'000u);
  for (const double part : {0.01, 0.5, 0.99, 0.999}) {
    EXPECT_GE(static_cast<double>(histogram.quantile_ns(part)), part * 100'000);
    EXPECT_LE(static_cast<double>(histogram.quantile_ns(part)), part * 100'000 * 17 / 16 + 1);
  }
  for (const std::uint64_t ns : {0ul, 15ul, 16ul, 17ul, 31ul, 32ul, 1ul << 40, ~0ul}) {
    EXPECT_GE(LatencyHistogram::upper_edge(LatencyHistogram::index(ns)), ns);
    if (ns != 0) {
      EXPECT_LT(LatencyHistogram::upper_edge(LatencyHistogram::index(ns) - 1), ns);
    }
  }
}

TEST(GeneratorSpecTest, WrongSpecsSayWhatIsWrong) {
  const auto error = [](const std::string& text) {
    const Result<PortSpec> spec = parse_port_spec(text, 0, 1024);
    if (spec) return std::string("no error");
    EXPECT_FALSE(spec.error().fix.empty());
    return spec.error().what.substr(text.size() + 11);
  };
  EXPECT_EQ(error("gen:size=64,flows=3,rate=5"), "no error");
  EXPECT_EQ(error("gen:flows=3"), "size= is missing");
  EXPECT_EQ(error("gen:"), "'' is no size=, flows=, payload= or rate=");
  EXPECT_EQ(error("gen:size=41"), "size=41 is out of range");
  EXPECT_EQ(error("gen:size=1025"), "size=1025 is out of range");
  EXPECT_EQ(error("gen:size=imix"), "imix has packets of 1518 bytes");
  EXPECT_EQ(error("gen:size=64,size=65"), "size is given twice");
  EXPECT_EQ(error("gen:size=64,flows=0"), "flows=0 is out of range");
  EXPECT_EQ(error("gen:size=64,rate=fast"), "rate=fast is out of range");
  EXPECT_EQ(error("gen:size=64,speed=1"), "'speed=1' is no size=, flows=, payload= or rate=");
  EXPECT_EQ(error("gen:size=64,payload=/nonexistent"),
            "input file '/nonexistent' can't be read: No such file or directory");
  EXPECT_EQ(error("gen"), "unknown kind of port");
}

}  // namespace
}  // namespace hb
