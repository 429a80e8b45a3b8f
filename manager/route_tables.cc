#include "manager/route_tables.h"

#include <algorithm>
#include <map>
#include <utility>

namespace hb {
namespace {

/// Rules by (type, current), with service names turned into ids.
class RuleBook {
 public:
  explicit RuleBook(const RouteInputs& inputs) : inputs_(inputs) {
    if (inputs.config != nullptr) {
      for (const RouteRule& rule : inputs.config->rules)
        hops_[{rule.type, row_of(rule.current)}] = hop_of(rule.next);
      return;
    }
    std::uint32_t row = kRxRow;
    for (const std::uint32_t service : inputs.default_chain) {
      hops_[{"*", row}] = make_hop(HopKind::kService, service);
      row = service;
    }
    hops_[{"*", row}] = make_hop(HopKind::kPeerPort, 0);
  }

  /// The rule of that type, else that of `*`, else unrouted.
  [[nodiscard]] Hop find(const std::string& type, std::uint32_t row) const {
    for (const std::string& name : {type, std::string("*")})
      if (const auto at = hops_.find({name, row}); at != hops_.end()) return at->second;
    return make_hop(HopKind::kUnrouted, 0);
  }

 private:
  [[nodiscard]] std::uint32_t service_id(const std::string& name) const {
    const auto at = std::ranges::find(inputs_.services, name, &RoutedService::name);
    return static_cast<std::uint32_t>(at - inputs_.services.begin());
  }
  [[nodiscard]] std::uint32_t row_of(const std::string& current) const {
    return current == "rx" ? kRxRow : service_id(current);
  }
  [[nodiscard]] Hop hop_of(const std::string& next) const {
    unsigned port = 0;
    switch (next_kind(next, port)) {
      case NextKind::kService:
        return make_hop(HopKind::kService, service_id(next));
      case NextKind::kTxPaired:
        return make_hop(HopKind::kPeerPort, 0);
      case NextKind::kTxPort:
        return make_hop(HopKind::kPort, port);
      case NextKind::kDrop:
        break;
    }
    return make_hop(HopKind::kDrop, 0);
  }

  const RouteInputs& inputs_;
  std::map<std::pair<std::string, std::uint32_t>, Hop> hops_;
};

/// What a hop becomes when its service does not run.
Hop without_missing(const RuleBook& rules, const RouteInputs& inputs, const std::string& type,
                    Hop hop) {
  for (std::uint32_t steps = 0; steps <= kMaxServices; ++steps) {
    if (hop_kind(hop) != HopKind::kService || inputs.services[hop_index(hop)].running) return hop;
    if (inputs.missing == MissingNf::kDrop) return make_hop(HopKind::kMissing, hop_index(hop));
    hop = rules.find(type, hop_index(hop));
  }
  return make_hop(HopKind::kUnrouted, 0);  // a circle of services none of which runs
}

}  // namespace

RouteTable build_route_table(const RouteInputs& inputs) {
  RouteTable table{};
  const RuleBook rules(inputs);
  for (std::uint32_t type = 0; type < kMaxTypes; ++type) {
    const std::string& name = inputs.types->name(static_cast<std::uint8_t>(type));
    for (std::uint32_t row = 0; row <= kMaxServices; ++row)
      table.next[type][row] = without_missing(rules, inputs, name, rules.find(name, row));
  }
  for (std::uint32_t service = 0; service < inputs.services.size(); ++service) {
    table.targets[service] = inputs.services[service].targets;
    if (!inputs.services[service].running) table.targets[service].n = 0;
  }
  const auto n_ports = static_cast<std::uint32_t>(inputs.port_endpoints.size());
  for (std::uint32_t port = 0; port < kMaxPorts; ++port) {
    // Ports that do not exist lead to the reclaimer: whoever names one has been checked before.
    table.port_endpoint[port] =
        port < n_ports ? inputs.port_endpoints[port] : static_cast<std::uint16_t>(kReclaimer.value);
    table.peer_port[port] = static_cast<std::uint16_t>(paired_port(port, n_ports));
  }
  return table;
}

std::uint32_t paired_port(std::uint32_t port, std::uint32_t n_ports) {
  const std::uint32_t partner = port ^ 1;
  return partner < n_ports ? partner : port;
}

void publish_routes(RouteTables& tables, std::uint8_t version, const RouteTable& table) {
  tables.table[version & 1] = table;
  // Release: pairs with RouteReader::current_version, so that the table is whole.
  tables.current.store(version, std::memory_order_release);
}

}  // namespace hb
