// Controller: changes of routes and flows under traffic, asked for by hbctl or made by NFs that
// come and go. One at a time, in the order in which they were asked for.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "manager/controller.h"
#include "manager/start.h"
#include "manager/statistics.h"

namespace hb {
namespace {

using nlohmann::json;

/// Bits of those names that are known; all bits if nothing was declared.
template <typename Find>
std::uint64_t bits_of(const std::optional<std::vector<std::string>>& names, const Find& find) {
  if (!names) return ~std::uint64_t{0};
  std::uint64_t bits = 0;
  for (const std::string& name : *names)
    if (const std::optional<std::uint32_t> id = find(name)) bits |= std::uint64_t{1} << *id;
  return bits;
}

Result<void> intern(TypeNames& types, const std::string& name, const std::string& path, int line) {
  const Result<std::uint8_t> id = types.intern(name);
  if (id) return {};
  const CsvFile file{.path = path, .rows = {}};
  return file.error(line, id.error().what, id.error().fix);
}

/// A pipe that nobody writes to would be waited for, by a manager that serves others.
Result<void> check_regular(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode)) return {};
  return Error{fmt::format("'{}' is no regular file", path), "give the path of a CSV file"};
}

}  // namespace

void Controller::pause_rx() {
  switch_.pause_rx(true);
  // They answer within one burst or nap; there is no reason for which they could not.
  settle(std::chrono::milliseconds(p_.options.drain_timeout_ms),
         [this] { return switch_.rx_agrees(); });
}

void Controller::resume_rx() { switch_.pause_rx(false); }

void Controller::start_next_change() {
  if (!switch_.idle()) return;
  if (flow_reload_ &&
      flow_reload_->done.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    const std::unique_ptr<FlowReload> reload = std::move(flow_reload_);
    if (const Result<void> finished = finish_flows(*reload); finished) {
      answer_to_ = reload->connection;
      routes_dirty_ = true;
    } else {
      server_.send(reload->connection, refusal(finished.error()));
    }
  }
  // Requests take effect in their order; NFs come and go meanwhile.
  while (!flow_reload_ && answer_to_ < 0 && !changes_.empty()) {
    const Change change = changes_.front();
    changes_.pop_front();
    if (take_request(change)) break;
  }
  if (!routes_dirty_) return;
  RouteInputs inputs;
  fill_route_inputs(inputs);
  const Classifier* const classifier = p_.flows ? p_.classifiers[p_.classifier].get() : nullptr;
  // What changes from here on is for the next change.
  routes_dirty_ = !switch_.begin(build_route_table(inputs), classifier, steering());
  if (routes_dirty_) return;
  // Whoever is inside a burst may send there from now on: an instance that is told to end before
  // the drain is over keeps its place until a later table has taken it out.
  for (const auto& instance : p_.instances) instance->routed |= is_in_current_table(*instance);
  advance_change();
}

bool Controller::take_request(const Change& change) {
  Result<void> applied;
  bool in_force = true;
  try {
    const json request = json::parse(change.request);
    in_force = request.value("what", "") != "flows";
    applied = in_force ? apply(request) : begin_flows(request.value("path", ""), change.connection);
  } catch (const json::exception& error) {
    applied = Error{"a field of the message has the wrong type", error.what()};
  } catch (const std::system_error& error) {  // no thread can be had
    flow_reload_.reset();
    applied = Error{fmt::format("the flows can't be loaded: {}", error.what()), "try again later"};
  }
  if (!applied) {
    server_.send(change.connection, refusal(applied.error()));
    return false;
  }
  if (!in_force) return false;
  answer_to_ = change.connection;
  routes_dirty_ = true;
  return true;
}

bool Controller::is_in_current_table(const Instance& instance) const {
  const RouteTables& tables = p_.control->routes();
  const RouteTable& table = tables.table[tables.current.load(std::memory_order_relaxed) & 1];
  const ServiceTargets& targets = table.targets[instance.service->id];
  return std::ranges::any_of(instance.endpoints, [&](EndpointId endpoint) {
    return std::ranges::count(targets.endpoint, targets.endpoint + targets.n, endpoint.value) != 0;
  });
}

