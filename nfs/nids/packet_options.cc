#include "nfs/nids/packet_options.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <utility>

#include "nfs/nids/rule_text.h"

namespace hb::nids {
namespace {

/// IANA's "Assigned Internet Protocol Numbers", as /etc/protocols spells them.
constexpr std::array<std::pair<std::string_view, std::uint8_t>, 20> kProtocolNames = {{
    {"icmp", 1},       {"igmp", 2},  {"ipencap", 4}, {"ipip", 4},   {"tcp", 6},
    {"egp", 8},        {"igp", 9},   {"udp", 17},    {"ipv6", 41},  {"ipv6-route", 43},
    {"ipv6-frag", 44}, {"gre", 47},  {"esp", 50},    {"ah", 51},    {"ipv6-icmp", 58},
    {"ospf", 89},      {"pim", 103}, {"vrrp", 112},  {"l2tp", 115}, {"sctp", 132},
}};

Error bad(std::string_view what, std::string_view text) {
  return Error{fmt::format("'{}' is no {}", text, what), ""};
}

/// The bit of one letter; 0 for `0`, nullopt for what is none.
std::optional<std::uint8_t> flag_bit(char letter) {
  switch (letter) {
    case 'F':
    case 'f':
      return 0x01;
    case 'S':
    case 's':
      return 0x02;
    case 'R':
    case 'r':
      return 0x04;
    case 'P':
    case 'p':
      return 0x08;
    case 'A':
    case 'a':
      return 0x10;
    case 'U':
    case 'u':
      return 0x20;
    case 'E':
    case 'e':
    case '2':
      return 0x40;
    case 'C':
    case 'c':
    case '1':
      return 0x80;
    case '0':
      return 0;
    default:
      return std::nullopt;
  }
}

}  // namespace

Result<NumberTest> parse_number_test(std::string_view text, std::uint32_t most, bool dash) {
  text = trimmed(text);
  const Error wrong = bad("number or range", text);
  NumberTest test{.first = 0, .last = most, .negated = false};
  std::string_view rest = text;
  if (rest.starts_with('!')) {
    test.negated = true;
    rest = trimmed(rest.substr(1));
  }
  const auto number = [&](std::string_view t) { return parse_integer(t, 0, most); };
  std::size_t between = rest.find("<>");
  std::size_t between_bytes = 2;
  if (between == std::string_view::npos && dash) {
    between = rest.find('-');
    between_bytes = 1;
  }
  std::int64_t first = 0;
  std::int64_t last = most;
  if (between != std::string_view::npos) {
    const auto a = number(rest.substr(0, between));
    const auto b = number(rest.substr(between + between_bytes));
    if (!a || !b) return wrong;
    first = *a + 1;  // both ends are excluded
    last = *b - 1;
  } else if (rest.starts_with('<') || rest.starts_with('>')) {
    const bool or_equal = rest.size() > 1 && rest[1] == '=';
    const auto bound = number(rest.substr(or_equal ? 2 : 1));
    if (!bound) return wrong;
    (rest[0] == '<' ? last : first) = *bound + (or_equal ? 0 : (rest[0] == '<' ? -1 : 1));
  } else {
    const auto value = number(rest.starts_with('=') ? rest.substr(1) : rest);
    if (!value) return wrong;
    first = last = *value;
  }
  if (first > last || first > most) {
    return Error{fmt::format("no number is in '{}'", text), ""};
  }
  test.first = static_cast<std::uint32_t>(first);
  test.last = static_cast<std::uint32_t>(last);
  return test;
}

Result<TcpFlagsTest> parse_tcp_flags(std::string_view text) {
  text = trimmed(text);
  const std::size_t comma = text.find(',');
  std::string_view letters = trimmed(text.substr(0, comma));
  TcpFlagsTest test;
  const auto mode_of = [](char c) -> std::optional<TcpFlagsTest::Mode> {
    if (c == '+') return TcpFlagsTest::Mode::kAtLeast;
    if (c == '*') return TcpFlagsTest::Mode::kAnyOf;
    if (c == '!') return TcpFlagsTest::Mode::kNot;
    return std::nullopt;
  };
  if (!letters.empty() && mode_of(letters.front())) {
    test.mode = *mode_of(letters.front());
    letters = trimmed(letters.substr(1));
  } else if (!letters.empty() && mode_of(letters.back())) {
    test.mode = *mode_of(letters.back());
    letters = trimmed(letters.substr(0, letters.size() - 1));
  }
  if (letters.empty()) return bad("set of TCP flags", text);
  for (const char letter : letters) {
    const auto bit = flag_bit(letter);
    if (!bit) return bad("set of TCP flags", text);
    test.flags |= *bit;
  }
  if (comma == std::string_view::npos) return test;
  const std::string_view ignored = trimmed(text.substr(comma + 1));
  if (ignored.empty()) return bad("set of TCP flags", text);
  for (const char letter : ignored) {
    const auto bit = flag_bit(letter);
    if (!bit || *bit == 0) return bad("set of TCP flags", text);
    test.looked_at = static_cast<std::uint8_t>(test.looked_at & ~*bit);
  }
  return test;
}

Result<NumberTest> parse_ip_proto(std::string_view text) {
  text = trimmed(text);
  const std::size_t name_at = text.find_first_not_of("!<> ");
  if (name_at == std::string_view::npos) return bad("protocol", text);
  const std::string name = lower(text.substr(name_at));
  for (const auto& [known, number] : kProtocolNames) {
    if (known == name) {
      return parse_number_test(fmt::format("{}{}", text.substr(0, name_at), number), 255);
    }
  }
  return parse_number_test(text, 255);
}

Result<FlowTest> parse_flow(std::string_view text, std::set<std::string>& unsupported) {
  FlowTest test;
  for (const std::string_view item : split_commas(text)) {
    const std::string word = lower(item);
    if (word == "to_server" || word == "from_client") {
      test.to_server = true;
    } else if (word == "to_client" || word == "from_server") {
      test.to_client = true;
    } else if (word == "established") {
      test.established = true;
    } else if (word == "only_frag") {
      test.only_fragments = true;
    } else if (word == "no_frag") {
      test.no_fragments = true;
    } else if (word == "only_stream") {
      unsupported.insert("flow:only_stream");
    } else if (word != "not_established" && word != "stateless" && word != "no_stream") {
      return bad("option of flow", item);
    }
  }
  if (test.to_server && test.to_client) return Error{"has both directions", ""};
  if (test.only_fragments && test.no_fragments) return Error{"has only_frag and no_frag", ""};
  return test;
}

Result<Threshold> parse_threshold(std::string_view text, bool is_filter,
                                  std::set<std::string>& unsupported) {
  Threshold threshold;
  if (is_filter) threshold.kind = Threshold::Kind::kFilter;
  bool has_type = is_filter;
  bool has_track = false;
  bool has_count = false;
  bool has_seconds = false;
  for (const std::string_view item : split_commas(text)) {
    const std::size_t blank = item.find_first_of(" \t");
    if (blank == std::string_view::npos) return bad("option with a value", item);
    const std::string name = lower(item.substr(0, blank));
    const std::string value = lower(trimmed(item.substr(blank)));
    const auto once = [&](bool& seen) { return !std::exchange(seen, true); };
    bool ok = true;
    if (name == "type" && !is_filter) {
      ok = once(has_type);
      if (value == "limit") {
        threshold.kind = Threshold::Kind::kLimit;
      } else if (value == "threshold") {
        threshold.kind = Threshold::Kind::kThreshold;
      } else if (value == "both") {
        threshold.kind = Threshold::Kind::kBoth;
      } else {
        return bad("type of threshold", value);
      }
    } else if (name == "track") {
      ok = once(has_track);
      if (value == "by_src") {
        threshold.track = Threshold::Track::kBySource;
      } else if (value == "by_dst") {
        threshold.track = Threshold::Track::kByDestination;
      } else if (value == "by_both") {
        threshold.track = Threshold::Track::kByBoth;
      } else if (value == "by_rule") {
        threshold.track = Threshold::Track::kByRule;
      } else if (value == "by_flow") {
        unsupported.insert("threshold:by_flow");
      } else {
        return bad("thing to track", value);
      }
    } else if (name == "count" || name == "seconds") {
      const auto number = parse_integer(value, 1, UINT32_MAX);
      if (!number) return bad("count from 1 on", value);
      ok = once(name == "count" ? has_count : has_seconds);
      (name == "count" ? threshold.count : threshold.seconds) = static_cast<std::uint32_t>(*number);
    } else {
      return bad("option", item);
    }
    if (!ok) return Error{fmt::format("{} stands twice", name), ""};
  }
  if (!has_type || !has_track || !has_count || !has_seconds) {
    return Error{"needs type, track, count and seconds", ""};
  }
  return threshold;
}

}  // namespace hb::nids
