// IP addresses, prefixes and traffic selectors of SAs and policies.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace hb::ipsec {

struct IpAddress {
  std::uint8_t version = 0;              ///< 4, 6, or 0: none
  std::array<std::uint8_t, 16> bytes{};  ///< network order; IPv4 in the first 4
  bool operator==(const IpAddress&) const = default;

  [[nodiscard]] bool is_any() const { return bytes == std::array<std::uint8_t, 16>{}; }
};

struct IpPrefix {
  IpAddress address;        ///< version 0: any address of any version
  std::uint8_t length = 0;  ///< in bits
  bool operator==(const IpPrefix&) const = default;

  [[nodiscard]] bool contains(std::uint8_t version, const std::uint8_t* bytes) const noexcept {
    if (address.version == 0) return true;
    if (version != address.version) return false;
    if (version == 4) return (differing<std::uint32_t>(bytes, 0) & leading<std::uint32_t>(0)) == 0;
    return ((differing<std::uint64_t>(bytes, 0) & leading<std::uint64_t>(0)) |
            (differing<std::uint64_t>(bytes, 8) & leading<std::uint64_t>(64))) == 0;
  }

 private:
  /// Bits that differ in the word at that byte, as it lies in memory.
  template <typename Word>
  [[nodiscard]] Word differing(const std::uint8_t* bytes, std::size_t at) const noexcept {
    Word ours, theirs;
    std::memcpy(&ours, address.bytes.data() + at, sizeof(Word));
    std::memcpy(&theirs, bytes + at, sizeof(Word));
    return ours ^ theirs;
  }
  /// The bits of a word, likewise, that the prefix covers; the word starts at that bit of it.
  template <typename Word>
  [[nodiscard]] Word leading(std::uint32_t first_bit) const noexcept {
    constexpr std::uint32_t kBits = 8 * sizeof(Word);
    static_assert(std::endian::native == std::endian::little);
    if (length <= first_bit) return 0;
    const std::uint32_t n = length - first_bit < kBits ? length - first_bit : kBits;
    const Word mask = static_cast<Word>(~Word{0} << (kBits - n));
    if constexpr (sizeof(Word) == 4) return __builtin_bswap32(mask);
    return __builtin_bswap64(mask);
  }
};

/// What a selector looks at in an inner packet.
struct SelectorKey {
  std::uint8_t version = 0;
  std::uint8_t protocol = 0;
  bool has_ports = false;
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  const std::uint8_t* src = nullptr;  ///< the destination follows, as in an IP header

  [[nodiscard]] const std::uint8_t* dst() const noexcept { return src + (version == 4 ? 4 : 16); }
};

/// RFC 4301 section 4.4.1.1, as far as `ip xfrm` can say it: prefixes, one protocol, one port each.
struct Selector {
  IpPrefix src;
  IpPrefix dst;
  std::uint8_t protocol = 0;              ///< 0: any
  std::optional<std::uint16_t> src_port;  ///< with a port, packets without ports don't match
  std::optional<std::uint16_t> dst_port;
  bool operator==(const Selector&) const = default;

  [[nodiscard]] bool matches(const SelectorKey& key) const noexcept {
    if (protocol != 0 && protocol != key.protocol) return false;
    if (src_port && (!key.has_ports || key.src_port != *src_port)) return false;
    if (dst_port && (!key.has_ports || key.dst_port != *dst_port)) return false;
    return src.contains(key.version, key.src) && dst.contains(key.version, key.dst());
  }
};

/// @return nullopt unless text is an IPv4 or IPv6 address
std::optional<IpAddress> parse_address(std::string_view text);
/// "10.0.0.0/8", "2001:db8::/32"; a bare address has its full length. Bits past the length are
/// cleared, as the kernel ignores them.
std::optional<IpPrefix> parse_prefix(std::string_view text);
std::string to_string(const IpAddress& address);

}  // namespace hb::ipsec
