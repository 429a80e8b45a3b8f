// What the engine does with headers when it opens, and what it refuses for which reason.
#include "tests/unit/ipsec_one_way.h"

namespace hb::test {
namespace {

using namespace ipsec;

// RFC 6040 figure 4, all sixteen.
TEST(Open, EcnFollowsRfc6040) {
  constexpr int kDrop = 4;
  constexpr int kWanted[4][4] = {// [inner][outer]: Not-ECT 0, ECT(1) 1, ECT(0) 2, CE 3
                                 {0, 0, 0, kDrop},
                                 {1, 1, 1, 3},
                                 {2, 1, 2, 3},
                                 {3, 3, 3, 3}};
  std::mt19937 rng(1);
  for (const bool six : {false, true}) {
    Opener opener(sa_text(kGcm));
    std::uint64_t sequence = 0;
    for (unsigned inner = 0; inner < 4; ++inner) {
      for (unsigned outer = 0; outer < 4; ++outer) {
        const auto tos = static_cast<std::uint8_t>(0xa8 | inner);
        const Bytes packet = six ? ip6_packet(90, rng, tos) : ip4_packet(90, rng, tos);
        Bytes frame = sealed_frame(kGcm, ++sequence, packet, static_cast<std::uint8_t>(outer));
        const std::string reason = opener.engine.process(frame);
        const int wanted = kWanted[inner][outer];
        ASSERT_EQ(reason, wanted == kDrop ? "congestion" : "") << inner << outer;
        if (wanted == kDrop) continue;
        Bytes expected = packet;
        const int after = 0xa8 | wanted;
        if (six) {
          expected[0] = static_cast<std::uint8_t>(0x60 | after >> 4);
          expected[1] = static_cast<std::uint8_t>(after << 4);
        } else {
          expected[1] = static_cast<std::uint8_t>(after);
          set_checksum(expected);
        }
        EXPECT_EQ(frame, in_ethernet(expected)) << inner << outer;
      }
    }
  }
}

TEST(Open, DscpIsCarriedOverWhenAsked) {
  std::mt19937 rng(1);
  Opener opener(sa_text(kGcm, "flag decap-dscp noecn"));
  Bytes packet = ip4_packet(90, rng, 0x01);
  Bytes frame = sealed_frame(kGcm, 1, packet, 0xbb);
  ASSERT_EQ(opener.engine.process(frame), "");
  packet[1] = 0xb9;
  set_checksum(packet);
  EXPECT_EQ(frame, in_ethernet(packet));
}

TEST(Open, EachFlippedBitIsFound) {
  std::mt19937 rng(1);
  for (const bool esn : {false, true}) {
    for (const ReferenceSa& sa : all_transforms(esn)) {
      Opener opener(sa_text(sa));
      const Bytes good = sealed_frame(sa, 5, ip4_packet(70, rng));
      for (std::size_t bit = 14 * 8; bit < good.size() * 8; ++bit) {
        Bytes frame = good;
        frame[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        const std::size_t at = bit / 8 - 14;
        const std::string reason = opener.open(frame);
        if (at < 20) {
          EXPECT_NE(reason, "") << "outer header, byte " << at;
        } else if (at < 24) {
          EXPECT_EQ(reason, "no_sa") << "SPI";
        } else {
          // A number far behind is refused at once, one ahead by its ICV.
          EXPECT_EQ(reason, at < 28 && reason == "replay" ? "replay" : "bad_icv") << "byte " << at;
        }
      }
      EXPECT_EQ(opener.open(good), "") << "nothing of this has moved the window";
    }
  }
}

TEST(Open, TruncatedPacketsAreRefused) {
  std::mt19937 rng(1);
  for (const ReferenceSa& sa : all_transforms(false)) {
    Opener opener(sa_text(sa));
    const Bytes good = sealed_frame(sa, 5, ip4_packet(70, rng));
    for (std::size_t bytes = 14; bytes < good.size(); ++bytes) {
      const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes));
      EXPECT_EQ(opener.open(cut), "malformed") << bytes;
    }
    // The same with headers that agree: whole blocks are missing, or not.
    const Bytes esp(good.begin() + 34, good.end());
    for (std::size_t bytes = 0; bytes < esp.size(); ++bytes) {
      const std::string reason = opener.open(
          esp_frame(Bytes(esp.begin(), esp.begin() + static_cast<std::ptrdiff_t>(bytes))));
      EXPECT_TRUE(reason == "malformed" || reason == "bad_icv") << bytes << reason;
    }
    EXPECT_EQ(opener.open(good), "");
  }
}

TEST(Open, AnotherKeyGivesABadIcv) {
  std::mt19937 rng(1);
  for (ReferenceSa sa : all_transforms(false)) {
    Opener opener(sa_text(sa));
    const bool by_cipher = sa.gcm;
    (by_cipher ? sa.cipher_key : sa.auth_key)[0] ^= 1;
    EXPECT_EQ(opener.open(sealed_frame(sa, 5, ip4_packet(70, rng))), "bad_icv");
  }
}

TEST(Open, AuthenticNonsenseHasItsReasons) {
  std::mt19937 rng(1);
  Opener opener(sa_text(kSa));
  std::uint64_t sequence = 0;
  const auto open_plain = [&](Bytes plain) {
    return opener.open(
        esp_frame(reference_seal_raw(kSa, ++sequence, random_bytes(rng, 16), plain)));
  };
  Bytes plain = with_trailer(kSa, ip4_packet(65, rng), 4);
  plain[66] ^= 0x40;
  EXPECT_EQ(open_plain(plain), "bad_padding");
  plain = Bytes(32, 0);
  plain[30] = 31;
  EXPECT_EQ(open_plain(plain), "bad_padding") << "longer than what there is";
  EXPECT_EQ(open_plain(with_trailer(kSa, ip4_packet(65, rng), 59)), "dummy");
  EXPECT_EQ(open_plain(with_trailer(kSa, ip4_packet(65, rng), 41)), "bad_inner");
  EXPECT_EQ(open_plain(with_trailer(kSa, ip4_packet(65, rng), 6)), "bad_inner") << "transport mode";
  EXPECT_EQ(open_plain(with_trailer(kSa, Bytes(10, 0x45), 4)), "bad_inner");
  Bytes longer = ip4_packet(65, rng);
  longer[3] = 66;
  EXPECT_EQ(open_plain(with_trailer(kSa, longer, 4)), "bad_inner");
}

TEST(Open, TrafficFlowPaddingIsCutOff) {
  std::mt19937 rng(1);
  Opener opener(sa_text(kGcm));
  const Bytes packet = ip4_packet(65, rng);
  Bytes longer = packet;
  longer.resize(300, 0);
  Bytes frame =
      esp_frame(reference_seal_raw(kGcm, 1, random_bytes(rng, 8), with_trailer(kGcm, longer, 4)));
  ASSERT_EQ(opener.engine.process(frame), "");
  EXPECT_EQ(frame, in_ethernet(packet));
}

TEST(Open, ReplaysAndReorderedPackets) {
  std::mt19937 rng(1);
  Opener opener(sa_text(kGcm, "replay-window 64"));
  const Bytes packet = ip4_packet(65, rng);
  const auto open = [&](std::uint64_t n) { return opener.open(sealed_frame(kGcm, n, packet)); };
  EXPECT_EQ(open(0), "replay") << "no packet has number 0";
  EXPECT_EQ(open(100), "");
  EXPECT_EQ(open(100), "replay");
  EXPECT_EQ(open(37), "") << "the last one in the window";
  EXPECT_EQ(open(36), "replay") << "left of it";
  EXPECT_EQ(open(99), "");
  EXPECT_EQ(open(99), "replay");
  std::vector<Bytes> twice = {sealed_frame(kGcm, 200, packet), sealed_frame(kGcm, 200, packet)};
  EXPECT_EQ(opener.engine.process(twice), (std::vector<std::string>{"", "replay"}))
      << "within one burst";
  Opener without(sa_text(kGcm, "replay-window 0"));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(without.open(sealed_frame(kGcm, 7, packet)), "");
}

TEST(Open, ExtendedNumbersCrossTheLowHalf) {
  std::mt19937 rng(1);
  for (const ReferenceSa& sa : all_transforms(true)) {
    Opener opener(sa_text(sa, "replay-window 128 replay-seq 0xfffffff0"));
    const Bytes packet = ip4_packet(65, rng);
    for (const std::uint64_t n : {0xfffffff8ull, 0x100000004ull, 0xfffffffeull, 0x100000001ull})
      EXPECT_EQ(opener.open(sealed_frame(sa, n, packet)), "") << std::hex << n;
    EXPECT_EQ(opener.open(sealed_frame(sa, 0x100000001, packet)), "replay");
    EXPECT_EQ(opener.open(sealed_frame(sa, 0x4, packet)), "replay");
  }
}

TEST(Open, FragmentsOthersAndUnknownOnes) {
  std::mt19937 rng(1);
  const std::string policy = "ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 ";
  Opener opener(sa_text(kGcm) + policy + "proto 17 dir in\n" + policy +
                "proto 6 dir in action block\n" + policy +
                "proto 253 dir in tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel\n");
  Bytes fragment = sealed_frame(kGcm, 1, ip4_packet(65, rng));
  fragment[14 + 6] = 0x20;
  Bytes ip(fragment.begin() + 14, fragment.end());
  set_checksum(ip);
  EXPECT_EQ(opener.open(in_ethernet(ip)), "fragment");
  EXPECT_EQ(opener.open(in_ethernet(ip4_packet(65, rng))), "not_esp");
  EXPECT_EQ(opener.open(in_ethernet(ip4_packet(65, rng, 0, 17))), "") << "let through";
  EXPECT_EQ(opener.open(in_ethernet(ip4_packet(65, rng, 0, 6))), "blocked");
  EXPECT_EQ(opener.open(sealed_frame(kGcm, 2, ip4_packet(65, rng))), "");
  EXPECT_EQ(opener.open(sealed_frame(kGcm, 3, ip4_packet(65, rng, 0, 17))), "policy_mismatch");
  EXPECT_EQ(opener.open(sealed_frame(kGcm, 4, ip6_packet(65, rng))), "policy_mismatch");
}

}  // namespace
}  // namespace hb::test
