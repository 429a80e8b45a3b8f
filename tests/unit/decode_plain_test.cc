// decode_plain() says nothing, or exactly what decode_packet() says.
#include "nf_lib/decode_plain.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>

#include "kernels/esp_headers.h"
#include "tests/unit/capture_reader.h"
#include "tests/unit/frame_builder.h"

namespace hb {
namespace {

using test::Frame;
using test::FrameBuilder;

/// Compares both on a copy that ends where its heap block ends, so that ASan sees any read past it.
/// @return whether the frame is a plain one
bool expect_same(const Frame& frame, std::size_t length) {
  auto copy = std::make_unique<std::uint8_t[]>(length);
  std::memcpy(copy.get(), frame.data(), length);
  const std::span<const std::uint8_t> bytes{copy.get(), length};
  const PlainPacket plain = decode_plain(bytes);
  if (plain.ip_version == 0) return false;
  const DecodedPacket p = decode_packet(bytes);
  EXPECT_TRUE(p.ok());
  EXPECT_EQ(p.ip_offset, PlainPacket::kOffset);
  EXPECT_EQ(p.ip_version, plain.ip_version);
  EXPECT_EQ(p.protocol, plain.protocol);
  EXPECT_FALSE(p.is_fragment);
  EXPECT_EQ(p.has_ports, plain.has_ports);
  EXPECT_EQ(p.src_port, plain.src_port);
  EXPECT_EQ(p.dst_port, plain.dst_port);
  EXPECT_EQ(p.ip_payload_offset, plain.ip_payload_offset);
  EXPECT_EQ(p.ip_payload_length, plain.ip_payload_length);
  const auto captured = static_cast<std::uint32_t>(length) - PlainPacket::kOffset;
  EXPECT_EQ(hb_ip_stated_bytes(copy.get() + PlainPacket::kOffset, captured),
            plain.ip_bytes <= captured ? plain.ip_bytes : 0);
  return true;
}

bool is_plain(const Frame& frame) { return expect_same(frame, frame.size()); }

TEST(DecodePlain, TakesWhatMostFramesAre) {
  EXPECT_TRUE(is_plain(FrameBuilder().ipv4(6).tcp(1, 2, 12).text("x").done()));
  EXPECT_TRUE(is_plain(FrameBuilder().ipv4(17, 0, 0x4000).udp(1, 2).text("x").done()));
  EXPECT_TRUE(is_plain(FrameBuilder().ipv4(1).icmp(8).done()));
  EXPECT_TRUE(is_plain(FrameBuilder().ipv4(50).zeros(40).done()));
  EXPECT_TRUE(is_plain(FrameBuilder().ipv4(253).done()));
  EXPECT_TRUE(is_plain(FrameBuilder().ipv6(6).tcp(1, 2).text("x").done()));
  EXPECT_TRUE(is_plain(FrameBuilder().ipv6(17).udp(1, 2).text("x").done()));
  EXPECT_TRUE(is_plain(FrameBuilder().ipv6(50).zeros(40).done()));
}

TEST(DecodePlain, LeavesTheRest) {
  EXPECT_FALSE(is_plain(FrameBuilder().ipv4(6, 4).tcp(1, 2).done()));
  EXPECT_FALSE(is_plain(FrameBuilder().ipv4(6, 0, 0x2000).tcp(1, 2).done()));
  EXPECT_FALSE(is_plain(FrameBuilder().ipv4(6, 0, 0x0001).tcp(1, 2).done()));
  EXPECT_FALSE(is_plain(FrameBuilder().vlan(0x8100, 5).ipv4(6).tcp(1, 2).done()));
  EXPECT_FALSE(is_plain(FrameBuilder().ipv6(44).bytes({17, 0, 0, 0, 0, 0, 0, 1}).done()));
  EXPECT_FALSE(is_plain(FrameBuilder().ipv6(60).bytes({6, 0}).zeros(6).tcp(1, 2).done()));
  EXPECT_FALSE(is_plain(FrameBuilder().be16(0x0806).zeros(46).done()));
  EXPECT_FALSE(is_plain(Frame(70'000, 0x45)));
}

TEST(DecodePlain, LayerFourHeadersThatContradictThemselvesHaveNoPorts) {
  for (unsigned length = 0; length < 12; ++length) {
    Frame udp = FrameBuilder().ipv4(17).udp(1, 2).text("abcdef").done();
    udp[14 + 20 + 5] = static_cast<std::uint8_t>(length);
    EXPECT_TRUE(is_plain(udp));
  }
  for (unsigned words = 0; words < 16; ++words) {
    Frame tcp = FrameBuilder().ipv6(6).tcp(1, 2).text("abcdef").done();
    tcp[14 + 40 + 12] = static_cast<std::uint8_t>(words << 4);
    EXPECT_TRUE(is_plain(tcp));
  }
}

TEST(DecodePlain, EveryPrefixOfEveryRealPacket) {
  std::size_t n_plain = 0;
  for (const auto& path : test::capture_files()) {
    for (const Frame& frame : test::read_capture(path)) {
      for (std::size_t length = 0; length <= std::min<std::size_t>(frame.size(), 140); ++length)
        expect_same(frame, length);
      n_plain += is_plain(frame);
    }
    ASSERT_FALSE(HasFailure()) << path;
  }
  EXPECT_GT(n_plain, 1000u);
}

TEST(DecodePlain, ChangedHeaderBytes) {
  std::mt19937 rng(791);
  std::vector<Frame> frames;
  for (const auto& path : test::capture_files())
    for (Frame& frame : test::read_capture(path)) frames.push_back(std::move(frame));
  frames.push_back(FrameBuilder().ipv6(6).tcp(1, 2).text("x").done());
  for (int trial = 0; trial < 300'000; ++trial) {
    Frame frame = trial % 4 == 0 ? frames.back() : frames[rng() % frames.size()];
    for (auto n = 1 + rng() % 4; n > 0; --n) {
      const std::size_t at = 12 + rng() % 60;
      if (at < frame.size()) frame[at] = static_cast<std::uint8_t>(rng());
    }
    expect_same(frame, trial % 2 == 0 ? frame.size() : rng() % (frame.size() + 1));
    ASSERT_FALSE(HasFailure()) << "trial " << trial;
  }
}

}  // namespace
}  // namespace hb
