// What an IPv4 router does to each packet: RFC 1812 sections 5.2.2, 5.2.3 and 5.3.1.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nf_lib/verdict.h"
#include "nfs/router/fib.h"

namespace hb::router {

/// Why the router drops a packet; Verdict::drop's argument.
enum class Drop : std::uint32_t {
  kNotIpv4,      ///< ARP, IPv6, more than two VLAN tags, ...
  kBadHeader,    ///< cut short, or version, header length or total length are wrong
  kBadChecksum,  ///< the IPv4 header checksum is wrong
  kTtlExpired,   ///< TTL 0 or 1
  kNoRoute,      ///< no prefix has the destination
  kCount
};

/// Names of Drop's values, in their order: NfDescription::drop_reasons.
[[nodiscard]] std::vector<std::string> drop_names();

/// Routes bursts of packets: Ethernet with up to two VLAN tags, which stay as they are.
///
/// Options are covered by the checksum and not looked at. Only the frame's headers change: TTL,
/// checksum (RFC 1624), both MAC addresses.
class Router {
 public:
  /// @param port_macs  address of each port; longer than any port number in the table
  Router(Fib fib, std::vector<MacAddress> port_macs);

  /// Rewrites each packet that has a route.
  /// @param burst     1..kMaxBurst mbufs of one segment
  /// @param verdicts  same length; to_port, or drop with a Drop
  void process_burst(std::span<rte_mbuf* const> burst, std::span<Verdict> verdicts) const noexcept;

 private:
  struct Rewrite {
    MacAddress dst;
    MacAddress src;
    std::uint32_t port;
  };

  Fib fib_;
  std::vector<Rewrite> rewrites_;  ///< one for each of the table's next hops
};

}  // namespace hb::router
