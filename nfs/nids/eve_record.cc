#include "nfs/nids/eve_record.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

namespace hb::nids {
namespace {

std::string address_text(const std::array<std::uint8_t, 16>& address, std::uint8_t ip_version) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(ip_version == 4 ? AF_INET : AF_INET6, address.data(), text, sizeof text);
  return text;
}

}  // namespace

Alert make_alert(const DecodedPacket& packet, std::uint32_t rule_idx, std::uint64_t capture_ns,
                 std::uint64_t capture_number) noexcept {
  Alert alert;
  alert.capture_ns = capture_ns;
  alert.capture_number = capture_number;
  alert.rule_idx = rule_idx;
  alert.ip_version = packet.ip_version;
  alert.protocol = packet.protocol;
  alert.has_ports = packet.has_ports;
  alert.src_port = packet.src_port;
  alert.dst_port = packet.dst_port;
  alert.src = packet.src;
  alert.dst = packet.dst;
  return alert;
}

std::string eve_timestamp(std::uint64_t capture_ns) {
  const auto seconds = static_cast<std::time_t>(capture_ns / 1'000'000'000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+0000", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     capture_ns % 1'000'000'000 / 1000);
}

std::string eve_protocol(std::uint8_t protocol) {
  switch (protocol) {
    case 1:
      return "ICMP";
    case 2:
      return "IGMP";
    case 4:
      return "IPv4";
    case 6:
      return "TCP";
    case 17:
      return "UDP";
    case 33:
      return "DCCP";
    case 41:
      return "IPv6";
    case 46:
      return "RSVP";
    case 47:
      return "GRE";
    case 50:
      return "ESP";
    case 51:
      return "AH";
    case 58:
      return "IPv6-ICMP";
    case 59:
      return "IPv6-NoNxt";
    case 60:
      return "IPv6-Opts";
    case 88:
      return "EIGRP";
    case 89:
      return "OSPFIGP";
    case 103:
      return "PIM";
    case 112:
      return "VRRP";
    case 115:
      return "L2TP";
    case 132:
      return "SCTP";
    case 136:
      return "UDPLite";
    default:
      return fmt::format("{:03}", protocol);
  }
}

std::string eve_line(const Alert& alert) {
  const Rule& rule = alert.rules->rules[alert.rule_idx];
  nlohmann::ordered_json json;
  json["timestamp"] = eve_timestamp(alert.capture_ns);
  json["pcap_cnt"] = alert.capture_number;
  json["event_type"] = "alert";
  json["src_ip"] = address_text(alert.src, alert.ip_version);
  if (alert.has_ports) json["src_port"] = alert.src_port;
  json["dest_ip"] = address_text(alert.dst, alert.ip_version);
  if (alert.has_ports) json["dest_port"] = alert.dst_port;
  json["proto"] = eve_protocol(alert.protocol);
  json["alert"] = {{"action", alert.blocked ? "blocked" : "allowed"},
                   {"gid", rule.gid},
                   {"signature_id", rule.sid},
                   {"rev", rule.rev},
                   {"signature", rule.msg},
                   {"category", rule.classtype},
                   {"severity", rule.priority},
                   {"rules_version", alert.rules->version}};
  // A rule file may hold any bytes; JSON may not.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace hb::nids
