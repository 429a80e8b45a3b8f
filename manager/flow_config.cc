#include "manager/flow_config.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "manager/route_config.h"

namespace hb {
namespace {

constexpr std::array<std::pair<std::string_view, std::uint8_t>, 8> kProtocols = {{
    {"tcp", 6},
    {"udp", 17},
    {"icmp", 1},
    {"icmp6", 58},
    {"sctp", 132},
    {"esp", 50},
    {"ah", 51},
    {"gre", 47},
}};
constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kIcmp6 = 58;
constexpr char kAddressRule[] = "write *, an IPv4 or IPv6 address, or an address/length";

/// Parses `*`, ADDRESS or ADDRESS/LENGTH; false when it is none of them.
bool parse_prefix(const std::string& text, IpPrefix& prefix) {
  prefix = {};
  if (text == "*") return true;
  const std::size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  const bool is_ipv6 = address.find(':') != std::string::npos;
  if (inet_pton(is_ipv6 ? AF_INET6 : AF_INET, address.c_str(), prefix.bytes.data()) != 1)
    return false;
  const std::uint32_t max_length = is_ipv6 ? 128 : 32;
  std::uint32_t length = max_length;
  if (slash != std::string::npos &&
      !parse_decimal(std::string_view(text).substr(slash + 1), max_length, length))
    return false;
  prefix.version = is_ipv6 ? 6 : 4;
  prefix.length = static_cast<std::uint8_t>(length);
  for (std::uint32_t i = 0; i < prefix.bytes.size(); ++i) {
    const std::uint32_t kept = std::min(8u, length - std::min(length, i * 8));
    prefix.bytes[i] &= static_cast<std::uint8_t>(0xff00u >> kept);
  }
  return true;
}

/// Parses `*`, PORT or LOW-HIGH; false when it is none of them.
bool parse_ports(const std::string& text, L4PortRange& ports) {
  ports = {};
  if (text == "*") return true;
  const std::string_view view = text;
  const std::size_t dash = view.find('-');
  std::uint32_t low = 0;
  if (!parse_decimal(view.substr(0, dash), 65535, low)) return false;
  std::uint32_t high = low;
  if (dash != std::string_view::npos && !parse_decimal(view.substr(dash + 1), 65535, high))
    return false;
  if (low > high) return false;
  ports = {.any = false,
           .low = static_cast<std::uint16_t>(low),
           .high = static_cast<std::uint16_t>(high)};
  return true;
}

bool parse_protocol(const std::string& text, FlowRule& rule) {
  rule.any_protocol = text == "*";
  if (rule.any_protocol) return true;
  for (const auto& [name, number] : kProtocols) {
    if (text != name) continue;
    rule.protocol = number;
    return true;
  }
  std::uint32_t number = 0;
  if (!parse_decimal(text, 255, number)) return false;
  rule.protocol = static_cast<std::uint8_t>(number);
  return true;
}

Result<FlowRule> parse_rule(const CsvFile& file, const CsvRow& row) {
  const auto error = [&](const std::string& what, const std::string& fix) {
    return file.error(row.line, what, fix);
  };
  const std::vector<std::string>& fields = row.fields;
  if (fields.size() != 6)
    return error(
        fmt::format("{} fields instead of 6", fields.size()),
        "write: type, src ip[/len], src port[-port], dst ip[/len], dst port[-port], proto");
  FlowRule rule;
  rule.line = row.line;
  rule.type = fields[0];
  if (!is_valid_name(rule.type))
    return error(fmt::format("'{}' is no packet type", rule.type),
                 "types are 1 to 31 of the characters A-Z a-z 0-9 _ . -");
  if (!parse_prefix(fields[1], rule.src))
    return error(fmt::format("'{}' is no source address", fields[1]), kAddressRule);
  if (!parse_prefix(fields[3], rule.dst))
    return error(fmt::format("'{}' is no destination address", fields[3]), kAddressRule);
  constexpr char kPortRule[] = "write *, a port or low-high, of 0 to 65535";
  if (!parse_ports(fields[2], rule.src_ports))
    return error(fmt::format("'{}' is no source port", fields[2]), kPortRule);
  if (!parse_ports(fields[4], rule.dst_ports))
    return error(fmt::format("'{}' is no destination port", fields[4]), kPortRule);
  if (!parse_protocol(fields[5], rule))
    return error(fmt::format("'{}' is no protocol", fields[5]),
                 "write *, tcp, udp, icmp, icmp6, sctp, esp, ah, gre or a number of 0 to 255");
  return rule;
}

/// Refuses rules that no packet can ever match.
Result<void> check_can_match(const CsvFile& file, const FlowRule& rule) {
  if (!rule.applies_to(4) && !rule.applies_to(6))
    return file.error(rule.line, "one address is IPv4 and the other is IPv6",
                      "no packet has both: use two of one kind, or * for one of them");
  const bool has_ports = !rule.src_ports.any || !rule.dst_ports.any;
  if (has_ports && !rule.any_protocol && rule.protocol != kTcp && rule.protocol != kUdp)
    return file.error(rule.line, "ports with a protocol other than tcp and udp",
                      "write * for both ports, or tcp, udp or * as the protocol");
  if (!rule.any_protocol && rule.protocol == kIcmp && !rule.applies_to(4))
    return file.error(rule.line, "icmp with IPv6 addresses", "IPv6 has icmp6");
  if (!rule.any_protocol && rule.protocol == kIcmp6 && !rule.applies_to(6))
    return file.error(rule.line, "icmp6 with IPv4 addresses", "IPv4 has icmp");
  return {};
}

}  // namespace

Result<FlowConfig> parse_flow_config(const CsvFile& file) {
  FlowConfig config{.path = file.path, .rules = {}};
  for (const CsvRow& row : file.rows) {
    Result<FlowRule> rule = parse_rule(file, row);
    if (!rule) return rule.error();
    if (const Result<void> check = check_can_match(file, *rule); !check) return check.error();
    if (config.rules.size() == kMaxFlowRules)
      return file.error(row.line, fmt::format("more than {} rules", kMaxFlowRules),
                        "merge rules by shorter prefixes or wider port ranges");
    config.rules.push_back(*std::move(rule));
  }
  return config;
}

Result<FlowConfig> load_flow_config(const std::string& path) {
  const Result<CsvFile> file = read_csv(path);
  if (!file) return file.error();
  return parse_flow_config(*file);
}

}  // namespace hb
