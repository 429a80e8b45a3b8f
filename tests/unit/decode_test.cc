#include "nf_lib/decode.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "tests/unit/capture_reader.h"
#include "tests/unit/frame_builder.h"

namespace hb {
namespace {

using test::Frame;
using test::FrameBuilder;

std::string l4_payload(const Frame& frame, const DecodedPacket& p) {
  return {frame.begin() + p.l4_payload_offset,
          frame.begin() + p.l4_payload_offset + p.l4_payload_length};
}

/// Decodes a copy that ends where its heap block ends, so that ASan sees any read past it.
DecodedPacket decode_exact(const Frame& frame, std::size_t length) {
  auto copy = std::make_unique<std::uint8_t[]>(length);
  std::memcpy(copy.get(), frame.data(), length);
  return decode_packet({copy.get(), length});
}

void expect_ranges_inside(const DecodedPacket& p, std::size_t size) {
  if (!p.ok()) {
    EXPECT_EQ(p.l4, L4Kind::kNone);
    EXPECT_FALSE(p.has_ports);
    return;
  }
  EXPECT_TRUE(p.ip_version == 4 || p.ip_version == 6);
  EXPECT_LE(p.ip_payload_offset + std::uint64_t{p.ip_payload_length}, size);
  if (p.l4 == L4Kind::kNone) return;
  EXPECT_FALSE(p.is_fragment);
  EXPECT_GE(p.l4_payload_offset, p.ip_payload_offset + 8);
  EXPECT_LE(p.l4_payload_offset + std::uint64_t{p.l4_payload_length},
            p.ip_payload_offset + std::uint64_t{p.ip_payload_length});
  if (p.l4 == L4Kind::kTcp) {
    EXPECT_EQ(p.tcp_flags_offset, p.ip_payload_offset + 13);
  }
}

TEST(DecodePacket, FindsTcpBehindIpAndTcpOptions) {
  const Frame frame = FrameBuilder().ipv4(6, 8).tcp(1234, 80, 12).text("GET /").done();
  const DecodedPacket p = decode_packet(frame);
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(p.l4, L4Kind::kTcp);
  EXPECT_EQ(p.ip_offset, 14u);
  EXPECT_EQ(p.ip_payload_offset, 14u + 28u);
  EXPECT_EQ(p.src_port, 1234);
  EXPECT_EQ(p.dst_port, 80);
  EXPECT_EQ(p.src[0], 10);
  EXPECT_EQ(p.dst[3], 2);
  EXPECT_EQ(frame[p.tcp_flags_offset], 0x18);
  EXPECT_EQ(l4_payload(frame, p), "GET /");
}

TEST(DecodePacket, WalksUpToTwoVlanTagsOfAnyKnownType) {
  for (unsigned tpid : {0x8100u, 0x88a8u, 0x9100u}) {
    const Frame one = FrameBuilder().vlan(tpid, 5).ipv4(17).udp(1, 2).text("x").done();
    EXPECT_EQ(decode_packet(one).ip_offset, 18u);
    const Frame two = FrameBuilder().vlan(tpid, 5).vlan(0x8100, 6).ipv4(17).udp(1, 2).done();
    EXPECT_TRUE(decode_packet(two).has_ports);
    EXPECT_EQ(decode_packet(two).n_vlan_tags, 2);
    const Frame three =
        FrameBuilder().vlan(tpid, 5).vlan(0x8100, 6).vlan(0x8100, 7).ipv4(17).udp(1, 2).done();
    EXPECT_EQ(decode_packet(three).status, DecodeStatus::kNotIp);
  }
}

TEST(DecodePacket, OtherEthertypesAreNotIp) {
  for (unsigned type : {0x0806u, 0x8847u, 0x8864u, 0x05dcu}) {
    const Frame frame = FrameBuilder().be16(type).zeros(50).done();
    EXPECT_EQ(decode_packet(frame).status, DecodeStatus::kNotIp) << type;
    EXPECT_EQ(decode_packet(frame).ethertype, type);
  }
}

TEST(DecodePacket, CutsPayloadsToTheLengthsThatHeadersState) {
  Frame frame = FrameBuilder().ipv4(17).udp(1, 2).text("abcdef").done();
  frame.insert(frame.end(), 18, 0xee);  // Ethernet padding
  EXPECT_EQ(l4_payload(frame, decode_packet(frame)), "abcdef");
  frame[14 + 20 + 5] = 8 + 3;  // the UDP header states less than the IP header
  EXPECT_EQ(l4_payload(frame, decode_packet(frame)), "abc");
  EXPECT_EQ(decode_packet(frame).ip_payload_length, 8u + 6u);
  frame[14 + 20 + 5] = 200;  // more than there is
  EXPECT_EQ(l4_payload(frame, decode_packet(frame)), "abcdef");
  frame[14 + 20 + 5] = 0;  // unknown: RFC 2675 section 4
  EXPECT_EQ(l4_payload(frame, decode_packet(frame)), "abcdef");
  frame[14 + 20 + 5] = 7;  // less than the header
  EXPECT_EQ(decode_packet(frame).l4, L4Kind::kNone);
  EXPECT_TRUE(decode_packet(frame).ok());
}

TEST(DecodePacket, TotalLengthZeroMeansTheCapturedLength) {
  Frame frame = FrameBuilder().ipv4(6).tcp(1, 2).text("segment").done();
  frame[16] = frame[17] = 0;
  EXPECT_EQ(l4_payload(frame, decode_packet(frame)), "segment");
  Frame v6 = FrameBuilder().ipv6(6).tcp(1, 2).text("segment").done();
  v6[18] = v6[19] = 0;
  EXPECT_EQ(l4_payload(v6, decode_packet(v6)), "segment");
}

TEST(DecodePacket, ContradictingIpLengthsAreMalformed) {
  const Frame good = FrameBuilder().ipv4(6).tcp(1, 2).done();
  Frame frame = good;
  frame[14] = 0x44;  // 16-byte header
  EXPECT_EQ(decode_packet(frame).status, DecodeStatus::kMalformed);
  frame = good;
  frame[14] = 0x4f;  // options beyond the frame
  EXPECT_EQ(decode_packet(frame).status, DecodeStatus::kMalformed);
  frame = good;
  frame[17] = 19;  // total length below the header's
  EXPECT_EQ(decode_packet(frame).status, DecodeStatus::kMalformed);
  frame = good;
  frame[14] = 0x65;  // another version than the ethertype says
  EXPECT_EQ(decode_packet(frame).status, DecodeStatus::kMalformed);
}

TEST(DecodePacket, CutOrWrongTcpHeaderLeavesIpOnly) {
  Frame frame = FrameBuilder().ipv4(6).tcp(1, 2).done();
  frame[14 + 20 + 12] = 0x40;  // 16 bytes
  EXPECT_TRUE(decode_packet(frame).ok());
  EXPECT_FALSE(decode_packet(frame).has_ports);
  frame[14 + 20 + 12] = 0x60;  // 24 bytes, 20 there
  EXPECT_EQ(decode_packet(frame).l4, L4Kind::kNone);
  EXPECT_EQ(decode_packet(frame).ip_payload_length, 20u);
}

TEST(DecodePacket, Ipv4FragmentsHaveNoPorts) {
  for (unsigned fragment : {0x2000u, 0x2010u, 0x0010u}) {
    const Frame frame = FrameBuilder().ipv4(6, 0, fragment).tcp(1, 2).text("x").done();
    const DecodedPacket p = decode_packet(frame);
    ASSERT_TRUE(p.ok());
    EXPECT_TRUE(p.is_fragment);
    EXPECT_EQ(p.first_fragment, (fragment & 0x1fff) == 0);
    EXPECT_FALSE(p.has_ports);
    EXPECT_EQ(p.protocol, 6);
    EXPECT_EQ(p.ip_payload_length, 21u);
  }
  const Frame dont_fragment = FrameBuilder().ipv4(6, 0, 0x4000).tcp(1, 2).done();
  EXPECT_TRUE(decode_packet(dont_fragment).has_ports);
}

TEST(DecodePacket, WalksIpv6ExtensionHeaders) {
  const Frame frame = FrameBuilder()
                          .ipv6(kProtocolHopByHop)
                          .bytes({kProtocolRouting, 0})
                          .zeros(6)
                          .bytes({kProtocolAh, 1})
                          .zeros(14)
                          .bytes({kProtocolDestinationOptions, 4})
                          .zeros(22)  // AH: (4 + 2) * 4
                          .bytes({kProtocolTcp, 0})
                          .zeros(6)
                          .tcp(7, 8)
                          .text("deep")
                          .done();
  const DecodedPacket p = decode_packet(frame);
  ASSERT_TRUE(p.ok());
  EXPECT_EQ(p.protocol, kProtocolTcp);
  EXPECT_EQ(p.ip_payload_offset, 14u + 40 + 8 + 16 + 24 + 8);
  EXPECT_EQ(p.dst_port, 8);
  EXPECT_EQ(l4_payload(frame, p), "deep");
}

TEST(DecodePacket, Ipv6FragmentPayloadStartsAfterTheFragmentHeader) {
  const Frame later =
      FrameBuilder().ipv6(44).bytes({17, 0, 0x00, 0x08, 0, 0, 0, 1}).text("rest").done();
  const DecodedPacket p = decode_packet(later);
  ASSERT_TRUE(p.ok());
  EXPECT_TRUE(p.is_fragment);
  EXPECT_FALSE(p.first_fragment);
  EXPECT_EQ(p.protocol, 17);
  EXPECT_EQ(p.ip_payload_offset, 14u + 48);
  EXPECT_EQ(p.ip_payload_length, 4u);
  const Frame first =
      FrameBuilder().ipv6(44).bytes({17, 0, 0x00, 0x01, 0, 0, 0, 1}).udp(1, 2).done();
  EXPECT_TRUE(decode_packet(first).first_fragment);
  EXPECT_FALSE(decode_packet(first).has_ports);
}

// RFC 6946: offset 0 and no more fragments is a whole packet.
TEST(DecodePacket, AtomicFragmentIsAWholePacket) {
  const Frame frame =
      FrameBuilder().ipv6(44).bytes({17, 0, 0, 0, 0, 0, 0, 1}).udp(5, 6).text("all").done();
  const DecodedPacket p = decode_packet(frame);
  EXPECT_FALSE(p.is_fragment);
  EXPECT_EQ(l4_payload(frame, p), "all");
}

TEST(DecodePacket, ExtensionHeaderBeyondTheStatedLengthIsMalformed) {
  Frame frame = FrameBuilder().ipv6(60).bytes({6, 9}).zeros(6).tcp(1, 2).done();
  EXPECT_EQ(decode_packet(frame).status, DecodeStatus::kMalformed);
  frame = FrameBuilder().ipv6(60).bytes({6, 0}).zeros(6).tcp(1, 2).done();
  EXPECT_TRUE(decode_packet(frame).ok());
  frame[19] = 7;  // the payload length ends inside the extension header
  EXPECT_EQ(decode_packet(frame).status, DecodeStatus::kMalformed);
}

TEST(DecodePacket, IcmpBelongsToItsIpVersion) {
  const Frame v4 = FrameBuilder().ipv4(1).icmp(8).text("ping").done();
  EXPECT_EQ(decode_packet(v4).l4, L4Kind::kIcmp);
  EXPECT_EQ(l4_payload(v4, decode_packet(v4)), "ping");
  const Frame v6 = FrameBuilder().ipv6(58).icmp(128).text("ping").done();
  EXPECT_EQ(decode_packet(v6).l4, L4Kind::kIcmpV6);
  const Frame crossed = FrameBuilder().ipv4(58).icmp(128).done();
  EXPECT_EQ(decode_packet(crossed).l4, L4Kind::kNone);
  const Frame cut = FrameBuilder().ipv4(1).bytes({8, 0, 0, 0, 0, 0, 0}).done();
  EXPECT_EQ(decode_packet(cut).l4, L4Kind::kNone);
}

TEST(DecodePacket, OtherProtocolsHaveAnIpPayloadOnly) {
  for (unsigned protocol : {4u, 41u, 47u, 50u, 132u}) {
    const Frame frame = FrameBuilder().ipv4(protocol).zeros(40).done();
    const DecodedPacket p = decode_packet(frame);
    ASSERT_TRUE(p.ok());
    EXPECT_EQ(p.l4, L4Kind::kNone);
    EXPECT_EQ(p.ip_payload_length, 40u);
  }
}

TEST(DecodePacket, EveryPrefixOfEveryRealPacketStaysInside) {
  std::size_t n_packets = 0;
  for (const auto& path : test::capture_files()) {
    const auto frames = test::read_capture(path);
    ASSERT_FALSE(frames.empty()) << path;
    for (const Frame& frame : frames) {
      ++n_packets;
      const std::size_t longest = std::min<std::size_t>(frame.size(), 140);
      for (std::size_t length = 0; length <= longest; ++length) {
        expect_ranges_inside(decode_exact(frame, length), length);
      }
      expect_ranges_inside(decode_exact(frame, frame.size()), frame.size());
    }
    if (HasFailure()) FAIL() << path;
  }
  EXPECT_GT(n_packets, 3000u);
}

TEST(DecodePacket, FlippedHeaderBytesStayInside) {
  std::mt19937 rng(791);
  std::vector<Frame> frames;
  for (const auto& path : test::capture_files()) {
    for (Frame& frame : test::read_capture(path)) frames.push_back(std::move(frame));
  }
  for (int trial = 0; trial < 100'000; ++trial) {
    Frame frame = frames[rng() % frames.size()];
    for (auto flips = 1 + rng() % 6; flips > 0; --flips) {
      const std::size_t at = 12 + rng() % 60;
      if (at < frame.size()) frame[at] = static_cast<std::uint8_t>(rng());
    }
    const std::size_t length = rng() % (frame.size() + 1);
    expect_ranges_inside(decode_exact(frame, length), length);
    ASSERT_FALSE(HasFailure()) << "trial " << trial;
  }
}

}  // namespace
}  // namespace hb
