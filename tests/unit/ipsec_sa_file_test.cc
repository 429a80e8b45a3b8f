#include "nfs/ipsec/sa_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace hb::ipsec {
namespace {

const std::string kGcmKey = "0x000102030405060708090a0b0c0d0e0f10111213";
const std::string kCommand = "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x301 ";
const std::string kGcm = "mode tunnel aead 'rfc4106(gcm(aes))' " + kGcmKey + " 128 ";

SaFile parse(std::string_view text) {
  Result<SaFile> file = parse_sa_file("f", text);
  EXPECT_TRUE(file.ok()) << (file.ok() ? "" : file.error().line());
  return file ? std::move(*file) : SaFile{};
}

std::string error_of(std::string_view text) {
  const Result<SaFile> file = parse_sa_file("f", text);
  if (file) return "no error";
  EXPECT_FALSE(file.error().fix.empty()) << file.error().what;
  return file.error().what;
}

IpAddress address(std::string_view text) { return *parse_address(text); }

// As iproute2 6.1 prints it.
TEST(SaFile, ReadsADump) {
  const SaFile file = parse(
      "src 192.0.2.1 dst 192.0.2.2\n"
      "\tproto esp spi 0xc0ffee01 reqid 16385 mode tunnel\n"
      "\treplay-window 32 flag af-unspec\n"
      "\tauth-trunc hmac(sha1) 0x000102030405060708090a0b0c0d0e0f10111213 96\n"
      "\tenc cbc(aes) 0x101112131415161718191a1b1c1d1e1f\n"
      "\tanti-replay context: seq 0x10, oseq 0x7, bitmap 0x00000001\n"
      "\tsel src 0.0.0.0/0 dst 0.0.0.0/0 \n"
      "src 2001:db8::1 dst 2001:db8::2\n"
      "\tproto esp spi 0x00000302 reqid 2 mode tunnel\n"
      "\treplay-window 0 flag nopmtudisc noecn decap-dscp esn\n"
      "\taead rfc4106(gcm(aes)) 0x" +
      std::string(72, 'a') +
      " 128\n"
      "\tanti-replay esn context:\n"
      "\t seq-hi 0x1, seq 0x5, oseq-hi 0x2, oseq 0x6\n"
      "\t replay_window 128, bitmap-length 4\n"
      "\t 00000000 00000000 00000000 00000001 \n"
      "\tsel src 2001:db8:1::/48 dst 2001:db8:2::/48 proto tcp dport 443\n");
  ASSERT_EQ(file.sas.size(), 2u);
  const SaConfig& a = file.sas[0];
  EXPECT_EQ(a.src, address("192.0.2.1"));
  EXPECT_EQ(a.dst, address("192.0.2.2"));
  EXPECT_EQ(a.spi, 0xc0ffee01u);
  EXPECT_EQ(a.reqid, 16385u);
  EXPECT_EQ(a.algorithm, Algorithm::kAesCbcSha1);
  EXPECT_EQ(a.cipher_key_bytes, 16u);
  EXPECT_EQ(a.cipher_key[15], 0x1f);
  EXPECT_EQ(a.auth_key_bytes, 20u);
  EXPECT_EQ(a.auth_key[19], 0x13);
  EXPECT_EQ(a.replay_window, 32u);
  EXPECT_EQ(a.last_received, 0x10u);
  EXPECT_EQ(a.last_sent, 7u);
  EXPECT_FALSE(a.selector) << "af-unspec and all open: anything";
  EXPECT_EQ(a.line, 1u);
  const SaConfig& b = file.sas[1];
  EXPECT_EQ(b.algorithm, Algorithm::kAesGcm);
  EXPECT_EQ(b.cipher_key_bytes, 32u);
  EXPECT_EQ(b.salt[0], 0xaa);
  EXPECT_EQ(b.replay_window, 128u);
  EXPECT_EQ(b.last_received, 0x100000005u);
  EXPECT_EQ(b.last_sent, 0x200000006u);
  EXPECT_TRUE(b.flags.esn && b.flags.noecn && b.flags.nopmtudisc && b.flags.decap_dscp);
  ASSERT_TRUE(b.selector);
  EXPECT_EQ(b.selector->protocol, 6);
  EXPECT_EQ(b.selector->dst_port, 443);
  EXPECT_EQ(b.selector->src, *parse_prefix("2001:db8:1::/48"));
  EXPECT_EQ(b.line, 8u);
}

// `ip -s xfrm state`: notes in brackets, lifetimes, statistics.
TEST(SaFile, ReadsADumpWithStatistics) {
  const SaFile file = parse(
      "src 192.0.2.1 dst 192.0.2.2\n"
      "\tproto esp spi 0x00000301(769) reqid 1(0x00000001) mode tunnel\n"
      "\treplay-window 64 seq 0x00000000 flag af-unspec (0x00100000)\n"
      "\tauth-trunc hmac(sha256) 0x" +
      std::string(64, '1') +
      " (256 bits) 128\n"
      "\tenc cbc(aes) 0x" +
      std::string(64, '2') +
      " (256 bits)\n"
      "\tanti-replay context: seq 0x0, oseq 0x0, bitmap 0x00000000\n"
      "\tsel src 0.0.0.0/0 dst 0.0.0.0/0 uid 0\n"
      "\tlifetime config:\n"
      "\t  limit: soft (INF)(bytes), hard 5000(bytes)\n"
      "\t  limit: soft 10(packets), hard (INF)(packets)\n"
      "\t  expire add: soft 0(sec), hard 3600(sec)\n"
      "\t  expire use: soft 60(sec), hard 0(sec)\n"
      "\tlifetime current:\n"
      "\t  84(bytes), 1(packets)\n"
      "\t  add 2026-03-14 09:26:53 use 2026-03-14 09:26:54\n"
      "\tstats:\n"
      "\t  replay-window 0 replay 0 failed 0\n");
  ASSERT_EQ(file.sas.size(), 1u);
  const SaConfig& sa = file.sas[0];
  EXPECT_EQ(sa.spi, 0x301u);
  EXPECT_EQ(sa.replay_window, 64u) << "not the one of the statistics";
  EXPECT_EQ(sa.algorithm, Algorithm::kAesCbcSha256);
  EXPECT_EQ(sa.limits.soft_bytes, kNoLimit);
  EXPECT_EQ(sa.limits.hard_bytes, 5000u);
  EXPECT_EQ(sa.limits.soft_packets, 10u);
  EXPECT_EQ(sa.limits.hard_packets, kNoLimit);
  EXPECT_EQ(sa.limits.hard_seconds, 3600u);
  EXPECT_EQ(sa.limits.soft_use_seconds, 60u);
}

TEST(SaFile, ReadsCommands) {
  const SaFile file = parse(
      "#!/bin/sh\n"
      "ip xfrm state flush  # start anew\n"
      "ip xfrm policy flush\n"
      "sudo /sbin/ip -6 xfrm state add src 2001:db8::1 dst 2001:db8::2 \\\n"
      "   proto esp spi 4096 mode tunnel reqid 7 replay-window 4096 flag esn \\\n"
      "   aead \"rfc4106(gcm(aes))\" " +
      kGcmKey +
      " 128 limit packet-hard 100 limit byte-soft 7 replay-oseq 5\n"
      "ip x s a src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x301 mode tunnel "
      "auth hmac\\(sha1\\) abcdefghijklmnopqrst enc cbc\\(aes\\) 0x" +
      std::string(32, '3') +
      "\nxfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out priority 5 tmpl src 192.0.2.1 "
      "dst 192.0.2.2 proto esp reqid 7 mode tunnel\n");
  ASSERT_EQ(file.sas.size(), 2u);
  EXPECT_EQ(file.sas[0].spi, 4096u);
  EXPECT_EQ(file.sas[0].limits.hard_packets, 100u);
  EXPECT_EQ(file.sas[0].limits.soft_bytes, 7u);
  EXPECT_EQ(file.sas[0].last_sent, 5u);
  EXPECT_TRUE(file.sas[0].flags.esn);
  EXPECT_EQ(file.sas[1].auth_key_bytes, 20u);
  EXPECT_EQ(file.sas[1].auth_key[0], 'a');
  ASSERT_EQ(file.policies.size(), 1u);
  EXPECT_EQ(file.policies[0].priority, 5u);
}

TEST(SaFile, ReadsPolicies) {
  const SaFile file =
      parse(kCommand + kGcm +
            "\nsrc 10.1.0.0/16 dst 10.2.0.0/16 \n"
            "\tdir fwd priority 9 ptype main \n"
            "\ttmpl src 192.0.2.1 dst 192.0.2.2\n"
            "\t\tproto esp spi 0x00000301 reqid 1 mode tunnel\n"
            "src 0.0.0.0/0 dst 0.0.0.0/0 proto udp sport 500 dport 500 dev eth0 \n"
            "\tdir out action allow priority 3 \n"
            "src 0.0.0.0/0 dst 0.0.0.0/0 \n"
            "\tsocket in priority 0 ptype main \n"
            "src ::/0 dst ::/0 \n"
            "\tdir out action block priority 2 ptype main \n"
            "src 10.0.0.0/8 dst 0.0.0.0/0 uid 0\n"
            "\tdir in action allow index 88 priority 4 share any flag  (0x00000000)\n"
            "\tlifetime config:\n"
            "\t  limit: soft (INF)(bytes), hard (INF)(bytes)\n"
            "\t  limit: soft (INF)(packets), hard (INF)(packets)\n"
            "\t  expire add: soft 0(sec), hard 0(sec)\n"
            "\t  expire use: soft 0(sec), hard 0(sec)\n"
            "\tlifetime current:\n"
            "\t  0(bytes), 0(packets)\n"
            "\t  add 2026-03-14 09:26:53 use -\n"
            "\ttmpl src 0.0.0.0 dst 0.0.0.0\n"
            "\t\tproto esp spi 0x00000000(0) reqid 0(0x00000000) mode tunnel\n"
            "\t\tlevel use share any \n"
            "\t\tenc-mask ffffffff auth-mask ffffffff comp-mask ffffffff\n");
  ASSERT_EQ(file.policies.size(), 4u) << "the socket's own is left out";
  EXPECT_EQ(file.policies[0].action, PolicyAction::kBlock) << "the lowest priority comes first";
  EXPECT_EQ(file.policies[1].action, PolicyAction::kBypass);
  EXPECT_EQ(file.policies[1].selector.src_port, 500);
  EXPECT_TRUE(file.policies[2].optional);
  EXPECT_EQ(file.policies[2].tunnel_src.version, 0);
  EXPECT_EQ(file.policies[3].direction, PolicyDirection::kIn);
  EXPECT_EQ(file.policies[3].spi, 0x301u);
  EXPECT_EQ(file.warnings, std::vector<std::string>{"f:6: 'dev' of a selector is ignored"});
}

TEST(SaFile, ErrorsNameTheLineAndWhatIsSupported) {
  EXPECT_EQ(error_of(""), "f: no SA");
  EXPECT_EQ(error_of("\nhello"), "f:2: 'hello' starts neither an SA nor a policy");
  EXPECT_EQ(error_of("ip route add"), "f:1: not an 'ip xfrm' command");
  EXPECT_EQ(error_of("ip xfrm state delete"), "f:1: the command 'delete' has no meaning in a file");
  EXPECT_EQ(error_of("\n\n" + kCommand + kGcm + "bogus"), "f:3: 'bogus' is not known in an SA");
  EXPECT_EQ(error_of(kCommand + kGcm + "encap espinudp 4500 4500 0.0.0.0"),
            "f:1: 'encap' is not supported");
  EXPECT_EQ(error_of(kCommand + "mode transport"), "f:1: mode 'transport' is not supported");
  EXPECT_EQ(error_of(kCommand + kGcm + "flag esn"), "f:1: 'flag esn' needs a replay window");
  EXPECT_EQ(error_of(kCommand + kGcm + "replay-window 4097"),
            "f:1: replay-window '4097' is not a number up to 4096");
  EXPECT_EQ(error_of(kCommand + "mode tunnel"), "f:1: the SA has no cipher");
  EXPECT_EQ(error_of(kCommand + "mode tunnel enc cbc(aes) 0x" + std::string(32, '0')),
            "f:1: the SA has no auth beside enc");
  EXPECT_EQ(error_of(kCommand + "mode tunnel enc cbc(aes) 0x00"), "f:1: the AES key has 1 bytes");
  EXPECT_EQ(error_of(kCommand + "mode tunnel enc cbc(des3_ede) 0x00"),
            "f:1: the algorithm 'cbc(des3_ede)' is not supported");
  EXPECT_EQ(error_of(kCommand + "mode tunnel auth hmac(md5) 0x00"),
            "f:1: the algorithm 'hmac(md5)' is not supported");
  EXPECT_EQ(error_of(kCommand + "mode tunnel auth hmac(sha256) 0x" + std::string(64, '0')),
            "f:1: an ICV of 96 bits is not supported with hmac(sha256)");
  EXPECT_EQ(error_of(kCommand + "mode tunnel aead rfc4106(gcm(aes)) " + kGcmKey + " 64"),
            "f:1: an ICV of 64 bits is not supported with GCM");
  EXPECT_EQ(error_of(kCommand + "mode tunnel aead rfc4106(gcm(aes)) 0x00 128"),
            "f:1: the GCM key has 1 bytes");
  EXPECT_EQ(error_of(kCommand + kGcm + "\n" + kCommand + kGcm),
            "f:2: a second SA with SPI 0x301 to 192.0.2.2, the first is in line 1");
  EXPECT_EQ(error_of("ip xfrm state add src 192.0.2.1 dst 2001:db8::1 proto esp spi 256 " + kGcm),
            "f:1: src and dst are of different IP versions");
  EXPECT_EQ(error_of("ip xfrm state add src x"), "f:1: 'x' is no IP address");
  EXPECT_EQ(error_of("ip xfrm state add src"), "f:1: something is missing after 'src'");
  EXPECT_EQ(error_of(kCommand + kGcm + "aead 'x"), "f:1: a quote is not closed");
  EXPECT_EQ(error_of("ip xfrm policy add src 10.0.0.0/8 dst 10.0.0.0/8 priority 1"),
            "f:1: the policy has no dir");
  EXPECT_EQ(error_of("ip xfrm policy add src 10.0.0.0/33"), "f:1: '10.0.0.0/33' is no IP prefix");
  const auto unsupported = parse_sa_file("f", kCommand + "mode tunnel comp deflate");
  ASSERT_FALSE(unsupported.ok());
}

TEST(SaFile, NoMessageHoldsAKey) {
  const std::string hex(40, '7');
  for (const std::string& text :
       {kCommand + "mode tunnel 0x" + hex, kCommand + "mode tunnel aead 0x" + hex + " 128",
        kCommand + "mode tunnel enc cbc(aes) 0x" + hex, "0x" + hex + "\n",
        kCommand + "mode tunnel auth-trunc hmac(sha1) 0x" + hex + " 0x" + hex,
        kCommand + "mode tunnel aead rfc4106(gcm(aes)) 0x" + hex + "7 128"}) {
    const auto file = parse_sa_file("f", text);
    ASSERT_FALSE(file.ok());
    EXPECT_EQ(file.error().line().find("777"), std::string::npos) << file.error().line();
  }
}

TEST(SaFile, IsReadFromDisk) {
  EXPECT_EQ(read_sa_file("/nonexistent").error().what,
            "'/nonexistent' can't be read: No such file or directory");
  EXPECT_EQ(read_sa_file("/").error().what, "'/' can't be read: Is a directory");
  const std::string path = testing::TempDir() + "hb_sa_" + std::to_string(getpid());
  std::ofstream(path) << kCommand << kGcm << '\n';
  EXPECT_TRUE(read_sa_file(path).ok());
  unlink(path.c_str());
}

// The pages say themselves that no core file takes them: "dd" in VmFlags (proc(5)).
TEST(SecretMemory, IsLeftOutOfCoreFiles) {
  SecretVector<char> secret(5000, 'x');
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  const auto at = reinterpret_cast<std::uintptr_t>(secret.data());
  bool inside = false;
  bool left_out = false;
  while (std::getline(maps, line)) {
    std::uintptr_t from = 0, to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) inside = from <= at && at < to;
    if (inside && line.rfind("VmFlags:", 0) == 0) left_out = line.find(" dd") != std::string::npos;
  }
  EXPECT_TRUE(left_out);
}

}  // namespace
}  // namespace hb::ipsec
