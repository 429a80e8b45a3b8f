// Controller: changing the routes under traffic. RX pauses, packets on their way finish by the old
// table, then the new one takes over: so no packet is judged by two, and flows keep their order.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "manager/controller.h"
#include "manager/route_tables.h"

namespace hb {

void Controller::pause_rx() {
  // Release: pairs with the RX threads' acquire load.
  const std::uint32_t command = p_.flow.rx_command.fetch_add(1, std::memory_order_release) + 1;
  // They answer within one burst or nap; there is no reason for which they could not.
  settle(std::chrono::milliseconds(p_.options.drain_timeout_ms), [&] {
    for (std::uint32_t i = 0; i < p_.flow.n_rx_threads; ++i)
      if (p_.flow.rx[i].seen.load(std::memory_order_acquire) != command) return false;
    return true;
  });
}

void Controller::resume_rx() { p_.flow.rx_command.fetch_add(1, std::memory_order_release); }

void Controller::switch_routes() {
  const bool was_paused = p_.flow.rx_command.load(std::memory_order_relaxed) % 2 != 0;
  if (!was_paused) pause_rx();
  const auto limit = std::chrono::milliseconds(p_.options.drain_timeout_ms);
  draining_ = true;
  if (!settle(limit, [this] { return p_.flow.on_the_way() == 0; })) {
    std::string names;
    for (const auto& instance : p_.instances) {
      const bool waits = std::ranges::any_of(
          instance->endpoints, [this](EndpointId e) { return !recovery_.is_empty(e); });
      if (instance->alive() && waits) names += (names.empty() ? "" : ", ") + instance->name();
    }
    spdlog::warn("{} packets did not finish within --drain-timeout {} ms; waiting in front of: {}",
                 p_.flow.on_the_way(), limit.count(), names.empty() ? "no NF" : names);
  }
  draining_ = false;
  // What changes from here on is for the next switch.
  routes_dirty_ = false;
  RouteInputs inputs;
  fill_route_inputs(inputs);
  publish_routes(p_.control->routes(), build_route_table(inputs));
  for (const auto& instance : p_.instances) instance->routed = instance->routable();
  wait_grace();
  if (!was_paused) resume_rx();
}

void Controller::wait_grace() {
  struct Seen {
    const ContextPage* page;
    std::uint64_t bursts;
  };
  std::vector<const ContextFile*> files;
  for (const auto& instance : p_.instances)
    if (instance->alive() && instance->page) files.push_back(instance->page.get());
  for (const SyncerContext& syncer : p_.syncers) files.push_back(syncer.page.get());
  // The new table must be out before the counters are read; pairs with the fence at a burst's
  // start.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::vector<Seen> inside;
  for (const ContextFile* const file : files) {
    const std::uint64_t bursts = file->page().bursts.load(std::memory_order_acquire);
    if (bursts % 2 != 0) inside.push_back({&file->page(), bursts});
  }
  const auto is_mapped = [this](const ContextPage* page) {
    return std::ranges::any_of(
               p_.instances,
               [&](const auto& i) { return i->alive() && i->page && &i->page->page() == page; }) ||
           std::ranges::any_of(p_.syncers,
                               [&](const SyncerContext& s) { return &s.page->page() == page; });
  };
  settle(std::chrono::milliseconds(p_.options.drain_timeout_ms), [&] {
    std::erase_if(inside, [&](const Seen& s) {
      return !is_mapped(s.page) || s.page->bursts.load(std::memory_order_acquire) != s.bursts;
    });
    return inside.empty();
  });
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
      for (const EndpointId endpoint : instance->endpoints)
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

}  // namespace hb
