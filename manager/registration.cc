// Controller: how an NF joins.
#include <fmt/format.h>
#include <rte_version.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "manager/controller.h"
#include "nf_lib/copy_queue.h"

namespace hb {
namespace {

using nlohmann::json;

void copy_name(char (&to)[kNameBytes], const std::string& from) {
  std::memset(to, 0, sizeof(to));
  from.copy(to, sizeof(to) - 1);
}

/// Refuses programs that were built with other layouts or another DPDK.
Result<void> check_build(const json& message) {
  if (message.value("layout_hash", 0u) != layout_hash() ||
      message.value("dpdk", "") != rte_version())
    return Error{fmt::format("the program was built with other layouts or another DPDK ({})",
                             message.value("dpdk", "none")),
                 fmt::format("build it from the manager's tree, with {}", rte_version())};
  return {};
}

Result<void> check_description(const json& message) {
  const std::string service = message.value("service", "");
  if (!is_valid_name(service) || is_reserved_name(service))
    return Error{fmt::format("'{}' can't be a service's name", service),
                 "use up to 31 letters, digits, '_', '.' and '-', and not rx, tx or drop"};
  if (message.value("reasons", json::array()).size() > kMaxNfReasons)
    return Error{fmt::format("an NF can have {} drop reasons", kMaxNfReasons), "declare fewer"};
  if (message.value("choice", 0) < 0 || message.value("choice", 0) > 3 ||
      message.value("key_bytes", 0) > 16)
    return Error{"the instance choice is out of range",
                 "see InstanceChoice in nf_lib/control_layout.h"};
  return {};
}

}  // namespace

Instance* Controller::find_service(const std::string& name) {
  const auto at =
      std::ranges::find_if(p_.instances, [&](const auto& i) { return i->service == name; });
  return at == p_.instances.end() ? nullptr : at->get();
}

Instance& Controller::service_record(const std::string& name) {
  if (Instance* const known = find_service(name)) return *known;
  auto instance = std::make_unique<Instance>();
  instance->service = name;
  instance->id = static_cast<std::uint32_t>(p_.instances.size());
  copy_name(p_.control->registry().services[instance->id].name, name);
  p_.instances.push_back(std::move(instance));
  return *p_.instances.back();
}

void Controller::on_register(int connection, const json& message, std::vector<int>& fds) {
  if (const Result<void> build = check_build(message); !build) {
    server_.send(connection, refusal(build.error()));
    return;
  }
  if (message.value("role", "") == "gpu_host") {
    if (message.value("pid", 0) == gpu_.pid() && gpu_.connection() < 0)
      server_.send(connection, gpu_.on_register(connection));
    else
      server_.send(connection, refusal(Error{"only the manager starts gpu_host", "use --gpu"}));
    return;
  }
  if (fds.empty()) {
    server_.send(connection, refusal(Error{"the registration has no pidfd", ""}));
    return;
  }
  const int pidfd = fds.front();
  fds.erase(fds.begin());
  if (message.value("compute", "") == "gpu" && p_.gpu.state == GpuStatus::State::kStarting) {
    waiting_.push_back({connection, message.dump(), pidfd});
    return;
  }
  const json reply = register_nf(connection, message, pidfd);
  if (!reply.value("ok", false)) close(pidfd);
  server_.send(connection, reply);
}

void Controller::retry_waiting_registrations() {
  std::vector<Waiting> waiting;
  waiting.swap(waiting_);
  for (const Waiting& w : waiting) {
    const json reply = register_nf(w.connection, json::parse(w.message), w.pidfd);
    if (!reply.value("ok", false)) close(w.pidfd);
    server_.send(w.connection, reply);
  }
}

json Controller::register_nf(int connection, const json& message, int pidfd) {
  if (ending_) return refusal(Error{"the manager is ending", ""});
  if (const Result<void> good = check_description(message); !good) return refusal(good.error());
  const std::string name = message.value("service", "");
  const Instance* const known = find_service(name);
  if (known != nullptr && (known->alive() || known->in_use()))
    return refusal(
        Error{fmt::format("service '{}' is already running (pid {})", name, known->pid),
              "stop it with ./hbctl stop, or give this one another name with --service"});
  if (known == nullptr && p_.instances.size() == kMaxServices)
    return refusal(Error{fmt::format("{} services are all there can be", kMaxServices), ""});

  Instance& instance = service_record(name);
  const std::uint64_t restarts = instance.start_order != 0 ? instance.restarts + 1 : 0;
  instance.compute = message.value("compute", "") == "gpu" ? Compute::kGpu : Compute::kCpu;
  instance.isolation =
      message.value("isolation", "") == "secondary" ? Isolation::kSecondary : Isolation::kPrivate;
  instance.choice = static_cast<InstanceChoice>(message.value("choice", 0));
  instance.key_offset = message.value("key_offset", std::uint16_t{0});
  instance.key_bytes = message.value("key_bytes", std::uint8_t{0});
  instance.originates = message.value("originates", false);
  instance.reasons = message.value("reasons", std::vector<std::string>{});
  instance.pid = message.value("pid", 0);
  const std::uint32_t work_groups = message.value("work_groups", 0u);
  const Result<void> placed = instance.compute == Compute::kGpu
                                  ? give_gpu_place(instance, work_groups)
                                  : give_cpu_place(instance);
  if (!placed) {
    release(instance);
    return refusal(placed.error());
  }
  instance.pidfd = pidfd;
  instance.connection = connection;
  instance.start_order = next_start_order_++;
  instance.restarts = restarts;
  instance.leaving = instance.stop_sent = instance.said_bye = instance.orphaned = false;
  instance.routed = false;
  instance.failure.clear();
  ServiceEntry& service = p_.control->registry().services[instance.id];
  service.n_reasons = static_cast<std::uint32_t>(instance.reasons.size());
  for (std::size_t i = 0; i < instance.reasons.size(); ++i)
    copy_name(service.reasons[i], instance.reasons[i]);
  InstanceEntry& entry = p_.control->registry().instances[instance.id];
  entry.service = instance.id;
  entry.compute = instance.compute;
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
                {"service_id", instance.id},
                {"instance", instance.id},
                {"page", instance.page->name()}};
  if (instance.compute == Compute::kGpu) {
    json queues = json::array();
    for (std::uint32_t s = 0; s < p_.options.n_syncers; ++s)
      queues.push_back(instance.slice * p_.options.n_syncers + s);
    reply["copy_queues"] = std::move(queues);
  }
  return reply;
}

