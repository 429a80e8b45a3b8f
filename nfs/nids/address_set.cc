#include "nfs/nids/address_set.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "nfs/nids/set_expression.h"

namespace hb::nids {
namespace {

std::optional<std::uint32_t> parse_ipv4(const std::string& text) {
  std::uint8_t bytes[4];
  if (inet_pton(AF_INET, text.c_str(), bytes) != 1) return std::nullopt;
  return ipv4_number(bytes);
}

std::optional<U128> parse_ipv6(const std::string& text) {
  std::uint8_t bytes[16];
  if (inet_pton(AF_INET6, text.c_str(), bytes) != 1) return std::nullopt;
  return ipv6_number(bytes);
}

std::optional<unsigned> parse_prefix_length(std::string_view text, unsigned max) {
  unsigned length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc{} || end != text.data() + text.size() || length > max) return std::nullopt;
  return length;
}

/// The mask of `length` leading ones, length 0..64.
std::uint64_t mask64(unsigned length) noexcept {
  return length == 0 ? 0 : ~std::uint64_t{0} << (64 - length);
}

/// `/24` or `/255.255.255.0`.
std::optional<std::uint32_t> parse_ipv4_mask(const std::string& text) {
  if (const auto length = parse_prefix_length(text, 32)) {
    return static_cast<std::uint32_t>(mask64(*length) >> 32);
  }
  const auto mask = parse_ipv4(text);
  if (!mask) return std::nullopt;
  const std::uint32_t host = ~*mask;
  if ((host & (host + 1)) != 0) return std::nullopt;  // ones and zeros are mixed
  return mask;
}

}  // namespace

std::uint32_t ipv4_number(const std::uint8_t* bytes) noexcept {
  return static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
         static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3];
}

U128 ipv6_number(const std::uint8_t* bytes) noexcept {
  U128 v;
  for (int i = 0; i < 8; ++i) v.hi = v.hi << 8 | bytes[i];
  for (int i = 8; i < 16; ++i) v.lo = v.lo << 8 | bytes[i];
  return v;
}

AddressSet AddressSet::all() {
  AddressSet set;
  set.v4_ = IntervalSet<std::uint32_t>::all();
  set.v6_ = IntervalSet<U128>::all();
  return set;
}

void AddressSet::add(const AddressSet& other) {
  v4_.add(other.v4_);
  v6_.add(other.v6_);
}

void AddressSet::subtract(const AddressSet& other) {
  v4_.subtract(other.v4_);
  v6_.subtract(other.v6_);
}

Result<AddressSet> AddressSet::parse_element(std::string_view text) {
  const Error bad{fmt::format("'{}' is no address", text), ""};
  AddressSet set;
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
    const std::string first(trimmed(text.substr(0, dash)));
    const std::string last(trimmed(text.substr(dash + 1)));
    if (const auto a = parse_ipv4(first), b = parse_ipv4(last); a && b && *a <= *b) {
      set.v4_.add(*a, *b);
      return set;
    }
    if (const auto a = parse_ipv6(first), b = parse_ipv6(last); a && b && *a <= *b) {
      set.v6_.add(*a, *b);
      return set;
    }
    return bad;
  }
  const std::size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  const bool has_mask = slash != std::string_view::npos;
  const std::string mask_text(has_mask ? text.substr(slash + 1) : std::string_view{});
  if (const auto v4 = parse_ipv4(address)) {
    const auto mask = has_mask ? parse_ipv4_mask(mask_text) : std::optional<std::uint32_t>(~0u);
    if (!mask) return bad;
    set.v4_.add(*v4 & *mask, *v4 | ~*mask);
    return set;
  }
  if (const auto v6 = parse_ipv6(address)) {
    const auto length = has_mask ? parse_prefix_length(mask_text, 128) : std::optional(128u);
    if (!length) return bad;
    const std::uint64_t hi = mask64(*length < 64 ? *length : 64);
    const std::uint64_t lo = mask64(*length < 64 ? 0 : *length - 64);
    set.v6_.add({v6->hi & hi, v6->lo & lo}, {v6->hi | ~hi, v6->lo | ~lo});
    return set;
  }
  return bad;
}

Result<AddressSet> parse_addresses(std::string_view text, VariableUse& variables) {
  return SetExpressionParser<AddressSet>(variables).parse(text);
}

}  // namespace hb::nids
