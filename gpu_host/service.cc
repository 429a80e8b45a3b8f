#include "gpu_host/service.h"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "gpu_host/self_test.h"
#include "gpu_host/table_file.h"
#include "nf_lib/cpu_list.h"
#include "nf_lib/idle.h"

namespace hb {
namespace {

using nlohmann::json;

/// Nothing here allocates from EAL; it only has to start.
constexpr std::uint32_t kEalMemoryMb = 64;
/// How often a slice that is to go is looked at.
constexpr std::chrono::milliseconds kRemovalPoll{2};

void run_syncer(const std::stop_token& stop, Syncer& syncer, bool busy) {
  pthread_setname_np(pthread_self(), "hb-syncer");
  Idle idle(busy);
  while (!stop.stop_requested()) {
    if (syncer.poll())
      idle.reset();
    else
      idle.wait();
  }
}

/// On cores of its own only where it never lets go of them.
void pin(std::jthread& thread, const std::vector<int>& cpus, std::size_t idx) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpus[idx % cpus.size()], &set);
  pthread_setaffinity_np(thread.native_handle(), sizeof(set), &set);
}

}  // namespace

struct Service::Slice {
  SliceSpec spec;
  std::unique_ptr<SliceRunner> runner;
  bool leaving = false;
};

Service::Service(ServiceOptions options, std::span<const BackendEntry> backends)
    : options_(std::move(options)), backends_(backends) {}

Service::~Service() {
  threads_.clear();  // the CPUSyncers first: they ring the slices' doorbells
  slices_.clear();
}

Result<void> Service::start() {
  if (const Result<void> done = attach(); !done) return done;
  if (const Result<void> done = open_device(); !done) {
    manager_knows_ =
        attachment_->socket()
            .send({{"op", "failed"}, {"what", done.error().what}, {"fix", done.error().fix}})
            .ok();
    return done;
  }
  std::vector<int> cpus;
  if (options_.busy && !options_.cores.empty()) {
    const Result<std::vector<int>> parsed = parse_cpu_list(options_.cores);
    if (!parsed) return parsed.error();
    cpus = *parsed;
  }
  for (const auto& syncer : syncers_) {
    threads_.emplace_back([this, raw = syncer.get()](const std::stop_token& stop) {
      run_syncer(stop, *raw, options_.busy);
    });
    pin(threads_.back(), cpus, threads_.size() - 1);
  }
  return attachment_->socket().send({{"op", "ready"},
                                     {"backend", backend_name_},
                                     {"device", device_.name},
                                     {"memory_mode", to_string(memory_.mode)},
                                     {"workgroups", attachment_->registry().region.n_work_groups},
                                     {"why", memory_.why}});
}

Result<void> Service::attach() {
  Result<Attachment> attachment = Attachment::open(options_.prefix);
  if (!attachment) return attachment.error();
  attachment_.emplace(std::move(*attachment));
  EalOptions eal;
  eal.memory_mb = kEalMemoryMb;
  eal.cores = options_.cores;
  if (const Result<void> done = attachment_->start_eal("gpu_host", eal); !done) return done;
  if (const Result<void> done = attachment_->map_packets(); !done) return done;

  json message = register_message("gpu_host");
  message["n_syncers"] = options_.n_syncers;
  const int pidfd = open_own_pidfd();
  if (pidfd < 0) return Error{"this kernel has no pidfd_open", "Linux 5.3 or later is needed"};
  const Result<void> sent = attachment_->socket().send(message, std::array{pidfd});
  close(pidfd);
  if (!sent) return sent;
  auto received = attachment_->socket().receive(std::nullopt);
  if (!received) return received.error();
  if (!*received) return Error{"interrupted while registering", ""};
  const json& reply = **received;
  if (!reply.value("ok", false))
    return Error{reply.value("what", "the manager refused"), reply.value("fix", "")};
  for (const json& context : reply.value("contexts", json::array())) {
    Result<ContextPage*> page = attachment_->map_context(context.value("page", ""));
    if (!page) return page.error();
    syncers_.push_back(std::make_unique<Syncer>(
        attachment_->view(), ContextId(context.value("context", 0u) % kMaxContexts), *page));
  }
  if (syncers_.size() != options_.n_syncers)
    return Error{fmt::format("the manager gave {} contexts for {} CPUSyncers", syncers_.size(),
                             options_.n_syncers),
                 ""};
  return {};
}

