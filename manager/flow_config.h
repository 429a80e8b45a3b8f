// flows.csv: which packets are of which type.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "manager/csv.h"
#include "nf_lib/result.h"

namespace hb {

/// Most rules a flows.csv may have. The classifier's build time and memory grow with their overlap.
inline constexpr std::size_t kMaxFlowRules = 16384;

/// `*`, an address, or an address and a prefix length.
struct IpPrefix {
  std::uint8_t version = 0;              ///< 4 or 6; 0 is `*`: any address of either
  std::uint8_t length = 0;               ///< leading bits that count: 0..32 or 0..128
  std::array<std::uint8_t, 16> bytes{};  ///< network order, bits past length are 0; IPv4: first 4

  [[nodiscard]] bool any() const noexcept { return version == 0; }
};

/// `*`, a port, or two with a dash. Ports of TCP and UDP. Any range but `*`, 0-65535 too, matches
/// only packets that have ports: no fragment, no other protocol, no header that is cut short.
struct L4PortRange {
  bool any = true;
  std::uint16_t low = 0;       ///< host order
  std::uint16_t high = 65535;  ///< inclusive
};

/// One line of flows.csv: `type, src ip[/len], src port[-port], dst ip[/len], dst port[-port],
/// proto`. Of all rules that match a packet, the first decides.
struct FlowRule {
  std::string type;
  IpPrefix src;
  L4PortRange src_ports;
  IpPrefix dst;
  L4PortRange dst_ports;
  bool any_protocol = true;
  std::uint8_t protocol = 0;  ///< IP protocol number; of IPv6, what the extension headers end in
  int line = 0;

  /// All five fields are `*`: matches every packet, IP or not, whole or not.
  [[nodiscard]] bool matches_all() const noexcept {
    return src.any() && src_ports.any && dst.any() && dst_ports.any && any_protocol;
  }
  /// Could match a packet of that IP version.
  [[nodiscard]] bool applies_to(std::uint8_t ip_version) const noexcept {
    return (src.any() || src.version == ip_version) && (dst.any() || dst.version == ip_version);
  }
};

/// A flows.csv that holds together by itself.
struct FlowConfig {
  std::string path;             ///< as the user gave it
  std::vector<FlowRule> rules;  ///< in the file's order
};

/// Checks the rows of a flows.csv, all before the first is used.
///
/// Errors, each with file and line: not six fields, a malformed type, address, prefix length, port
/// or protocol, one IPv4 and one IPv6 address in a rule, ports with a protocol other than tcp, udp
/// and `*`, icmp with IPv6 addresses or icmp6 with IPv4 ones, more than kMaxFlowRules rules. Bits
/// of an address past its prefix length are cleared, as packet filters do.
Result<FlowConfig> parse_flow_config(const CsvFile& file);

/// read_csv(), then parse_flow_config().
Result<FlowConfig> load_flow_config(const std::string& path);

}  // namespace hb
