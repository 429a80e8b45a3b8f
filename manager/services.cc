// Controller: services, and which of a service's places a process gets.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "manager/controller.h"

namespace hb {
namespace {

using nlohmann::json;

void copy_name(char (&to)[kNameBytes], const std::string& from) {
  std::memset(to, 0, sizeof(to));
  from.copy(to, sizeof(to) - 1);
}

Compute compute_of(const json& message) {
  return message.value("compute", "") == "gpu" ? Compute::kGpu : Compute::kCpu;
}
const char* to_string(Compute compute) { return compute == Compute::kGpu ? "GPU" : "CPU"; }

}  // namespace

Service* Controller::find_service(const std::string& name) {
  const auto at =
      std::ranges::find_if(p_.services, [&](const auto& service) { return service->name == name; });
  return at == p_.services.end() ? nullptr : at->get();
}

Service& Controller::service_record(const std::string& name) {
  if (Service* const known = find_service(name)) return *known;
  auto service = std::make_unique<Service>();
  service->name = name;
  service->id = static_cast<std::uint32_t>(p_.services.size());
  copy_name(p_.control->registry().services[service->id].name, name);
  p_.services.push_back(std::move(service));
  return *p_.services.back();
}

std::vector<Instance*> Controller::find_instances(const std::string& name) {
  std::vector<Instance*> found;
  for (const auto& instance : p_.instances)
    if ((instance->alive() || instance->state == InstanceState::kRestarting) &&
        (instance->service->name == name || instance->name() == name))
      found.push_back(instance.get());
  return found;
}

Result<void> Controller::check_may_join(const Service& service, const json& message) const {
  const auto other = std::ranges::find_if(service.instances, &Instance::in_use);
  const std::string who = fmt::format("service '{}' is already running ({}, pid {})", service.name,
                                      (*other)->name(), (*other)->pid);
  const std::string fix = "stop it with ./hbctl stop, or give this one another name with --service";
  const std::string program = message.value("program", "");
  if (program != service.program)
    return Error{fmt::format("{}: it is offered by {}, not by {}", who, service.program, program),
                 fix};
  if (compute_of(message) != service.compute)
    return Error{fmt::format("{}: it runs on the {}, this one would on the {}", who,
                             to_string(service.compute), to_string(compute_of(message))),
                 fix};
  // One that is dead, and whose rings are still being emptied, is in nobody's way.
  if (service.choice == InstanceChoice::kSingle &&
      std::ranges::any_of(service.instances, &Instance::alive))
    return Error{fmt::format("{}: there can be only one of it", who), fix};
  if (static_cast<InstanceChoice>(message.value("choice", 0)) != service.choice ||
      message.value("key_offset", std::uint16_t{0}) != service.key_offset ||
      message.value("key_bytes", std::uint8_t{0}) != service.key_bytes ||
      message.value("reasons", std::vector<std::string>{}) != service.reasons)
    return Error{
        fmt::format("{}: this one spreads packets otherwise, or has other drop reasons", who),
        "stop the service before you start another version of it"};
  std::size_t n_endpoints = service.compute == Compute::kGpu ? p_.options.n_syncers : 1;
  for (const Instance* const instance : service.instances)
    n_endpoints += instance->endpoints.size();
  if (n_endpoints > kMaxTargets)
    return Error{fmt::format("service '{}' has as many instances as there can be", service.name),
                 fmt::format("its instances have at most {} endpoints in all", kMaxTargets)};
  return {};
}

/// A dead instance whose packets wait for a process like this one; its supervisor's own comes
/// first.
Instance* Controller::dead_one_for(const Service& service, const json& message) const {
  if (message.value("program", "") != service.program || compute_of(message) != service.compute ||
      message.value("replaces", 0) != 0)
    return nullptr;
  Instance* found = nullptr;
  for (Instance* const instance : service.instances) {
    if (instance->state != InstanceState::kRestarting) continue;
    if (instance->supervisor == message.value("supervisor", 0)) return instance;
    if (found == nullptr) found = instance;
  }
  return found;
}

Result<Instance*> Controller::place_in_service(const json& message) {
  const std::string name = message.value("service", "");
  Service* const known = find_service(name);
  if (known != nullptr && known->in_use()) {
    if (Instance* const successor = dead_one_for(*known, message); successor != nullptr)
      return successor;
    if (const Result<void> joins = check_may_join(*known, message); !joins) return joins.error();
  } else if (known == nullptr && p_.services.size() == kMaxServices) {
    return Error{fmt::format("{} services are all there can be", kMaxServices), ""};
  }
  Service& service = service_record(name);
  for (Instance* const instance : service.instances)
    if (!instance->alive() && !instance->in_use()) return instance;
  if (p_.instances.size() == kMaxInstances)
    return Error{fmt::format("{} instances are all there can be", kMaxInstances),
                 "restart the manager: instances that have ended count as well"};
  auto made = std::make_unique<Instance>();
  made->id = static_cast<std::uint32_t>(p_.instances.size());
  made->number = static_cast<std::uint32_t>(service.instances.size());
  made->service = &service;
  InstanceEntry& entry = p_.control->registry().instances[made->id];
  entry.service = service.id;
  entry.number = made->number;
  service.instances.push_back(made.get());
  p_.instances.push_back(std::move(made));
  // Release: pairs with the reclaimer's acquire load; before the instance can drop anything.
  p_.flow.n_instances.store(static_cast<std::uint32_t>(p_.instances.size()),
                            std::memory_order_release);
  return p_.instances.back().get();
}

void Controller::declare(Service& service, const json& message) {
  service.program = message.value("program", "");
  service.compute = compute_of(message);
  service.choice = static_cast<InstanceChoice>(message.value("choice", 0));
  service.key_offset = message.value("key_offset", std::uint16_t{0});
  service.key_bytes = message.value("key_bytes", std::uint8_t{0});
  service.reasons = message.value("reasons", std::vector<std::string>{});
  service.start_order = 0;
  ServiceEntry& entry = p_.control->registry().services[service.id];
  entry.n_reasons = static_cast<std::uint32_t>(service.reasons.size());
  for (std::size_t i = 0; i < service.reasons.size(); ++i)
    copy_name(entry.reasons[i], service.reasons[i]);
}

}  // namespace hb