Result<void> Service::open_device() {
  const Registry& registry = attachment_->registry();
  const RegionLayout& layout = registry.region;
  if (layout.n_work_groups == 0)
    return Error{"the manager's region has no work-groups", "start it without --gpu none"};
  BackendOptions options;
  options.work_group_size = layout.work_group_size;
  // Every slice at once, in the old and the new program; litmus and self-test come before them.
  options.max_resident = 2 * layout.n_work_groups + 2;
  options.kernel_dir = options_.kernel_dir;
  options.helper_program = "/proc/self/exe";
  Result<OpenedDevice> opened = hb::open_device(backends_, options, options_.device_idx,
                                                {registry.region_path, attachment_->view().region},
                                                options_.memory ? &*options_.memory : nullptr);
  if (!opened) return opened.error();
  backend_name_ = opened->backend_name;
  backend_ = std::move(opened->backend);
  device_ = std::move(opened->info);
  memory_ = std::move(opened->memory);
  for (const KernelEntry& kernel : kernel_catalog())
    if (const Result<void> ran = run_self_test(*backend_, kernel, layout.work_group_size); !ran)
      return ran;
  spdlog::info("'{}', memory {}{}", device_.name, to_string(memory_.mode),
               memory_.why.empty() ? "" : " (" + memory_.why + ")");
  return {};
}

Result<void> Service::serve() {
  const ControlSocket& socket = attachment_->socket();
  for (bool stop = false; !stop;) {
    const bool waits =
        std::ranges::any_of(slices_, [](const auto& s) { return s.second->leaving; });
    auto received = socket.receive(waits ? std::optional(kRemovalPoll) : std::nullopt);
    if (!received)
      return Error{fmt::format("the manager of prefix '{}' is gone", options_.prefix),
                   "start it again; it starts gpu_host itself"};
    if (*received) {
      if (const Result<void> done = handle(**received, stop); !done) return done;
    }
    if (const Result<void> done = finish_removals(); !done) return done;
  }
  return {};
}

Result<void> Service::handle(const json& message, bool& stop) {
  const std::string op = message.value("op", "");
  const std::uint32_t slice = message.value("slice", kMaxSlices);
  if (op == "stop") {
    stop = true;
  } else if (op == "add_slice") {
    json reply = {{"op", "slice_added"}, {"slice", slice}, {"ok", true}};
    Result<void> added;
    try {
      added = add_slice(message);
    } catch (const json::exception& error) {
      added = Error{fmt::format("add_slice makes no sense: {}", error.what()), ""};
    }
    if (!added)
      reply.update({{"ok", false}, {"what", added.error().what}, {"fix", added.error().fix}});
    return attachment_->socket().send(reply);
  } else if (op == "remove_slice") {
    const auto found = slices_.find(slice);
    if (found == slices_.end())
      return attachment_->socket().send({{"op", "slice_removed"}, {"slice", slice}});
    found->second->leaving = true;
    for (const auto& syncer : syncers_) syncer->begin_remove(slice);
  }
  return {};
}

Result<void> Service::check_spec(const json& message, SliceSpec& spec) const {
  const RegionLayout& layout = attachment_->registry().region;
  spec.slice = message.at("slice").get<std::uint32_t>();
  spec.first_work_group = message.at("first_work_group").get<std::uint32_t>();
  spec.n_work_groups = message.at("n_work_groups").get<std::uint32_t>();
  if (spec.slice >= kMaxSlices || slices_.contains(spec.slice))
    return Error{fmt::format("slice {} is taken or out of range", spec.slice), ""};
  if (spec.n_work_groups < syncers_.size() || spec.first_work_group >= layout.n_work_groups ||
      spec.n_work_groups > layout.n_work_groups - spec.first_work_group)
    return Error{fmt::format("{} work-groups from {} on can't be shared by {} CPUSyncers",
                             spec.n_work_groups, spec.first_work_group, syncers_.size()),
                 "give the NF more --workgroups, or the manager fewer --syncers"};
  for (const auto& [number, other] : slices_) {
    if (spec.first_work_group < other->spec.first_work_group + other->spec.n_work_groups &&
        other->spec.first_work_group < spec.first_work_group + spec.n_work_groups)
      return Error{fmt::format("slice {} has some of these work-groups", number), ""};
  }
  const std::string kernel = message.at("kernel").get<std::string>();
  spec.kernel = find_kernel(kernel);
  if (spec.kernel == nullptr)
    return Error{fmt::format("there is no kernel '{}'", kernel), "see kernels/ for their names"};
  return {};
}

