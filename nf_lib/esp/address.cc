#include "nf_lib/esp/address.h"

#include <arpa/inet.h>

#include <charconv>

namespace hb::ipsec {

std::optional<IpAddress> parse_address(std::string_view text) {
  IpAddress address;
  const std::string word(text);
  if (word.find('\0') != std::string::npos) return std::nullopt;
  if (inet_pton(AF_INET, word.c_str(), address.bytes.data()) == 1) {
    address.version = 4;
    return address;
  }
  if (inet_pton(AF_INET6, word.c_str(), address.bytes.data()) == 1) {
    address.version = 6;
    return address;
  }
  return std::nullopt;
}

std::optional<IpPrefix> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned most = address->version == 4 ? 32 : 128;
  IpPrefix prefix{*address, static_cast<std::uint8_t>(most)};
  if (slash == std::string_view::npos) return prefix;
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length > most)
    return std::nullopt;
  prefix.length = static_cast<std::uint8_t>(length);
  for (unsigned bit = length; bit < most; ++bit)
    prefix.address.bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> (bit % 8)));
  return prefix;
}

std::string to_string(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(address.version == 6 ? AF_INET6 : AF_INET, address.bytes.data(), text, sizeof(text));
  return text;
}

}  // namespace hb::ipsec
