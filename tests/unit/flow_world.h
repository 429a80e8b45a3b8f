// Packets whose contents are known without decoding them, and flow rules that meet them.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/frame_builder.h"

namespace hb::test {

using Frame = std::vector<std::uint8_t>;
using Address = std::array<std::uint8_t, 16>;

/// What a frame was built to hold, known without decoding it.
struct Known {
  unsigned ip_version = 0;  // 0: not IP, or a malformed IP header
  Address src{};
  Address dst{};
  unsigned protocol = 0;
  bool has_ports = false;
  unsigned src_port = 0;
  unsigned dst_port = 0;
};

struct TestPacket {
  Frame frame;
  Known known;
};

inline Address address_of(const char* text) {
  Address bytes{};
  const bool is_ipv6 = std::strchr(text, ':') != nullptr;
  EXPECT_EQ(inet_pton(is_ipv6 ? AF_INET6 : AF_INET, text, bytes.data()), 1) << text;
  return bytes;
}

/// A packet of that kind; addresses and ports are patched in.
enum class Shape {
  kTcp,
  kUdp,
  kIcmp,
  kOther,
  kFirstFragment,
  kFragment,
  kCutL4,
  kCutIp,
  kArp,
  kCount
};

inline TestPacket build(Shape shape, unsigned ip_version, const Address& src, const Address& dst,
                        unsigned src_port, unsigned dst_port, unsigned n_vlans) {
  FrameBuilder frame;
  for (unsigned i = 0; i < n_vlans; ++i) frame.vlan(i == 0 && n_vlans == 2 ? 0x88a8 : 0x8100, 5);
  TestPacket packet;
  if (shape == Shape::kArp) {
    packet.frame = frame.be16(0x0806).zeros(28).done();
    return packet;
  }
  const bool is_v4 = ip_version == 4;
  const bool is_fragment = shape == Shape::kFirstFragment || shape == Shape::kFragment;
  unsigned protocol = 6;
  if (shape == Shape::kUdp || is_fragment) protocol = 17;
  if (shape == Shape::kIcmp) protocol = is_v4 ? 1 : 58;
  if (shape == Shape::kOther) protocol = 132;
  const unsigned offset_units = shape == Shape::kFragment ? 8 : 0;
  if (is_v4) {
    frame.ipv4(protocol, 0, is_fragment ? 0x2000 | offset_units : 0);
  } else {
    frame.ipv6(is_fragment ? 44 : protocol);
    if (is_fragment) frame.u8(protocol).u8(0).be16(offset_units << 3 | 1).be16(0).be16(7);
  }
  if (shape == Shape::kTcp) frame.tcp(src_port, dst_port);
  if (shape == Shape::kUdp || is_fragment) frame.be16(src_port).be16(dst_port).be16(8).be16(0);
  if (shape == Shape::kIcmp || shape == Shape::kOther) frame.be16(src_port).be16(dst_port).zeros(8);
  if (shape == Shape::kCutL4) frame.be16(src_port).be16(dst_port);
  packet.frame = frame.done();
  const std::size_t ip = 14 + 4 * n_vlans;
  const std::size_t bytes = is_v4 ? 4 : 16;
  std::copy_n(src.begin(), bytes, packet.frame.begin() + ip + (is_v4 ? 12 : 8));
  std::copy_n(dst.begin(), bytes, packet.frame.begin() + ip + (is_v4 ? 16 : 24));
  if (shape == Shape::kCutIp) {
    packet.frame.resize(ip + 19);
    return packet;
  }
  const bool has_ports = shape == Shape::kTcp || shape == Shape::kUdp;
  packet.known = {.ip_version = ip_version,
                  .src = src,
                  .dst = dst,
                  .protocol = protocol,
                  .has_ports = has_ports,
                  .src_port = src_port,
                  .dst_port = dst_port};
  return packet;
}

/// Rules and packets from a small world, so that they meet often.
class World {
 public:
  explicit World(unsigned seed) : rng_(seed) {}

  unsigned below(unsigned bound) { return static_cast<unsigned>(rng_() % bound); }

  Address address(unsigned ip_version) {
    Address bytes = address_of(ip_version == 4 ? "10.0.0.0" : "2001:db8::");
    const std::size_t end = ip_version == 4 ? 4 : 16;
    bytes[1] ^= static_cast<std::uint8_t>(below(2));
    bytes[end - 2] = static_cast<std::uint8_t>(below(3));
    bytes[end - 1] = static_cast<std::uint8_t>(below(4) * 85);
    return bytes;
  }

  unsigned port() {
    constexpr unsigned kPorts[] = {0, 1, 79, 80, 81, 443, 1023, 1024, 65534, 65535};
    return kPorts[below(std::size(kPorts))];
  }

  std::string prefix(unsigned ip_version) {
    if (ip_version == 0 || below(3) == 0) return "*";
    std::array<char, INET6_ADDRSTRLEN> text{};
    const Address bytes = address(ip_version);
    inet_ntop(ip_version == 4 ? AF_INET : AF_INET6, bytes.data(), text.data(), text.size());
    const unsigned longest = ip_version == 4 ? 32 : 128;
    if (below(2) == 0) return text.data();
    return fmt::format("{}/{}", text.data(), below(longest + 1));
  }

  std::string ports() {
    const unsigned a = port();
    const unsigned b = port();
    switch (below(4)) {
      case 0:
        return std::to_string(a);
      case 1:
        return fmt::format("{}-{}", std::min(a, b), std::max(a, b));
      default:
        return "*";
    }
  }

  /// A flows.csv of n_rules lines.
  std::string rules(unsigned n_rules) {
    std::string text;
    for (unsigned i = 0; i < n_rules; ++i) {
      const unsigned ip_version = std::array{0u, 4u, 6u}[below(3)];
      const std::string src_ports = ports();
      const std::string dst_ports = ports();
      const bool has_ports = src_ports != "*" || dst_ports != "*";
      const char* const protocol =
          has_ports
              ? std::array{"*", "tcp", "udp"}[below(3)]
              : std::array{"*", "tcp", "udp", "sctp", ip_version == 6 ? "icmp6" : "1"}[below(5)];
      text += fmt::format("t{},{},{},{},{},{}\n", below(60), prefix(ip_version), src_ports,
                          prefix(ip_version), dst_ports, protocol);
    }
    return text;
  }

  TestPacket packet() {
    const unsigned ip_version = below(2) == 0 ? 4 : 6;
    const Shape shape = below(2) == 0
                            ? static_cast<Shape>(below(2))
                            : static_cast<Shape>(below(static_cast<unsigned>(Shape::kCount)));
    const Address src = address(ip_version);
    return build(shape, ip_version, src, address(ip_version), port(), port(), below(3));
  }

 private:
  std::mt19937 rng_;
};

}  // namespace hb::test
