// What the engine does when it seals, and over its life. ipsec_open_test.cc has the other way.
#include <set>

#include "tests/unit/ipsec_one_way.h"

namespace hb::test {
namespace {

using namespace ipsec;

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
  // Padding, trailer and ICV are 24 bytes.
  constexpr std::uint32_t kBehind = 24 + HB_ESP_MOVED_BACK;
  EXPECT_EQ(sealer.engine.process(frames, 44, kBehind - 1).front(), "too_big")
      << "one byte short behind";
  frames = {in_ethernet(ip4_packet(100, rng))};
  EXPECT_EQ(sealer.engine.process(frames, 44, kBehind).front(), "");
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
