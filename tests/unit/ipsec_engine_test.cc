// What the engine does with headers, and which packets it refuses for which reason.
#include <set>

#include "tests/unit/ipsec_world.h"

namespace hb::test {
namespace {

using namespace ipsec;

const ReferenceSa kSa = all_transforms(false)[0];   // AES-128-CBC, SHA-1
const ReferenceSa kGcm = all_transforms(false)[2];  // AES-128-GCM

std::string sa_text(const ReferenceSa& sa, const std::string& more = "replay-window 64") {
  return sa.command("192.0.2.1", "192.0.2.2", more);
}
Bytes sealed_frame(const ReferenceSa& sa, std::uint64_t sequence, const Bytes& inner,
                   std::uint8_t tos = 0) {
  std::mt19937 rng(static_cast<unsigned>(sequence));
  return esp_frame(reference_seal_raw(sa, sequence, random_bytes(rng, sa.iv_bytes()),
                                      with_trailer(sa, inner, inner[0] >> 4 == 4 ? 4 : 41)),
                   tos);
}

struct Sealer {
  explicit Sealer(const std::string& text, GateOptions options = one_way(Direction::kEncrypt))
      : engine(text, options, block) {}
  StateBlock block;
  EngineUnderTest engine;
};
struct Opener {
  explicit Opener(const std::string& text, GateOptions options = one_way(Direction::kDecrypt))
      : engine(text, options, block) {}
  std::string open(Bytes frame) { return engine.process(frame); }
  StateBlock block;
  EngineUnderTest engine;
};

// RFC 4301 section 5.1.2.1 and 8.1.
TEST(Seal, BuildsAnIpv4Header) {
  std::mt19937 rng(1);
  Sealer sealer(sa_text(kSa));
  Bytes frame = in_ethernet(ip4_packet(100, rng, 0xb9));
  ASSERT_EQ(sealer.engine.process(frame), "");
  const Bytes ip(frame.begin() + 14, frame.end());
  EXPECT_EQ(ip.size(), 20u + 8 + 16 + 112 + 12);
  EXPECT_EQ(ip[0], 0x45);
  EXPECT_EQ(ip[1], 0xb9) << "DSCP and ECN are those of the packet";
  EXPECT_EQ(ip[2] << 8 | ip[3], static_cast<int>(ip.size()));
  EXPECT_EQ(ip[6], 0x40) << "DF as inside";
  EXPECT_EQ(ip[8], 64);
  EXPECT_EQ(ip[9], 50);
  EXPECT_EQ(Bytes(ip.begin() + 12, ip.begin() + 20), Bytes({192, 0, 2, 1, 192, 0, 2, 2}));
  Bytes again = ip;
  set_checksum(again);
  EXPECT_EQ(again, ip);
  EXPECT_EQ(Bytes(frame.begin(), frame.begin() + 12), Bytes(12, 2)) << "the addresses stay";
}

TEST(Seal, FlagsChangeTheOuterHeader) {
  std::mt19937 rng(1);
  Sealer sealer(sa_text(kSa, "flag nopmtudisc noecn extra-flag dont-encap-dscp"),
                {.direction = Direction::kEncrypt, .ttl = 7});
  Bytes frame = in_ethernet(ip4_packet(100, rng, 0xb9));
  ASSERT_EQ(sealer.engine.process(frame), "");
  EXPECT_EQ(frame[15], 0);
  EXPECT_EQ(frame[14 + 6], 0) << "DF is clear";
  EXPECT_EQ(frame[14 + 5], 1) << "so it has an identification";
  EXPECT_EQ(frame[14 + 8], 7);
  Bytes six = in_ethernet(ip6_packet(100, rng, 0xb9));
  ASSERT_EQ(sealer.engine.process(six), "");
  EXPECT_EQ(six[12] << 8 | six[13], 0x0800) << "IPv4 outside";
}

TEST(Seal, BuildsAnIpv6Header) {
  std::mt19937 rng(1);
  Sealer sealer(kGcm.command("2001:db8::1", "2001:db8::2", ""));
  Bytes frame = in_ethernet(ip4_packet(100, rng, 0x5a), {0x81, 0, 0, 7});
  ASSERT_EQ(sealer.engine.process(frame), "");
  EXPECT_EQ(Bytes(frame.begin() + 12, frame.begin() + 18), Bytes({0x81, 0, 0, 7, 0x86, 0xdd}));
  const Bytes ip(frame.begin() + 18, frame.end());
  EXPECT_EQ(ip[0] << 8 | ip[1], 0x65a0);
  EXPECT_EQ(ip[4] << 8 | ip[5], static_cast<int>(ip.size()) - 40);
  EXPECT_EQ(ip[6], 50);
  EXPECT_EQ(ip[7], 64);
}

TEST(Seal, EthernetPaddingIsNotSealed) {
  std::mt19937 rng(1);
  Sealer sealer(sa_text(kGcm));
  const Bytes packet = ip4_packet(30, rng);
  Bytes frame = in_ethernet(packet);
  frame.resize(60);
  ASSERT_EQ(sealer.engine.process(frame), "");
  const auto opened = reference_open_raw(kGcm, 1, Bytes(frame.begin() + 34, frame.end()));
  ASSERT_TRUE(opened);
  EXPECT_EQ(*opened, with_trailer(kGcm, packet, 4));
}

TEST(Seal, RefusesWhatDoesNotFit) {
  std::mt19937 rng(1);
  Sealer sealer(sa_text(kSa), {.direction = Direction::kEncrypt, .mtu = 500});
  Bytes fits = in_ethernet(ip4_packet(430, rng));
  EXPECT_EQ(sealer.engine.process(fits), "");
  Bytes large = in_ethernet(ip4_packet(431, rng));
  EXPECT_EQ(sealer.engine.process(large), "too_big");
  std::vector<Bytes> frames = {in_ethernet(ip4_packet(100, rng))};
  EXPECT_EQ(sealer.engine.process(frames, 43).front(), "too_big") << "one byte short in front";
  frames = {in_ethernet(ip4_packet(100, rng))};
  EXPECT_EQ(sealer.engine.process(frames, 44, 23).front(), "too_big") << "one byte short behind";
  frames = {in_ethernet(ip4_packet(100, rng))};
  EXPECT_EQ(sealer.engine.process(frames, 44, 24).front(), "");
}

TEST(Seal, RefusesWhatIsNoIpPacket) {
  Sealer sealer(sa_text(kSa));
  std::mt19937 rng(1);
  Bytes arp(60, 0);
  arp[12] = 8, arp[13] = 6;
  EXPECT_EQ(sealer.engine.process(arp), "not_ip");
  Bytes cut = in_ethernet(ip4_packet(100, rng));
  cut.pop_back();
  EXPECT_EQ(sealer.engine.process(cut), "malformed");
}

TEST(Seal, TtlGoesDownOnlyWhenAsked) {
  std::mt19937 rng(1);
  Sealer sealer(sa_text(kGcm), {.direction = Direction::kEncrypt, .decrement_ttl = true});
  Bytes packet = ip4_packet(100, rng);
  Bytes frame = in_ethernet(packet);
  ASSERT_EQ(sealer.engine.process(frame), "");
  packet[8] = 63;
  set_checksum(packet);
  EXPECT_EQ(*reference_open_raw(kGcm, 1, Bytes(frame.begin() + 34, frame.end())),
            with_trailer(kGcm, packet, 4));
  packet[8] = 1;
  set_checksum(packet);
  frame = in_ethernet(packet);
  EXPECT_EQ(sealer.engine.process(frame), "ttl_expired");
}

TEST(Seal, PoliciesChoose) {
  std::mt19937 rng(1);
  const std::string policy = "ip xfrm policy add src 10.1.0.0/16 dst ";
  Sealer sealer(sa_text(kSa) + policy +
                "10.2.0.1/32 dir out priority 4 tmpl src 192.0.2.1 dst "
                "192.0.2.2 proto esp reqid 1 mode tunnel\n" +
                policy + "10.2.0.2/32 dir out priority 3 action block\n" + policy +
                "10.2.0.3/32 dir out\n" + policy +
                "10.2.0.4/32 dir out tmpl src 192.0.2.1 dst 192.0.2.9 proto esp mode tunnel\n");
  const auto result = [&](std::uint8_t last) {
    Bytes packet = ip4_packet(60, rng);
    packet[19] = last;
    set_checksum(packet);
    Bytes frame = in_ethernet(packet);
    const Bytes before = frame;
    const std::string reason = sealer.engine.process(frame);
    return reason.empty() ? (frame == before ? "bypassed" : "sealed") : reason;
  };
  EXPECT_EQ(result(1), "sealed");
  EXPECT_EQ(result(2), "blocked");
  EXPECT_EQ(result(3), "bypassed");
  EXPECT_EQ(result(4), "no_sa");
  EXPECT_EQ(result(5), "no_policy");
}

TEST(Seal, StopsAtLimits) {
  std::mt19937 rng(1);
  Sealer packets(sa_text(kSa, "limit packet-hard 3"));
  Sealer bytes(sa_text(kSa, "limit byte-hard 150"));
  Sealer numbers(sa_text(kSa, "replay-oseq 0xfffffffd"));
  std::vector<std::string> by_packets, by_bytes, by_numbers;
  for (int i = 0; i < 4; ++i) {
    Bytes a = in_ethernet(ip4_packet(100, rng)), b = a, c = a;
    by_packets.push_back(packets.engine.process(a));
    by_bytes.push_back(bytes.engine.process(b));
    by_numbers.push_back(numbers.engine.process(c));
  }
  EXPECT_EQ(by_packets, (std::vector<std::string>{"", "", "", "lifetime"}));
  EXPECT_EQ(by_bytes, (std::vector<std::string>{"", "", "lifetime", "lifetime"}));
  EXPECT_EQ(by_numbers, (std::vector<std::string>{"", "", "exhausted", "exhausted"}));
}

TEST(Seal, LimitsByTimeAndNotices) {
  Sealer sealer(sa_text(kSa, "limit time-soft 10 limit time-hard 20"));
  SaTable& table = sealer.engine.engine->table();
  const std::uint64_t start = table.sas()[0].state->created;
  EXPECT_TRUE(table.check_limits(start + 9'000'000'000).empty());
  EXPECT_EQ(table.check_limits(start + 10'000'000'000).size(), 1u);
  EXPECT_TRUE(table.check_limits(start + 11'000'000'000).empty()) << "said once";
  EXPECT_EQ(table.check_limits(start + 20'000'000'000).size(), 1u);
  std::mt19937 rng(1);
  Bytes frame = in_ethernet(ip4_packet(100, rng));
  EXPECT_EQ(sealer.engine.process(frame), "lifetime");
}

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

TEST(Engine, BothWaysThroughOneInstance) {
  std::mt19937 rng(1);
  ReferenceSa out = kGcm, in = kSa;
  const std::string text =
      out.command("192.0.2.1", "192.0.2.2", "") + in.command("192.0.2.2", "192.0.2.1", "") +
      "ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out tmpl src 192.0.2.1 dst 192.0.2.2 "
      "proto esp mode tunnel\n"
      "ip xfrm policy add src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd tmpl src 192.0.2.2 dst 192.0.2.1 "
      "proto esp mode tunnel\n";
  StateBlock block;
  EngineUnderTest engine(text, one_way(Direction::kBoth), block);
  Bytes frame = in_ethernet(ip4_packet(65, rng));
  ASSERT_EQ(engine.process(frame), "");
  EXPECT_TRUE(reference_open_raw(out, 1, Bytes(frame.begin() + 34, frame.end())));
  Bytes packet = ip4_packet(65, rng);
  std::swap(packet[13], packet[17]);
  set_checksum(packet);
  Bytes esp = sealed_frame(in, 1, packet);
  std::swap(esp[14 + 15], esp[14 + 19]);  // from .2 to .1
  ASSERT_EQ(engine.process(esp), "");
  EXPECT_EQ(esp, in_ethernet(packet));
}

TEST(Engine, ASuccessorGoesOnWhereTheLastOneStopped) {
  std::mt19937 rng(1);
  StateBlock block;
  const Bytes packet = ip4_packet(65, rng);
  std::set<std::string> ivs;
  std::uint64_t last = 0;
  for (int life = 0; life < 5; ++life) {
    // Killed: never destroyed, so nothing is given back.
    auto* const engine = new EngineUnderTest(sa_text(kGcm), one_way(Direction::kEncrypt), block);
    for (int i = 0; i < 3; ++i) {
      Bytes frame = in_ethernet(packet);
      ASSERT_EQ(engine->process(frame), "");
      const std::uint64_t n = frame[34 + 6] << 8 | frame[34 + 7];
      EXPECT_GT(n, last);
      last = n;
      EXPECT_TRUE(ivs.insert(to_hex(Bytes(frame.begin() + 42, frame.begin() + 50))).second);
    }
    if (life == 3) delete engine;  // ended well: no gap
    if (life == 4) {
      EXPECT_EQ(last, 3 * 1024 + 6u);
    }
    // Still reachable when LeakSanitizer looks: the vector itself is never destroyed.
    static auto& killed = *new std::vector<EngineUnderTest*>;
    if (life != 3) killed.push_back(engine);
  }
  // The window is the last one's as well.
  StateBlock window;
  EngineUnderTest first(sa_text(kSa), one_way(Direction::kDecrypt), window);
  Bytes esp = sealed_frame(kSa, 9, packet), again = esp;
  EXPECT_EQ(first.process(esp), "");
  EngineUnderTest second(sa_text(kSa), one_way(Direction::kDecrypt), window);
  EXPECT_EQ(second.process(again), "replay");
}

TEST(Engine, AnotherKeyStartsAnew) {
  std::mt19937 rng(1);
  StateBlock block;
  ReferenceSa sa = kGcm;
  for (int key = 0; key < 2; ++key) {
    sa.cipher_key[0] = static_cast<std::uint8_t>(key);
    EngineUnderTest engine(sa_text(sa), one_way(Direction::kEncrypt), block);
    Bytes frame = in_ethernet(ip4_packet(65, rng));
    ASSERT_EQ(engine.process(frame), "");
    EXPECT_EQ(frame[34 + 7], 1);
  }
}

TEST(Engine, ReloadsBetweenBursts) {
  std::mt19937 rng(1);
  Opener opener(sa_text(kSa));
  const Bytes packet = ip4_packet(65, rng);
  EXPECT_EQ(opener.open(sealed_frame(kSa, 1, packet)), "");
  auto file = parse_sa_file("new", sa_text(kGcm) + sa_text(kSa));
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(opener.engine.engine->reload(*file).ok());
  EXPECT_EQ(opener.open(sealed_frame(kGcm, 1, packet)), "no_sa");
  opener.engine.engine->take_reloaded();
  EXPECT_EQ(opener.open(sealed_frame(kGcm, 1, packet)), "");
  EXPECT_EQ(opener.open(sealed_frame(kSa, 1, packet)), "replay") << "what stays goes on";
  EXPECT_EQ(opener.open(sealed_frame(kSa, 2, packet)), "");
}

}  // namespace
}  // namespace hb::test