Result<void> Controller::give_cpu_place(Instance& instance) {
  const auto context = resources_.take_context(ContextRole::kNf, instance.pid, instance.id);
  if (!context) return Error{"no context is free for another NF", "raise --max-contexts"};
  instance.context = *context;
  auto page = p_.control->make_page(*context);
  if (!page) {
    resources_.free_context(*context);
    return page.error();
  }
  instance.page = std::move(*page);
  const std::uint32_t n = instance.compute == Compute::kGpu ? p_.options.n_syncers : 1;
  for (std::uint32_t i = 0; i < n; ++i) {
    const auto endpoint = resources_.take_endpoint();
    if (!endpoint) return Error{"no endpoint is free for another NF", "raise --max-contexts"};
    p_.endpoint_service[endpoint->value] = static_cast<std::uint8_t>(instance.id);
    instance.endpoints.push_back(*endpoint);
  }
  p_.totals->sample();
  instance.rx_base = 0;
  for (const EndpointId endpoint : instance.endpoints)
    instance.rx_base += p_.totals->consumed_by(endpoint);
  instance.left_base = p_.totals->produced_by(*context);
  instance.originated_base = p_.totals->originated_by(*context);
  if (instance.originates) {
    auto& word = p_.tx_thread->fill_contexts[context->value / 64];
    word.fetch_or(std::uint64_t{1} << (context->value % 64), std::memory_order_release);
  }
  return {};
}

