// The router's route file: `prefix, port, next-hop MAC` per line.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nf_lib/result.h"

namespace hb::router {

using MacAddress = std::array<std::uint8_t, 6>;

/// One line of the route file.
struct Route {
  std::uint32_t prefix = 0;  ///< IPv4, host order; bits past length are 0
  std::uint8_t length = 0;   ///< 0..32; 0 is the default route
  std::uint8_t port = 0;     ///< the platform's port to send from
  MacAddress next_hop{};     ///< the frame's new destination
  int line = 0;
};

/// Reads routes such as `10.1.0.0/16, 1, 02:00:00:00:00:07`. `#` starts a comment, blank lines are
/// skipped, a prefix without a length is a host's.
///
/// Errors, with file and line: not three fields, a malformed prefix, port or MAC address, bits set
/// past the prefix length, a port not below n_ports, a multicast or zero next hop, a prefix that an
/// earlier line has. Without a line: the file can't be read, or holds no route.
Result<std::vector<Route>> read_route_file(const std::string& path, std::uint32_t n_ports);

/// The same for text; path names it in errors.
Result<std::vector<Route>> parse_routes(const std::string& path, std::string_view text,
                                        std::uint32_t n_ports);

}  // namespace hb::router