void Controller::advance_change() {
  RouteSwitch::Step step = switch_.advance();
  if (step == RouteSwitch::Step::kDrained) {
    for (const auto& instance : p_.instances) instance->routed = is_in_current_table(*instance);
    step = switch_.advance();
  }
  if (step != RouteSwitch::Step::kFinished || answer_to_ < 0) return;
  server_.send(answer_to_, {{"ok", true}, {"change", switch_report(p_)}});
  answer_to_ = -1;
}

Result<void> Controller::apply(const json& request) {
  const std::string what = request.value("what", "");
  const std::string path = request.value("path", "");
  const auto n_ports = static_cast<unsigned>(p_.ports.size());
  if (what == "routes") {
    if (path.empty() && !p_.routes)
      return Error{"the manager was started without --routes", "name the file to load"};
    const std::string& file = path.empty() ? p_.routes->path : path;
    if (const Result<void> regular = check_regular(file); !regular) return regular.error();
    auto loaded = load_route_config(file, n_ports);
    if (!loaded) return loaded.error();
    return apply_routes(std::move(*loaded));
  }
  static const std::map<std::string, RouteEdit> kEdits = {
      {"add", RouteEdit::kAdd}, {"replace", RouteEdit::kReplace}, {"del", RouteEdit::kDelete}};
  const auto edit = kEdits.find(what);
  if (edit == kEdits.end()) return Error{fmt::format("'{}' is not a change", what), ""};
  if (!p_.routes)
    return Error{"there are no rules: NFs are in the order in which they were started",
                 "load a file with hbctl reload routes FILE first"};
  auto edited = edit_route_config(*p_.routes, edit->second,
                                  {.type = request.value("type", ""),
                                   .current = request.value("current", ""),
                                   .next = request.value("next", "")},
                                  n_ports);
  if (!edited) return edited.error();
  return apply_routes(std::move(*edited));
}

Result<void> Controller::apply_routes(RouteConfig config) {
  std::vector<std::string> services;
  for (const auto& named : {config.services, config.unreachable})
    for (const std::string& name : named)
      if (name != "rx" && find_service(name) == nullptr) services.push_back(name);
  if (p_.services.size() + services.size() > kMaxServices)
    return Error{fmt::format("{}: with {} more services there would be more than {}", config.path,
                             services.size(), kMaxServices),
                 "use names that the platform knows already"};
  TypeNames types = p_.types;
  for (const RouteRule& rule : config.rules)
    if (rule.type != "*")
      if (const Result<void> named = intern(types, rule.type, config.path, rule.line); !named)
        return named;
  // All is checked: from here on nothing fails.
  p_.types = std::move(types);
  publish_type_names(p_.control->registry(), p_.types);
  for (const std::string& name : services) service_record(name);
  for (const std::string& name : config.unreachable)
    spdlog::warn("{}: '{}' can't be reached from rx", config.path, name);
  p_.routes = std::move(config);
  return {};
}

Result<void> Controller::begin_flows(const std::string& path, int connection) {
  if (path.empty() && !p_.flows)
    return Error{"the manager was started without --flows", "name the file to load"};
  const std::string file = path.empty() ? p_.flows->path : path;
  if (const Result<void> regular = check_regular(file); !regular) return regular.error();
  flow_reload_ = std::make_unique<FlowReload>(FlowReload{connection, {}, p_.types, {}});
  // No change is under way, so nobody classifies by the other one; and none of flows begins before
  // this one is done.
  flow_reload_->done = std::async(
      std::launch::async,
      [&reload = *flow_reload_, file,
       &classifier =
           *p_.classifiers[p_.flows ? p_.classifier ^ 1 : p_.classifier]]() -> Result<void> {
        auto loaded = load_flow_config(file);
        if (!loaded) return loaded.error();
        for (const FlowRule& rule : loaded->rules)
          if (const Result<void> named = intern(reload.types, rule.type, loaded->path, rule.line);
              !named)
            return named;
        if (const Result<void> compiled = classifier.compile(*loaded, reload.types); !compiled)
          return compiled;
        reload.config = std::move(*loaded);
        return {};
      });
  return {};
}

