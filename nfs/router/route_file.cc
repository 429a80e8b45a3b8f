#include "nfs/router/route_file.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

namespace hb::router {
namespace {

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// A number that is the whole text; false for anything else or one above max.
bool parse_number(std::string_view text, int base, std::uint32_t max, std::uint32_t& value) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  return error == std::errc{} && stop == end && value <= max;
}

std::uint32_t mask_of(std::uint32_t length) { return length == 0 ? 0 : ~0u << (32 - length); }

/// ADDRESS or ADDRESS/LENGTH; false when it is neither.
bool parse_prefix(std::string_view text, Route& route) {
  const std::size_t slash = text.find('/');
  in_addr address{};
  if (inet_pton(AF_INET, std::string(text.substr(0, slash)).c_str(), &address) != 1) return false;
  std::uint32_t length = 32;
  if (slash != std::string_view::npos && !parse_number(text.substr(slash + 1), 10, 32, length))
    return false;
  route.prefix = ntohl(address.s_addr);
  route.length = static_cast<std::uint8_t>(length);
  return true;
}

/// Six pairs of hexadecimal digits with colons.
bool parse_mac(std::string_view text, MacAddress& mac) {
  if (text.size() != 17) return false;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    std::uint32_t byte = 0;
    if (!parse_number(text.substr(3 * i, 2), 16, 0xff, byte) || (i < 5 && text[3 * i + 2] != ':'))
      return false;
    mac[i] = static_cast<std::uint8_t>(byte);
  }
  return true;
}

/// Parses one line without its comment. The error has no file and line yet.
Result<Route> parse_route(std::string_view line, std::uint32_t n_ports) {
  const std::size_t first = line.find(',');
  const std::size_t second = first == std::string_view::npos ? first : line.find(',', first + 1);
  if (second == std::string_view::npos || line.find(',', second + 1) != std::string_view::npos)
    return Error{.what = "not three fields", .fix = "write: prefix, port, next-hop MAC"};
  const std::string_view prefix = trim(line.substr(0, first));
  const std::string_view port = trim(line.substr(first + 1, second - first - 1));
  const std::string_view mac = trim(line.substr(second + 1));

  Route route;
  if (!parse_prefix(prefix, route))
    return Error{.what = fmt::format("'{}' is no IPv4 prefix", prefix),
                 .fix = "write address/length, for example 10.1.0.0/16"};
  if ((route.prefix & ~mask_of(route.length)) != 0)
    return Error{.what = fmt::format("'{}' has bits set past its length", prefix),
                 .fix = "clear them, or write a longer length"};
  std::uint32_t port_number = 0;
  if (!parse_number(port, 10, UINT8_MAX, port_number))
    return Error{.what = fmt::format("'{}' is no port", port),
                 .fix = "write a port's number, from 0 in the order of manager.sh's --port"};
  if (port_number >= n_ports)
    return Error{
        .what = fmt::format("there is no port {}", port_number),
        .fix = fmt::format("the manager has {} port(s); their numbers start at 0", n_ports)};
  route.port = static_cast<std::uint8_t>(port_number);
  if (!parse_mac(mac, route.next_hop))
    return Error{.what = fmt::format("'{}' is no MAC address", mac),
                 .fix = "write six pairs of digits, for example 02:00:00:00:00:07"};
  if ((route.next_hop[0] & 1) != 0 || route.next_hop == MacAddress{})
    return Error{.what = fmt::format("'{}' can't be a next hop's address", mac),
                 .fix = "a next hop has an address of its own, neither multicast nor zero"};
  return route;
}

}  // namespace

Result<std::vector<Route>> parse_routes(const std::string& path, std::string_view text,
                                        std::uint32_t n_ports) {
  std::vector<Route> routes;
  std::map<std::pair<std::uint32_t, std::uint8_t>, int> seen;  // prefix and length -> line
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t newline = text.find('\n');
    const std::string_view whole = text.substr(0, newline);
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    const std::string_view line = trim(whole.substr(0, whole.find('#')));
    if (line.empty()) continue;
    Result<Route> route = parse_route(line, n_ports);
    if (!route)
      return Error{.what = fmt::format("{}:{}: {}", path, number, route.error().what),
                   .fix = route.error().fix};
    route->line = number;
    const auto [earlier, is_new] = seen.try_emplace({route->prefix, route->length}, number);
    if (!is_new)
      return Error{.what = fmt::format("{}:{}: a second route for the prefix of line {}", path,
                                       number, earlier->second),
                   .fix = "remove one of the two"};
    routes.push_back(*route);
  }
  if (routes.empty())
    return Error{.what = fmt::format("{}: no route", path),
                 .fix = "add a line such as: 0.0.0.0/0, 0, 02:00:00:00:00:07"};
  return routes;
}

Result<std::vector<Route>> read_route_file(const std::string& path, std::uint32_t n_ports) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  const auto failed = [&path] {
    return Error{.what = fmt::format("cannot read '{}': {}", path, std::strerror(errno)),
                 .fix = "give the path of a readable route file"};
  };
  if (!file) return failed();
  std::string text;
  std::array<char, 65536> chunk;
  while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), file.get()))
    text.append(chunk.data(), n);
  if (std::ferror(file.get())) return failed();
  return parse_routes(path, text, n_ports);
}

}  // namespace hb::router
