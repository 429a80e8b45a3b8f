#include "manager/statistics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

namespace hb {
namespace {

using nlohmann::json;

std::uint64_t get(const std::atomic<std::uint64_t>& counter) {
  return counter.load(std::memory_order_relaxed);
}

/// Drops that a service (or kMaxServices, the manager) caused, whichever thread freed the packets.
std::uint64_t drops(const Platform& p, std::uint32_t service, std::uint32_t reason) {
  std::uint64_t n = 0;
  for (const auto& tx : p.tx_threads) n += tx->drops().get(service, reason);
  for (const auto& rx : p.rx_threads) n += rx->drops().get(service, reason);
  return n;
}

struct NfCounts {
  std::uint64_t rx = 0, left = 0, originated = 0, dropped = 0, in_device = 0, lost = 0;
};

json ports_json(const Platform& p) {
  json ports = json::array();
  for (std::size_t i = 0; i < p.ports.size(); ++i) {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    for (const auto& rx : p.rx_threads) {
      packets += get(rx->counters(i).packets);
      bytes += get(rx->counters(i).bytes);
    }
    rte_eth_stats device{};
    rte_eth_stats_get(p.ports[i].id, &device);
    std::uint64_t sent = 0;
    std::uint64_t sent_bytes = 0;
    std::uint64_t not_sent = 0;
    for (const auto& tx : p.tx_threads) {
      sent += get(tx->counters(i).packets);
      sent_bytes += get(tx->counters(i).bytes);
      not_sent += get(tx->counters(i).dropped);
    }
    ports.push_back({{"id", i},
                     {"spec", p.ports[i].spec.text},
                     {"mac", fmt::format("{:02x}", fmt::join(p.ports[i].mac.addr_bytes, ":"))},
                     {"rx_packets", packets},
                     {"rx_bytes", bytes},
                     {"tx_packets", sent},
                     {"tx_bytes", sent_bytes},
                     {"rx_missed", device.imissed + device.rx_nombuf + device.ierrors},
                     {"tx_dropped", not_sent}});
    if (p.ports[i].spec.kind != PortKind::kGen) continue;
    // Nobody may take this for traffic that came in from outside.
    LatencyHistogram latency;
    p.ports[i].generator->add_latency_to(latency);
    ports.back()["generator"] = true;
    ports.back()["latency"] = {{"n", latency.count()},
                               {"p50_ns", latency.quantile_ns(0.5)},
                               {"p99_ns", latency.quantile_ns(0.99)},
                               {"p999_ns", latency.quantile_ns(0.999)}};
  }
  return ports;
}

std::uint64_t packets_in_device(const Platform& p, const Instance& instance) {
  const RegionView& region = p.view.region;
  std::uint64_t n = 0;
  for (const std::uint32_t group : instance.work_groups) {
    const HbQueueControl* const control = region.queue_control(group);
    const std::uint32_t drained = __atomic_load_n(&control->drained.value, __ATOMIC_ACQUIRE);
    const std::uint32_t filled = __atomic_load_n(&control->filled.value, __ATOMIC_ACQUIRE);
    for (std::uint32_t at = drained; at != filled && filled - drained <= region.slots_per_queue();
         ++at)
      n += region.slots(group)[at % region.slots_per_queue()] != 0;
  }
  if (instance.waiting_room)
    for (std::uint32_t from = 0; from < region.layout().n_contexts; ++from)
      n += n_waiting(region.ring(*instance.waiting_room, ContextId(from)),
                     region.layout().ring_size);
  return n;
}

NfCounts count_nf(const Platform& p, const Instance& instance) {
  NfCounts counts;
  for (std::uint32_t reason = 0; reason < DropCounters::kReasons; ++reason)
    if (is_nf_reason(reason) && reason != static_cast<std::uint32_t>(DropReason::kHeldAtExit))
      counts.dropped += drops(p, instance.id, reason);
  counts.lost = drops(p, instance.id, static_cast<std::uint32_t>(DropReason::kLostInCrash));
  counts.rx = instance.rx_before;
  counts.left = instance.left_before;
  counts.originated = instance.originated_before;
  if (instance.in_use()) {
    std::uint64_t taken = 0;
    for (const EndpointId endpoint : instance.endpoints) taken += p.totals->consumed_by(endpoint);
    counts.rx += taken - instance.rx_base;
    if (instance.service->compute == Compute::kCpu) {
      counts.left += p.totals->produced_by(instance.context) - instance.left_base;
      counts.originated += p.totals->originated_by(instance.context) - instance.originated_base;
    }
  }
  counts.rx -= instance.served_as_orphan;
  if (instance.service->compute == Compute::kGpu) {
    counts.in_device = packets_in_device(p, instance);
    const std::uint64_t kept = counts.in_device + counts.lost;
    counts.left = counts.rx > kept ? counts.rx - kept : 0;
  }
  return counts;
}

json drops_of_nf(const Platform& p, const Instance& instance) {
  json named = json::object();
  for (std::uint32_t reason = 0; reason < DropCounters::kReasons; ++reason) {
    const std::uint64_t n = drops(p, instance.id, reason);
    if (n == 0 || !is_nf_reason(reason)) continue;
    if (reason < kNfReasons)
      named[std::string(kDropReasonNames[reason])] = n;
    else if (reason - kNfReasons < instance.service->reasons.size())
      named[instance.service->reasons[reason - kNfReasons]] = n;
  }
  return named;
}

json nfs_json(const Platform& p) {
  json nfs = json::array();
  std::vector<const Instance*> instances;
  for (const auto& service : p.services)
    std::ranges::copy_if(service->instances, std::back_inserter(instances),
                         &Instance::start_order);  // that ever came to be
  for (const Instance* const instance : instances) {
    const NfCounts counts = count_nf(p, *instance);
    const bool gpu = instance->service->compute == Compute::kGpu;
    json nf = {{"service", instance->service->name},
               {"instance", instance->number},
               {"compute", gpu ? "gpu" : "cpu"},
               {"isolation", instance->isolation == Isolation::kPrivate ? "private" : "secondary"},
               {"state", state_name(instance->state)},
               {"pid", instance->alive() ? instance->pid : 0},
               {"rx", counts.rx},
               {"tx", counts.left > counts.dropped ? counts.left - counts.dropped : 0},
               {"originated", counts.originated},
               {"drops", drops_of_nf(p, *instance)},
               {"lost_in_crash", counts.lost},
               {"restarts", instance->restarts}};
    const ContextPage* const page = instance->page ? &instance->page->page() : nullptr;
    for (std::size_t i = 0; i < instance->counters.names().size(); ++i)
      nf["counters"][instance->counters.names()[i]] = instance->counters.total(i, page);
    if (!instance->failure.empty()) nf["failure"] = instance->failure;
    if (!instance->last_end.empty()) nf["last_end"] = instance->last_end;
    const auto& entry = p.control->registry().services[instance->service->id];
    if (const auto number = entry.number.load(std::memory_order_relaxed); number != 0)
      nf["service_id"] = number;  // an OpenNetVM NF's
    if (gpu) {
      nf["workgroups"] = instance->work_groups.size();
      nf["counters"]["unevaluated"] = count_unevaluated(p, *instance);
    }
    nfs.push_back(std::move(nf));
  }
  return nfs;
}

/// The platform's own drops, summed over who caused them, and broken down by NF where that says
/// more: whose absence and whose full ring it was.
void add_platform_drops(const Platform& p, json& out) {
  json total = json::object();
  json missing = json::object();
  json full = json::object();
  json early = json::object();
  for (std::uint32_t reason = 1; reason < static_cast<std::uint32_t>(DropReason::kCount);
       ++reason) {
    if (reason == static_cast<std::uint32_t>(DropReason::kLostInCrash)) continue;
    std::uint64_t sum = is_nf_reason(reason) ? drops(p, kMaxServices, reason) : 0;
    for (std::uint32_t service = 0; !is_nf_reason(reason) && service <= kMaxServices; ++service) {
      const std::uint64_t n = drops(p, service, reason);
      sum += n;
      if (n == 0 || service >= p.services.size()) continue;
      if (reason == static_cast<std::uint32_t>(DropReason::kMissingNf))
        missing[p.services[service]->name] = n;
      if (reason == static_cast<std::uint32_t>(DropReason::kRingFull))
        full[p.services[service]->name] = n;
      if (reason == static_cast<std::uint32_t>(DropReason::kOverloadEarly))
        early[p.services[service]->name] = n;
    }
    if (sum != 0) total[std::string(kDropReasonNames[reason])] = sum;
  }
  std::uint64_t not_sent = 0;  // by port in ports[].tx_dropped
  for (std::size_t port = 0; port < p.ports.size(); ++port)
    for (const auto& tx : p.tx_threads) not_sent += get(tx->counters(port).dropped);
  if (not_sent != 0) total["tx_dropped"] = not_sent;
  out["drops"] = std::move(total);
  out["missing_nf"] = std::move(missing);
  out["ring_full"] = std::move(full);
  out["overload_early"] = std::move(early);
}

const char* gpu_state_name(GpuStatus::State state) {
  switch (state) {
    case GpuStatus::State::kStarting:
      return "starting";
    case GpuStatus::State::kReady:
      return "ready";
    case GpuStatus::State::kStopped:
      return "stopped";
    case GpuStatus::State::kFailed:
      return "failed";
    case GpuStatus::State::kNone:
      break;
  }
  return "none";
}

}  // namespace

const char* state_name(InstanceState state) {
  switch (state) {
    case InstanceState::kStarting:
      return "starting";
    case InstanceState::kRunning:
      return "running";
    case InstanceState::kDraining:
      return "draining";
    case InstanceState::kRestarting:
      return "restarting";
    case InstanceState::kStopped:
      return "stopped";
    case InstanceState::kFailed:
      return "failed";
    case InstanceState::kFree:
      break;
  }
  return "free";
}

json switch_report(const Platform& p) {
  const SwitchReport& last = p.last_switch;
  json affected = json::array();
  json held = json::object();
  std::uint64_t n_held = 0;
  for (std::uint32_t type = 0; type < p.types.size(); ++type) {
    const std::string& name = p.types.name(static_cast<std::uint8_t>(type));
    if ((last.affected >> type & 1) != 0) affected.push_back(name);
    if (last.held[type] != 0) held[name] = last.held[type];
    n_held += last.held[type];
  }
  return {{"version", last.version},
          {"affected", std::move(affected)},
          {"flows", last.flows_changed},
          {"held", std::move(held)},
          {"n_held", n_held},
          {"hold_us", last.hold_us},
          {"total_us", last.total_us}};
}

json changes_json(const Platform& p) {
  json held = json::object();
  for (std::uint32_t type = 0; type < p.types.size(); ++type) {
    std::uint64_t n = 0;
    for (const auto& rx : p.rx_threads) n += rx->held(type);
    if (n != 0) held[p.types.name(static_cast<std::uint8_t>(type))] = n;
  }
  return {{"n", p.last_switch.number},
          {"holding", p.flow.holding()},
          {"held", std::move(held)},
          {"longest_hold_us", p.longest_hold_us},
          {"last", p.last_switch.number != 0 ? switch_report(p) : json(nullptr)}};
}

json statistics(Platform& platform, const AuditReport* audit) {
  platform.totals->sample();
  json out = {{"ports", ports_json(platform)}, {"nfs", nfs_json(platform)}};
  add_platform_drops(platform, out);
  std::uint64_t originated = 0;
  for (const auto& nf : out["nfs"]) originated += nf["originated"].get<std::uint64_t>();
  out["changes"] = changes_json(platform);
  out["pool"] = {{"size", platform.pool->layout().size}, {"free", platform.pool->n_free()}};
  // What NFs originated and what has come back of it; the rest is on its way.
  const std::uint64_t filled_back = platform.flow.filled_back();
  out["in_flight"] =
      platform.flow.in_flight() + (originated > filled_back ? originated - filled_back : 0);
  out["in_flight_counted"] = audit != nullptr && audit->quiesced;
  if (audit != nullptr && audit->quiesced) out["in_flight"] = audit->in_flight();
  const auto returned = [&](auto member) {
    return platform.flow.returned([=](const ReturnWords& words) -> const auto& {
      return words.*member;
    });
  };
  out["refused"] = {{"double_returns", returned(&ReturnWords::double_returns)},
                    {"bad_pointers", returned(&ReturnWords::bad_pointers)}};
  out["gpu"] = {{"state", gpu_state_name(platform.gpu.state)},
                {"backend", platform.gpu.backend},
                {"device", platform.gpu.device},
                {"memory_mode", platform.gpu.memory_mode},
                {"workgroups", platform.view.region.layout().n_work_groups},
                {"why", platform.gpu.why},
                {"slices", json::array()}};
  for (const auto& instance : platform.instances)
    if (instance->slice != kMaxSlices)
      out["gpu"]["slices"].push_back(slice_json(platform, *instance));
  out["audit"] = audit != nullptr ? to_json(*audit) : json(nullptr);
  return out;
}

}  // namespace hb
