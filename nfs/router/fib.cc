#include "nfs/router/fib.h"

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include <map>
#include <set>
#include <utility>

namespace hb::router {
namespace {

Error failed(const char* step, std::size_t n_routes, int error) {
  return Error{
      .what = fmt::format("{} failed for {} routes: {}", step, n_routes, rte_strerror(error)),
      .fix = "give the NF more memory, or use fewer routes"};
}

rte_lpm_config table_size(std::span<const Route> routes) {
  std::set<std::uint32_t> long_24s;  // each /24 with longer prefixes takes a second-level table
  for (const Route& route : routes)
    if (route.length > 24) long_24s.insert(route.prefix >> 8);
  rte_lpm_config config{};
  config.max_rules = static_cast<std::uint32_t>(routes.size());
  config.number_tbl8s = static_cast<std::uint32_t>(long_24s.size() + 1);
  return config;
}

}  // namespace

Result<Fib> Fib::build(std::span<const Route> routes) {
  Fib fib;
  const rte_lpm_config config = table_size(routes);
  fib.lpm_.reset(rte_lpm_create("hb_router", SOCKET_ID_ANY, &config));
  if (!fib.lpm_) return failed("rte_lpm_create", routes.size(), rte_errno);
  std::map<std::pair<std::uint32_t, MacAddress>, std::uint32_t> numbers;
  for (const Route& route : routes) {
    const auto [number, is_new] = numbers.try_emplace({route.port, route.next_hop},
                                                      static_cast<std::uint32_t>(fib.hops_.size()));
    if (is_new) fib.hops_.push_back({.port = route.port, .mac = route.next_hop});
    if (route.length == 0) {
      fib.default_hop_ = number->second;
      continue;
    }
    if (const int status = rte_lpm_add(fib.lpm_.get(), route.prefix, route.length, number->second);
        status != 0)
      return failed("rte_lpm_add", routes.size(), -status);
  }
  return fib;
}

}  // namespace hb::router