Result<void> Service::add_slice(const json& message) {
  SliceSpec spec;
  if (const Result<void> ok = check_spec(message, spec); !ok) return ok;
  const Result<TableFile> table = TableFile::open(message.value("table", ""));
  if (!table) return table.error();
  if (!spec.kernel->table_valid(table->bytes()))
    return Error{fmt::format("the table for '{}' ({} bytes) is malformed", spec.kernel->name,
                             table->bytes().size()),
                 "build all programs from one tree"};
  auto uploaded = backend_->upload_table(table->bytes());
  if (!uploaded) return uploaded.error();
  spec.table = *uploaded;
  auto device_slice = backend_->make_slice(spec);
  if (!device_slice) return device_slice.error();
  auto slice = std::make_unique<Slice>();
  slice->spec = spec;
  slice->runner = std::make_unique<SliceRunner>(attachment_->view().region, spec,
                                                std::move(*device_slice), [](const Error& error) {
                                                  // Its packets are in slots that nobody will
                                                  // answer: the manager recovers them.
                                                  spdlog::error("{}", error.line());
                                                  _exit(1);
                                                });
  if (const Result<void> added = add_to_syncers(message, spec, slice->runner->doorbell()); !added) {
    remove_from_syncers(spec.slice);
    return added;
  }
  slice->runner->start();
  spdlog::info("slice {}: {} on work-groups {} to {}", spec.slice, spec.kernel->name,
               spec.first_work_group, spec.first_work_group + spec.n_work_groups - 1);
  slices_.emplace(spec.slice, std::move(slice));
  return {};
}

Result<void> Service::add_to_syncers(const json& message, const SliceSpec& spec,
                                     Doorbell& doorbell) {
  const auto endpoints = message.at("endpoints").get<std::vector<std::uint32_t>>();
  const auto queues = message.value("copy_queues", std::vector<std::uint32_t>{});
  if (endpoints.size() != syncers_.size())
    return Error{fmt::format("{} endpoints for {} CPUSyncers", endpoints.size(), syncers_.size()),
                 ""};
  const RegionLayout& layout = attachment_->registry().region;
  for (std::uint32_t i = 0; i < syncers_.size(); ++i) {
    ShareSpec share;
    share.slice = spec.slice;
    share.service = ServiceId(message.at("service").get<std::uint32_t>() % kMaxServices);
    share.instance = InstanceId(message.at("instance").get<std::uint32_t>() % kMaxInstances);
    if (endpoints[i] >= layout.n_endpoints)
      return Error{fmt::format("there is no endpoint {}", endpoints[i]), ""};
    share.endpoint = EndpointId(endpoints[i]);
    if (i < queues.size() && queues[i] < layout.n_copy_queues) share.copy_queue = queues[i];
    for (std::uint32_t k = i; k < spec.n_work_groups; k += syncers_.size())
      share.work_groups.push_back(spec.first_work_group + k);
    share.doorbell = &doorbell;
    if (const Result<void> added = syncers_[i]->add(share); !added) return added;
  }
  return {};
}

void Service::remove_from_syncers(std::uint32_t slice) {
  for (const auto& syncer : syncers_) {
    syncer->begin_remove(slice);
    while (!syncer->is_removed(slice)) std::this_thread::sleep_for(kRemovalPoll);
  }
}

Result<void> Service::finish_removals() {
  for (auto at = slices_.begin(); at != slices_.end();) {
    const std::uint32_t number = at->first;
    const bool gone = at->second->leaving && std::ranges::all_of(syncers_, [&](const auto& syncer) {
                        return syncer->is_removed(number);
                      });
    if (!gone) {
      ++at;
      continue;
    }
    at->second->runner->stop();
    spdlog::info("slice {} is given back after {} launches", number,
                 at->second->runner->n_launches());
    at = slices_.erase(at);
    if (const Result<void> sent =
            attachment_->socket().send({{"op", "slice_removed"}, {"slice", number}});
        !sent)
      return sent;
  }
  return {};
}

}  // namespace hb
