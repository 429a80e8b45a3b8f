// From routes.csv (or the order in which NFs were started) to the dense table that all read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "manager/classifier.h"
#include "manager/options.h"
#include "manager/route_config.h"
#include "nf_lib/control_layout.h"

namespace hb {

/// A service as the route table needs it.
struct RoutedService {
  std::string name;  ///< empty: the id is not in use
  bool running = false;
  ServiceTargets targets{};
};

struct RouteInputs {
  const RouteConfig* config = nullptr;  ///< null: the default chain
  const TypeNames* types = nullptr;
  std::vector<RoutedService> services;        ///< by service id
  std::vector<std::uint32_t> default_chain;   ///< running services in start order
  std::vector<std::uint16_t> port_endpoints;  ///< by port number
  MissingNf missing = MissingNf::kDrop;
};

/// The table of these inputs. Services that do not run are dropped to or skipped, as told.
RouteTable build_route_table(const RouteInputs& inputs);

/// The port that tx without a number means: with two or more ports they are paired 0-1, 2-3, ...;
/// a port without a partner is its own.
std::uint32_t paired_port(std::uint32_t port, std::uint32_t n_ports);

/// The version after this one; its table is the other one of the two.
constexpr std::uint8_t next_version(std::uint32_t version) {
  return static_cast<std::uint8_t>((version + 1) % kRouteVersions);
}

/// Makes the table the current one, as this version. No packet and no context may still need the
/// version before the current one. Control thread only.
void publish_routes(RouteTables& tables, std::uint8_t version, const RouteTable& table);

}  // namespace hb
