// Builds frames byte by byte for unit tests.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace hb::test {

/// Appends headers from the outside in; lengths are filled by the last step, `done()`.
class FrameBuilder {
 public:
  FrameBuilder() : bytes_(12, 0x02) {}

  FrameBuilder& u8(unsigned v) {
    bytes_.push_back(static_cast<std::uint8_t>(v));
    return *this;
  }
  FrameBuilder& be16(unsigned v) { return u8(v >> 8).u8(v); }
  FrameBuilder& zeros(std::size_t n) {
    bytes_.insert(bytes_.end(), n, 0);
    return *this;
  }
  FrameBuilder& text(std::string_view s) {
    bytes_.insert(bytes_.end(), s.begin(), s.end());
    return *this;
  }
  FrameBuilder& bytes(std::initializer_list<unsigned> values) {
    for (unsigned v : values) u8(v);
    return *this;
  }

  FrameBuilder& vlan(unsigned tpid, unsigned id) { return be16(tpid).be16(id); }
  /// 10.0.0.1 to 192.168.1.2. option_bytes: a multiple of 4.
  FrameBuilder& ipv4(unsigned protocol, unsigned option_bytes = 0, unsigned fragment = 0) {
    be16(0x0800);
    ip4_at_ = bytes_.size();
    u8(0x45 + option_bytes / 4).u8(0).be16(0).be16(1).be16(fragment).u8(64).u8(protocol).be16(0);
    bytes({10, 0, 0, 1, 192, 168, 1, 2});
    for (unsigned i = 0; i < option_bytes; ++i) u8(1);
    return *this;
  }
  /// 2001:db8::1 to 2001:db8::2.
  FrameBuilder& ipv6(unsigned next_header) {
    be16(0x86dd);
    ip6_at_ = bytes_.size();
    u8(0x60).zeros(3).be16(0).u8(next_header).u8(64);
    for (unsigned last : {1u, 2u}) be16(0x2001).be16(0x0db8).zeros(11).u8(last);
    return *this;
  }
  FrameBuilder& tcp(unsigned src, unsigned dst, unsigned option_bytes = 0) {
    be16(src).be16(dst).zeros(8).u8(((20 + option_bytes) / 4) << 4).u8(0x18).zeros(6);
    return zeros(option_bytes);
  }
  FrameBuilder& udp(unsigned src, unsigned dst) {
    be16(src).be16(dst);
    udp_length_at_ = bytes_.size();
    return be16(0).be16(0);
  }
  FrameBuilder& icmp(unsigned type) { return u8(type).zeros(7); }

  /// The frame, with the IP and UDP lengths of what was appended.
  std::vector<std::uint8_t> done() {
    if (ip4_at_ != 0) put_be16(ip4_at_ + 2, bytes_.size() - ip4_at_);
    if (ip6_at_ != 0) put_be16(ip6_at_ + 4, bytes_.size() - ip6_at_ - 40);
    if (udp_length_at_ != 0) put_be16(udp_length_at_, bytes_.size() - udp_length_at_ + 4);
    return bytes_;
  }

 private:
  void put_be16(std::size_t at, std::size_t v) {
    bytes_[at] = static_cast<std::uint8_t>(v >> 8);
    bytes_[at + 1] = static_cast<std::uint8_t>(v);
  }

  std::vector<std::uint8_t> bytes_;
  std::size_t ip4_at_ = 0;
  std::size_t ip6_at_ = 0;
  std::size_t udp_length_at_ = 0;
};

}  // namespace hb::test