Result<void> Controller::give_gpu_place(Instance& instance, std::uint32_t work_groups) {
  if (p_.gpu.state != GpuStatus::State::kReady)
    return Error{p_.gpu.why.empty() ? "the manager runs without a GPU (--gpu none)"
                                    : fmt::format("there is no GPU: {}", p_.gpu.why),
                 "start the NF without --gpu, or the manager with --gpu auto"};
  const std::uint32_t total = p_.view.region.layout().n_work_groups;
  const std::uint32_t share = std::max(p_.options.n_syncers, total / 4);
  const std::uint32_t wanted = work_groups != 0 ? work_groups : share;
  if (wanted < p_.options.n_syncers)
    return Error{fmt::format("--workgroups {} is less than one for each CPUSyncer", wanted),
                 fmt::format("give it at least {}", p_.options.n_syncers)};
  const auto slice = resources_.take_slice();
  if (!slice)
    return Error{fmt::format("{} GPU NFs are all there can be", kMaxSlices), "stop another one"};
  auto groups = resources_.take_work_groups(wanted, p_.options.n_syncers);
  if (!groups) {
    resources_.free_slice(*slice);
    return Error{
        fmt::format("{} of the GPU's {} work-groups are free, {} are wanted",
                    resources_.n_free_work_groups(), total, wanted),
        "give it fewer with --workgroups, stop or resize another GPU NF, or raise the manager's"};
  }
  instance.slice = *slice;
  instance.slice_base = read_slice(p_, *slice);
  instance.work_groups = std::move(*groups);
  instance.slice_removed = true;
  instance.removal_sent = false;
  for (std::uint32_t s = 0; s < p_.options.n_syncers; ++s)
    CopyQueue(p_.view.region, *slice * p_.options.n_syncers + s).reset();
  return give_cpu_place(instance);
}

void Controller::on_nf_ready(Instance& instance, const json& message) {
  if (instance.state != InstanceState::kStarting) {
    server_.send(instance.connection,
                 refusal(Error{"the NF is not one that is starting", "start it again"}));
    return;
  }
  if (instance.compute == Compute::kCpu) {
    set_state(instance, InstanceState::kRunning);
    routes_dirty_ = true;
    server_.send(instance.connection, {{"ok", true}});
    return;
  }
  std::vector<std::uint32_t> endpoints;
  std::vector<std::uint32_t> queues;
  for (std::uint32_t s = 0; s < p_.options.n_syncers; ++s) {
    endpoints.push_back(instance.endpoints[s].value);
    queues.push_back(instance.slice * p_.options.n_syncers + s);
  }
  instance.slice_removed = false;
  json order = {{"op", "add_slice"},
                {"slice", instance.slice},
                {"service", instance.id},
                {"instance", instance.id},
                {"kernel", message.value("kernel", "")},
                {"table", message.value("table", "")},
                {"endpoints", endpoints},
                {"copy_queues", queues},
                {"work_groups", instance.work_groups}};
  if (message.contains("source")) {
    order["source"] = message.value("source", "");
    order["source_name"] = message.value("source_name", "");
  }
  server_.send(gpu_.connection(), order);
}

void Controller::on_slice_added(const json& message) {
  const std::uint32_t slice = message.value("slice", kMaxSlices);
  for (const auto& instance : p_.instances) {
    if (instance->slice != slice || instance->slice == kMaxSlices ||
        instance->state != InstanceState::kStarting)
      continue;
    if (message.value("ok", false)) {
      instance->table_version = message.value("version", 1u);
      set_state(*instance, InstanceState::kRunning);
      routes_dirty_ = true;
      server_.send(instance->connection, {{"ok", true}});
    } else {
      instance->slice_removed = true;
      server_.send(instance->connection, refusal(Error{message.value("what", "gpu_host refused"),
                                                       message.value("fix", "")}));
    }
  }
}

}  // namespace hb