Result<void> Controller::finish_flows(FlowReload& reload) {
  try {
    if (const Result<void> done = reload.done.get(); !done) return done;
  } catch (const std::exception& error) {
    return Error{fmt::format("the flows can't be loaded: {}", error.what()), "try again later"};
  }
  p_.types = std::move(reload.types);
  publish_type_names(p_.control->registry(), p_.types);
  if (p_.flows) p_.classifier ^= 1;
  p_.flows = std::move(*reload.config);
  return {};
}

void Controller::fill_route_inputs(RouteInputs& inputs) const {
  inputs.config = p_.routes ? &*p_.routes : nullptr;
  inputs.types = &p_.types;
  inputs.missing = p_.options.missing_nf;
  std::vector<const Service*> chain;
  for (const auto& service : p_.services) {
    RoutedService routed;
    routed.name = service->name;
    routed.targets.choice = service->choice;
    routed.targets.key_offset = service->key_offset;
    routed.targets.key_bytes = service->key_bytes;
    for (const Instance* const instance : service->instances) {
      if (!instance->routable()) continue;
      std::span<const EndpointId> endpoints = instance->endpoints;
      if (const auto only = service->only_syncer(p_.options.n_syncers))
        endpoints = endpoints.subspan(*only, 1);
      for (const EndpointId endpoint : endpoints)
        routed.targets.endpoint[routed.targets.n++] = static_cast<std::uint16_t>(endpoint.value);
    }
    routed.running = routed.targets.n != 0;
    if (routed.running) chain.push_back(service.get());
    inputs.services.push_back(std::move(routed));
  }
  std::ranges::sort(chain, {}, &Service::start_order);
  for (const Service* const service : chain) inputs.default_chain.push_back(service->id);
  for (std::size_t port = 0; port < p_.ports.size(); ++port)
    inputs.port_endpoints.push_back(
        static_cast<std::uint16_t>(p_.control->registry().ports[port].endpoint));
}

std::vector<SteeringNf> Controller::steering() const {
  const auto find_type = [this](const std::string& name) -> std::optional<std::uint32_t> {
    return p_.types.find(name);
  };
  const auto find_id = [this](const std::string& name) -> std::optional<std::uint32_t> {
    const auto at =
        std::ranges::find_if(p_.services, [&](const auto& s) { return s->name == name; });
    if (at == p_.services.end()) return std::nullopt;
    return (*at)->id;
  };
  std::vector<SteeringNf> nfs(p_.services.size(), SteeringNf{.sets_types = 0, .names = 0});
  for (const auto& instance : p_.instances) {
    SteeringNf& nf = nfs[instance->service->id];
    nf.sets_types |= bits_of(instance->sets_types, find_type);
    nf.names |= bits_of(instance->names_services, find_id);
  }
  return nfs;
}

json Controller::routes_json() const {
  json routes = json::array();
  const auto add = [&routes](const std::string& type, const std::string& current,
                             const std::string& next) {
    routes.push_back({{"type", type}, {"current", current}, {"next", next}});
  };
  if (p_.routes) {
    for (const RouteRule& rule : p_.routes->rules) add(rule.type, rule.current, rule.next);
    return routes;
  }
  RouteInputs inputs;
  fill_route_inputs(inputs);
  std::string current = "rx";
  for (const std::uint32_t id : inputs.default_chain) {
    add("*", current, p_.services[id]->name);
    current = p_.services[id]->name;
  }
  add("*", current, "tx");
  return routes;
}

}  // namespace hb
