#include "nfs/ipsec/xfrm_words.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

namespace hb::ipsec {
namespace {

/// No word of the language, address or number is longer; keys are.
constexpr std::size_t kShownLength = 24;
constexpr std::size_t kShownHexLength = 10;

constexpr std::array<std::pair<std::string_view, std::uint8_t>, 16> kProtocols = {{
    {"any", 0},
    {"ip", 0},
    {"icmp", 1},
    {"igmp", 2},
    {"ipencap", 4},
    {"tcp", 6},
    {"udp", 17},
    {"dccp", 33},
    {"ipv6", 41},
    {"gre", 47},
    {"esp", 50},
    {"ah", 51},
    {"ipv6-icmp", 58},
    {"icmp6", 58},
    {"ospf", 89},
    {"sctp", 132},
}};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  const std::size_t end = text.find_first_of("(,");
  std::string_view digits = text.substr(0, end);
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X')) {
    base = 16;
    digits.remove_prefix(2);
  }
  std::uint64_t value = 0;
  const auto [stop, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc{} || stop != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<std::uint8_t> parse_protocol(std::string_view text) {
  for (const auto& [name, number] : kProtocols)
    if (text == name) return number;
  const auto number = parse_number(text);
  if (!number || *number > 255) return std::nullopt;
  return static_cast<std::uint8_t>(*number);
}

}  // namespace

std::string shown(std::string_view word) {
  const bool is_hex = word.substr(0, 2) == "0x";
  if (word.size() > (is_hex ? kShownHexLength : kShownLength))
    return fmt::format("a word of {} characters", word.size());
  std::string text = "'";
  for (const char c : word) text += c >= 0x20 && c < 0x7f ? c : '?';
  return text + "'";
}

std::uint32_t WordReader::line() const {
  if (words_.empty()) return 0;
  return words_[at_ == 0 ? 0 : at_ - 1].line;
}

std::string WordReader::here() const { return fmt::format("{}:{}", file_, line()); }

void WordReader::fail(std::string what, std::string fix) {
  if (!error_) error_ = Error{fmt::format("{}: {}", here(), what), std::move(fix)};
}

std::string_view WordReader::next() {
  if (done()) {
    fail(fmt::format("something is missing after {}",
                     at_ == 0 ? "the start" : shown(words_[at_ - 1].text)),
         "complete the line");
    return {};
  }
  return words_[at_++].text;
}

bool WordReader::take(std::string_view word) {
  if (done() || peek() != word) return false;
  ++at_;
  return true;
}

void WordReader::skip_line() {
  while (!done() && !at_line_start()) ++at_;
}

void WordReader::skip_notes() {
  if (done() || peek().empty() || peek().front() != '(') return;
  while (!done() && peek().find(')') == std::string_view::npos) ++at_;
  if (!done()) ++at_;
}

std::uint64_t WordReader::number(std::string_view name, std::uint64_t most) {
  const std::string_view word = next();
  if (failed()) return 0;
  if (word.substr(0, 5) == "(INF)") return kNoLimit;
  const auto value = parse_number(word);
  if (!value || *value > most) {
    fail(fmt::format("{} {} is not a number up to {}", name, shown(word), most),
         "give it in decimal, or in hexadecimal after 0x");
    return 0;
  }
  return *value;
}

IpAddress WordReader::address() {
  const std::string_view word = next();
  if (failed()) return {};
  // A dump may say "10.0.0.1/32" where a command says "10.0.0.1".
  const auto found = parse_address(word.substr(0, word.find('/')));
  if (!found) {
    fail(fmt::format("{} is no IP address", shown(word)), "use an IPv4 or IPv6 address");
    return {};
  }
  return *found;
}

IpPrefix WordReader::prefix() {
  const std::string_view word = next();
  if (failed()) return {};
  const auto found = parse_prefix(word);
  if (!found) {
    fail(fmt::format("{} is no IP prefix", shown(word)),
         "use the form 10.0.0.0/8 or 2001:db8::/32");
    return {};
  }
  return *found;
}

Selector WordReader::selector(std::vector<std::string>& warnings) {
  Selector selector;
  for (;;) {
    if (take("src")) {
      selector.src = prefix();
    } else if (take("dst")) {
      selector.dst = prefix();
    } else if (!at_line_start() && take("proto")) {
      const std::string_view name = next();
      const auto protocol = parse_protocol(name);
      if (!protocol && !failed())
        fail(fmt::format("the protocol {} is not known", shown(name)), "use its number");
      selector.protocol = protocol.value_or(0);
    } else if (take("sport")) {
      selector.src_port = static_cast<std::uint16_t>(number("sport", 0xffff));
    } else if (take("dport")) {
      selector.dst_port = static_cast<std::uint16_t>(number("dport", 0xffff));
    } else if (peek() == "type" || peek() == "code" || peek() == "key") {
      fail(fmt::format("selectors by {} are not supported", peek()),
           "select by prefixes, protocol and ports");
    } else if (!at_line_start() && (peek() == "dev" || peek() == "uid")) {
      const std::string what(next());
      next();
      if (what == "dev") warnings.push_back(here() + ": 'dev' of a selector is ignored");
    } else {
      break;
    }
    if (failed()) return {};
  }
  // A word without ports set to 0 means any port in iproute2's dumps as well.
  if (selector.src_port == 0) selector.src_port.reset();
  if (selector.dst_port == 0) selector.dst_port.reset();
  if (selector.src.address.version != 0 && selector.dst.address.version != 0 &&
      selector.src.address.version != selector.dst.address.version)
    fail("the selector's src and dst are of different IP versions", "use one version for both");
  return selector;
}

std::uint32_t WordReader::key(std::uint8_t* to, std::uint32_t most) {
  const std::string_view word = next();
  if (failed()) return 0;
  const bool is_hex = word.substr(0, 2) == "0x" || word.substr(0, 2) == "0X";
  const std::string_view digits = is_hex ? word.substr(2) : word;
  const std::size_t bytes = is_hex ? digits.size() / 2 : digits.size();
  if (bytes > most || (is_hex && digits.size() % 2 != 0)) {
    fail(is_hex && digits.size() % 2 != 0
             ? fmt::format("the key has {} hexadecimal digits, an odd number", digits.size())
             : fmt::format("the key has {} bytes, more than {}", bytes, most),
         "give two digits for each byte");
    return 0;
  }
  for (std::size_t i = 0; i < bytes; ++i) {
    if (!is_hex) {
      to[i] = static_cast<std::uint8_t>(digits[i]);
      continue;
    }
    const int high = hex_digit(digits[2 * i]);
    const int low = hex_digit(digits[2 * i + 1]);
    if (high < 0 || low < 0) {
      fail("the key has a character that is no hexadecimal digit", "use 0-9 and a-f after 0x");
      return 0;
    }
    to[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return static_cast<std::uint32_t>(bytes);
}

}  // namespace hb::ipsec
