// A gate's configuration on its way to another process: nothing of it is lost, and nothing that is
// no configuration is taken for one.
#include "nf_lib/esp/gate_image.h"

#include <gtest/gtest.h>

#include <random>

#include "nfs/ipsec/engine.h"
#include "nfs/ipsec/sa_file.h"

namespace hb::ipsec {
namespace {

GateConfig example() {
  const auto file = parse_sa_file(
      "example",
      "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x301 mode tunnel reqid 7 flag "
      "esn replay-window 128 limit packet-hard 9 sel src 10.0.0.0/8 dst 10.2.0.0/16 aead "
      "rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128\n"
      "ip xfrm state add src 2001:db8::1 dst 2001:db8::2 proto esp spi 0x302 mode tunnel enc "
      "cbc(aes) 0x000102030405060708090a0b0c0d0e0f auth hmac(sha1) 0x00010203\n"
      "ip xfrm policy add src ::/0 dst 2001:db8::/32 proto udp dport 53 dir out priority 5 tmpl "
      "src "
      "2001:db8::1 dst 2001:db8::2 proto esp mode tunnel\n");
  EXPECT_TRUE(file) << (file ? "" : file.error().line());
  const auto crypto = Crypto::make();
  return gate_config(*file, {.direction = Direction::kEncrypt, .ttl = 9, .mtu = 1400}, *crypto);
}

TEST(GateImage, ComesBackAsItWas) {
  const GateConfig config = example();
  const std::vector<std::byte> bytes = pack_gate(config);
  const auto again = unpack_gate(bytes);
  ASSERT_TRUE(again);
  EXPECT_EQ(pack_gate(*again), bytes);
  EXPECT_EQ(again->name, "example");
  EXPECT_EQ(again->options.mtu, 1400u);
  EXPECT_EQ(again->ids, config.ids);
  ASSERT_EQ(again->sas.size(), 2u);
  EXPECT_EQ(again->sas[0].selector, config.sas[0].selector);
  EXPECT_EQ(again->sas[0].limits, config.sas[0].limits);
  EXPECT_EQ(again->sas[0].flags, config.sas[0].flags);
  EXPECT_EQ(again->sas[1].dst, config.sas[1].dst);
  ASSERT_EQ(again->policies.size(), 1u);
  EXPECT_EQ(again->policies[0].selector, config.policies[0].selector);
}

TEST(GateImage, WhatIsCutShortOrTooLongIsRefused) {
  std::vector<std::byte> bytes = pack_gate(example());
  for (std::size_t n = 0; n < bytes.size(); ++n)
    ASSERT_FALSE(unpack_gate(std::span(bytes).first(n))) << n;
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(unpack_gate(bytes));
}

TEST(GateImage, WhatIsTakenAfterDamageIsInItsRanges) {
  const std::vector<std::byte> good = pack_gate(example());
  std::mt19937 rng(1);
  for (int trial = 0; trial < 20000; ++trial) {
    std::vector<std::byte> bytes = good;
    for (std::uint32_t n = 1 + rng() % 4; n > 0; --n)
      bytes[rng() % bytes.size()] = static_cast<std::byte>(rng());
    const auto config = unpack_gate(bytes);
    if (!config) continue;
    ASSERT_EQ(config->ids.size(), config->sas.size());
    for (const SaParameters& sa : config->sas) {
      ASSERT_TRUE(sa.dst.version == 4 || sa.dst.version == 6);
      ASSERT_LE(sa.replay_window, kMaxWindow);
      ASSERT_LE(static_cast<int>(sa.algorithm), static_cast<int>(Algorithm::kAesGcm));
    }
    for (const PolicyConfig& policy : config->policies)
      ASSERT_LE(policy.selector.dst.length, policy.selector.dst.address.version == 6 ? 128 : 32);
  }
}

}  // namespace
}  // namespace hb::ipsec
