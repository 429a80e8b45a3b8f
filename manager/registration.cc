// Controller: how an NF joins.
#include <fcntl.h>
#include <fmt/format.h>
#include <rte_version.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "manager/controller.h"
#include "manager/gpu_slices.h"
#include "nf_lib/service_name.h"
#include "nf_lib/surviving.h"

namespace hb {
namespace {

using nlohmann::json;

/// OpenNetVM's service ids are 1 to this.
constexpr std::uint32_t kMaxServiceNumber = 31;

/// Refuses programs that were built with other layouts or another DPDK.
Result<void> check_build(const json& message) {
  if (message.value("layout_hash", 0u) != layout_hash() ||
      message.value("dpdk", "") != rte_version())
    return Error{fmt::format("the program was built with other layouts or another DPDK ({})",
                             message.value("dpdk", "none")),
                 fmt::format("build it from the manager's tree, with {}", rte_version())};
  return {};
}

/// @return the process that a pidfd names, 0 if it is none
int pid_of(int pidfd) {
  std::ifstream info(fmt::format("/proc/self/fdinfo/{}", pidfd));
  for (std::string line; std::getline(info, line);)
    if (line.rfind("Pid:", 0) == 0) return std::atoi(line.c_str() + 4);
  return 0;
}

/// What an NF says that it may do; nothing said means anything.
std::optional<std::vector<std::string>> declared(const json& message, const char* key) {
  const auto at = message.find(key);
  if (at == message.end() || at->is_null()) return std::nullopt;
  return at->get<std::vector<std::string>>();
}

/// Looks at every field that register_nf() reads, so that one of a wrong type is found (and thrown
/// for) before anything has been changed.
Result<void> check_description(const json& message) {
  (void)declared(message, "sets_types");
  (void)declared(message, "names_services");
  for (const char* const text : {"program", "compute", "isolation"}) (void)message.value(text, "");
  for (const char* const flag : {"originates", "idempotent"}) (void)message.value(flag, false);
  for (const char* const number : {"supervisor", "replaces", "work_groups", "key_offset"})
    (void)message.value(number, 0);
  const std::string service = message.value("service", "");
  if (!is_valid_name(service) || is_reserved_name(service))
    return Error{fmt::format("'{}' can't be a service's name", service),
                 "use up to 31 letters, digits, '_', '.' and '-', and not rx, tx or drop"};
  (void)message.value("counters", std::vector<std::string>{});
  if (message.value("reasons", std::vector<std::string>{}).size() > kMaxNfReasons)
    return Error{fmt::format("an NF can have {} drop reasons", kMaxNfReasons), "declare fewer"};
  if (message.value("surviving_bytes", std::uint64_t{0}) > kMaxSurvivingBytes)
    return Error{
        fmt::format("no service can have more than {} bytes that survive", kMaxSurvivingBytes),
        "declare fewer"};
  if (message.value("choice", 0) < 0 || message.value("choice", 0) > 3 ||
      message.value("key_bytes", 0) < 0 || message.value("key_bytes", 0) > 16 ||
      message.value("key_offset", 0) < 0 || message.value("key_offset", 0) > 0xffff)
    return Error{"the instance choice is out of range",
                 "see InstanceChoice in nf_lib/control_layout.h"};
  if (message.value("number", 0u) > kMaxServiceNumber)
    return Error{fmt::format("a service's number can be 1 to {}", kMaxServiceNumber),
                 "give it another one, or none"};
  return {};
}

/// What names itself by a tag and a number gets the name that is right for them now.
void name_by_tag(const Registry& registry, json& message) {
  if (!message.contains("tag")) return;
  const std::uint32_t number = message.value("number", 0u);
  if (number > kMaxServiceNumber) return;  // refused soon
  message["service"] = service_name(registry, static_cast<std::uint16_t>(number),
                                    message.value("tag", ""), message.value("service", ""));
}

}  // namespace

void Controller::on_register(int connection, json message, std::vector<int>& fds) {
  if (const Result<void> build = check_build(message); !build) {
    server_.send(connection, refusal(build.error()));
    return;
  }
  if (message.value("role", "") == "gpu_host") {
    if (gpu_.alive() && server_.peer_pid(connection) == gpu_.pid() && gpu_.connection() < 0)
      server_.send(connection, gpu_.on_register(connection));
    else
      server_.send(connection, refusal(Error{"only the manager starts gpu_host", "use --gpu"}));
    return;
  }
  if (message.value("role", "") == "supervisor") {
    on_supervise(connection, message);
    return;
  }
  if (fds.empty()) {
    server_.send(connection, refusal(Error{"the registration has no pidfd", ""}));
    return;
  }
  const int pidfd = fds.front();  // the caller closes what is still in there
  // Who dies must be who sent this: its end is what recovery waits for.
  if (const int peer = server_.peer_pid(connection);
      message.value("pid", 0) != peer || pid_of(pidfd) != peer) {
    server_.send(connection, refusal(Error{"a process can only register itself", ""}));
    return;
  }
  name_by_tag(p_.control->registry(), message);
  if (const Result<void> good = check_description(message); !good) {
    server_.send(connection, refusal(good.error()));
    return;
  }
  // A successor may be here before the word of the one before it has been read.
  if (const SupervisorLink* const supervisor = supervisor_by_pid(message.value("supervisor", 0));
      supervisor != nullptr)
    server_.drain(supervisor->connection);
  if (waits_for_room(message)) {
    if (std::ranges::count(waiting_, connection, &Waiting::connection) != 0) {
      server_.send(connection, refusal(Error{"a registration waits already", ""}));
      return;
    }
    waiting_.push_back({connection, message.dump(), pidfd});
    fds.erase(fds.begin());
    return;
  }
  const json reply = register_nf(connection, message, pidfd);
  if (reply.value("ok", false)) fds.erase(fds.begin());
  server_.send(connection, reply);
}

/// @param message  one that check_description() has found good
json Controller::register_nf(int connection, const json& message, int pidfd) {
  if (ending_) return refusal(Error{"the manager is ending", ""});
  const Result<Instance*> place = place_in_service(message);
  if (!place) return refusal(place.error());
  Instance& instance = **place;
  Service& service = *instance.service;
  const std::uint64_t restarts = instance.start_order != 0 ? instance.restarts + 1 : 0;
  const bool succeeds = instance.state == InstanceState::kRestarting;
  if (!service.in_use()) declare(service, message);
  instance.isolation =
      message.value("isolation", "") == "secondary" ? Isolation::kSecondary : Isolation::kPrivate;
  instance.originates = message.value("originates", false);
  instance.counters.declare(message.value("counters", std::vector<std::string>{}));
  instance.idempotent = message.value("idempotent", false);
  instance.supervisor = message.value("supervisor", 0);
  instance.sets_types = declared(message, "sets_types");
  instance.names_services = declared(message, "names_services");
  instance.pid = message.value("pid", 0);
  const std::uint32_t work_groups = message.value("work_groups", 0u);
  const Result<void> placed = service.compute == Compute::kGpu
                                  ? give_gpu_place(instance, work_groups)
                                  : give_cpu_place(instance);
  if (!placed) {
    if (!succeeds) release(instance);
    return refusal(placed.error());
  }
  std::string surviving;
  if (const auto bytes = message.value("surviving_bytes", std::uint64_t{0}); bytes != 0) {
    // One block has one owner: instances that run side by side have one each.
    const std::string owner = service.choice == InstanceChoice::kSingle
                                  ? service.name
                                  : fmt::format("{}.{}", service.name, instance.number);
    const Result<std::string> kept = p_.control->keep_surviving(owner, bytes);
    if (!kept) {
      if (!succeeds) release(instance);
      return refusal(kept.error());
    }
    surviving = *kept;
  }
  instance.surviving = surviving;
  instance.surviving_bytes = message.value("surviving_bytes", std::uint64_t{0});
  instance.pidfd = pidfd;
  instance.connection = connection;
  instance.start_order = next_start_order_++;
  if (service.start_order == 0) service.start_order = instance.start_order;
  instance.restarts = restarts;
  instance.leaving = instance.stop_sent = instance.said_bye = instance.orphaned = false;
  instance.said_ready = instance.handing_over = instance.hung = instance.said_stopped =
      instance.slice_failed = instance.sets_up = false;
  instance.stall.reset();
  if (!succeeds) instance.routed = instance.offers = false;
  instance.failure.clear();
  const int replaced = message.value("replaces", 0);
  instance.replaces = nullptr;
  for (Instance* const other : service.instances)
    if (replaced != 0 && other->pid == replaced && other->alive()) instance.replaces = other;
  if (SupervisorLink* const supervisor = supervisor_by_pid(instance.supervisor);
      supervisor != nullptr) {
    if (!succeeds && replaced == 0 && supervisor->n_asked != 0) --supervisor->n_asked;
    // What a process registers as is its own to say: an OpenNetVM NF's name is in its code.
    if (std::ranges::none_of(p_.instances, [&](const auto& other) {
          return other.get() != &instance && other->alive() && other->supervisor == supervisor->pid;
        }))
      supervisor->service = service.name;
  }
  if (message.contains("number")) claim_number(service.id, message.value("number", 0u));
  InstanceEntry& entry = p_.control->registry().instances[instance.id];
  entry.compute = service.compute;
  entry.isolation = instance.isolation;
  entry.context = instance.context.value;
  entry.endpoint = instance.endpoints.front().value;
  entry.slice = instance.slice;
  entry.pid = instance.pid;
  entry.flush.store(0, std::memory_order_relaxed);
  entry.stop.store(0, std::memory_order_release);  // pairs with NfSession::should_stop
  set_state(instance, InstanceState::kStarting);
  instance.flush_request = 0;

  json reply = {{"ok", true},
                {"context", instance.context.value},
                {"endpoint", instance.endpoints.front().value},
                {"service_id", service.id},
                {"number", p_.control->registry().services[service.id].number.load(
                               std::memory_order_relaxed)},
                {"instance", instance.id},
                {"name", instance.name()},
                {"page", instance.page->name()},
                {"surviving", surviving}};
  if (service.compute == Compute::kGpu) {
    json queues = json::array();
    for (std::uint32_t s = 0; s < p_.options.n_syncers; ++s)
      queues.push_back(instance.slice * p_.options.n_syncers + s);
    reply["copy_queues"] = std::move(queues);
  }
  return reply;
}

/// @return the lowest number that no service has had; else one whose service has ended; else 0
std::uint32_t Controller::free_number() const {
  const auto& services = p_.control->registry().services;
  std::array<bool, kMaxServiceNumber + 1> had{}, in_use{};
  for (const auto& service : p_.services) {
    const std::uint32_t number = services[service->id].number.load(std::memory_order_relaxed);
    if (number > kMaxServiceNumber) continue;
    had[number] = true;
    in_use[number] = in_use[number] || service->in_use();
  }
  for (const auto& taken : {had, in_use})
    for (std::uint32_t number = 1; number <= kMaxServiceNumber; ++number)
      if (!taken[number]) return number;
  return 0;
}

/// @param number  0: keep the service's, or take a free one
void Controller::claim_number(std::uint32_t service, std::uint32_t number) {
  auto& services = p_.control->registry().services;
  if (number == 0) {
    if (services[service].number.load(std::memory_order_relaxed) != 0) return;
    number = free_number();
    if (number == 0) return;
  }
  for (ServiceEntry& other : services)
    if (other.number.load(std::memory_order_relaxed) == number)
      other.number.store(0, std::memory_order_relaxed);
  services[service].number.store(number, std::memory_order_relaxed);  // names nothing but itself
}

Result<void> Controller::give_cpu_place(Instance& instance) {
  if (instance.in_use()) {  // a dead one's place: only the page is its own
    auto page = p_.control->make_page(instance.context);
    if (!page) return page.error();
    instance.page = std::move(*page);
    return {};
  }
  const auto context = resources_.take_context(ContextRole::kNf, instance.pid, instance.id);
  if (!context) return Error{"no context is free for another NF", "raise --max-contexts"};
  instance.context = *context;
  instance.has_context = true;
  auto page = p_.control->make_page(*context);
  if (!page) return page.error();
  instance.page = std::move(*page);
  const bool gpu = instance.service->compute == Compute::kGpu;
  const std::uint32_t n = gpu ? p_.options.n_syncers : 1;
  for (std::uint32_t i = 0; i < (gpu ? n + 1 : n); ++i) {
    const auto endpoint = resources_.take_endpoint();
    if (!endpoint) return Error{"no endpoint is free for another NF", "raise --max-contexts"};
    p_.endpoint_service[endpoint->value].store(static_cast<std::uint8_t>(instance.service->id),
                                               std::memory_order_relaxed);
    if (i < n)
      instance.endpoints.push_back(*endpoint);
    else
      instance.waiting_room = *endpoint;
  }
  p_.totals->sample();
  instance.rx_base = 0;
  for (const EndpointId endpoint : instance.endpoints)
    instance.rx_base += p_.totals->consumed_by(endpoint);
  instance.left_base = p_.totals->produced_by(*context);
  instance.originated_base = p_.totals->originated_by(*context);
  if (instance.originates) {
    auto& word = p_.flow.fill_contexts[context->value / 64];
    word.fetch_or(std::uint64_t{1} << (context->value % 64), std::memory_order_release);
  }
  return {};
}

void Controller::on_nf_ready(Instance& instance, const json& message) {
  if (instance.state != InstanceState::kStarting) {
    server_.send(instance.connection,
                 refusal(Error{"the NF is not one that is starting", "start it again"}));
    return;
  }
  if (instance.service->compute == Compute::kCpu) {
    instance.sets_up = message.value("sets_up", false);
    offer(instance);
    instance.said_ready = true;
    server_.send(instance.connection, {{"ok", true}});
    return;
  }
  if (!instance.table.kernel.empty()) {
    server_.send(instance.connection, refusal(Error{"the NF has said so already", ""}));
    return;
  }
  keep_table(message, instance.table);
  instance.table_version = 1;
  if (p_.gpu.state == GpuStatus::State::kReady)
    add_slice(instance);
  else
    instance.slice_failed = true;  // gpu_host has died meanwhile; the next one gets it
}

void Controller::offer(Instance& instance) {
  set_state(instance, InstanceState::kRunning);
  tell_supervisor(instance, "running");
  // A successor that is still routed to only goes on where the dead one was.
  if (!std::exchange(instance.offers, true)) routes_dirty_ = true;
  if (Instance* const old = std::exchange(instance.replaces, nullptr); old != nullptr) leave(*old);
}

}  // namespace hb
