// One alert, and its line in Suricata's EVE format.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "nf_lib/decode.h"
#include "nfs/nids/rule_set.h"

namespace hb::nids {

/// What the packet path notes of one alert: fixed size, copied into a queue.
struct Alert {
  std::uint64_t capture_ns = 0;      ///< nanoseconds since 1970
  std::uint64_t capture_number = 0;  ///< of the packet on its input port, from 1
  const RuleSet* rules = nullptr;    ///< which must outlive the alert
  std::uint32_t rule_idx = 0;
  bool blocked = false;  ///< the packet was dropped for it
  std::uint8_t ip_version = 4;
  std::uint8_t protocol = 0;
  bool has_ports = false;
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  std::array<std::uint8_t, 16> src{};  ///< as in DecodedPacket
  std::array<std::uint8_t, 16> dst{};
};

/// @param packet  decoded, status kOk
Alert make_alert(const DecodedPacket& packet, std::uint32_t rule_idx, std::uint64_t capture_ns,
                 std::uint64_t capture_number) noexcept;

/// The alert, with its rules, as one JSON line with its newline: Suricata's user guide, "EVE JSON
/// Format".
std::string eve_line(const Alert& alert);

/// "2010-04-15T10:34:50.123456+0000": UTC, cut to microseconds.
std::string eve_timestamp(std::uint64_t capture_ns);

/// IANA's keyword for common protocols ("TCP", "IPv6-ICMP", "ESP"), else the number in 3 digits.
std::string eve_protocol(std::uint8_t protocol);

}  // namespace hb::nids
