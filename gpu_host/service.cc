#include "gpu_host/service.h"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "gpu_host/self_test.h"
#include "nf_lib/clock.h"
#include "nf_lib/cpu_list.h"
#include "nf_lib/fault_point.h"
#include "nf_lib/idle.h"

namespace hb {
namespace {

using nlohmann::json;

/// Nothing here allocates from EAL; it only has to start.
constexpr std::uint32_t kEalMemoryMb = 64;
/// How often it is looked whether CPUSyncers and launching threads have done their part of a
/// change, and whether a kernel hangs.
constexpr std::chrono::milliseconds kBusyPoll{1};
constexpr std::chrono::milliseconds kWatchdogPoll{500};
constexpr std::chrono::milliseconds kElasticPeriod{100};

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

}  // namespace

Service::Service(ServiceOptions options, std::span<const BackendEntry> backends)
    : options_(std::move(options)), backends_(backends) {}

Service::~Service() {
  threads_.clear();  // the CPUSyncers first: they ring the slices' doorbells
  slices_.clear();
  fault_point("torn_down");
}

Result<void> Service::start() {
  if (const Result<void> done = attach(); !done) return done;
  fault_point("contexts_mapped");
  if (const Result<void> done = open_device(); !done) {
    manager_knows_ =
        attachment_->socket()
            .send({{"op", "failed"}, {"what", done.error().what}, {"fix", done.error().fix}})
            .ok();
    return done;
  }
  for (const auto& syncer : syncers_) {
    threads_.emplace_back([this, raw = syncer.get()](const std::stop_token& stop) {
      run_syncer(stop, *raw, options_.busy);
    });
    keep_to_cpu(threads_.back().native_handle(),
                attachment_->registry().contexts[syncer->context().value].cpu);
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
  fault_point("registering");
  const Result<void> sent = attachment_->socket().send(message, std::array{pidfd});
  close(pidfd);
  if (!sent) return sent;
  fault_point("registration_sent");
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
  fault_point("device_opened");
  for (const KernelEntry& kernel : kernel_catalog())
    if (const Result<void> ran = run_self_test(*backend_, kernel, layout.work_group_size); !ran)
      return ran;
  fault_point("self_tested");
  spdlog::info("'{}', memory {}{}", device_.name, to_string(memory_.mode),
               memory_.why.empty() ? "" : " (" + memory_.why + ")");
  return {};
}

Result<void> Service::serve() {
  fault_point("running");
  const ControlSocket& socket = attachment_->socket();
  world_.view = attachment_->view();
  world_.backend = backend_.get();
  world_.syncers = &syncers_;
  world_.attachment = &*attachment_;
  if (options_.elastic)
    elastic_.emplace(attachment_->registry().region.work_group_size, options_.n_syncers);
  for (bool stop = false; !stop;) {
    const bool busy = std::ranges::any_of(slices_, [](const auto& s) { return s.second->busy(); });
    auto received = socket.receive(busy              ? std::optional(kBusyPoll)
                                   : slices_.empty() ? std::nullopt
                                   : elastic_        ? std::optional(kElasticPeriod)
                                                     : std::optional(kWatchdogPoll));
    if (!received)
      return Error{fmt::format("the manager of prefix '{}' is gone", options_.prefix),
                   "start it again; it starts gpu_host itself"};
    if (*received) {
      if (const Result<void> done = handle(**received, stop); !done) return done;
    }
    if (const Result<void> done = advance_slices(); !done) return done;
    if (const Result<void> done = balance(); !done) return done;
    look_for_stuck_kernels();
    for (const auto& [number, slice] : slices_) slice->tick(wall_clock_ns());
  }
  const bool builds =
      std::ranges::any_of(slices_, [](const auto& s) { return s.second->building(); });
  if (builds) _exit(0);  // a compiler may take minutes; it ends with this process
  return {};
}

Result<void> Service::handle(const json& message, bool& stop) {
  const std::string op = message.value("op", "");
  const std::uint32_t slice = message.value("slice", kMaxSlices);
  if (op == "stop") {
    stop = true;
    fault_point("stopping");
  } else if (op == "remove_slice" && !slices_.contains(slice)) {
    return attachment_->socket().send({{"op", "slice_removed"}, {"slice", slice}});
  } else if (slice < kMaxSlices) {
    auto& control = slices_[slice];
    if (!control) control = std::make_unique<SliceControl>(world_, slice);
    control->order(message);
  }
  return {};
}

Result<void> Service::advance_slices() {
  for (auto at = slices_.begin(); at != slices_.end();) {
    SliceControl& slice = *at->second;
    const std::vector<json> answers = slice.advance();
    at = slice.gone() && !slice.busy() ? slices_.erase(at) : std::next(at);
    for (const json& answer : answers)
      if (const Result<void> sent = attachment_->socket().send(answer); !sent) return sent;
  }
  return {};
}

Result<void> Service::balance() {
  const std::uint64_t now = monotonic_ns();
  if (!elastic_ || now < next_sample_ns_) return {};
  next_sample_ns_ =
      now + static_cast<std::uint64_t>(std::chrono::nanoseconds(kElasticPeriod).count());
  std::vector<SliceLoad> loads;
  for (const auto& [number, slice] : slices_)
    if (slice->running() && !slice->busy())
      loads.push_back(
          {number, static_cast<std::uint32_t>(slice->spec().work_groups.size()), slice->backlog()});
  const std::optional<WorkGroupMove> move = elastic_->sample(loads);
  if (!move) return {};
  return attachment_->socket().send(
      {{"op", "wish"}, {"to", move->to}, {"from", move->from.value_or(kMaxSlices)}});
}

void Service::look_for_stuck_kernels() {
  const std::uint64_t limit_ns = options_.round_timeout_ms * std::uint64_t{1'000'000};
  for (const auto& [number, slice] : slices_) {
    const int group = slice->stuck_work_group(monotonic_ns(), limit_ns);
    if (group < 0) continue;
    const std::string what =
        fmt::format("the kernel '{}' has not ended its round on work-group {} for {} ms",
                    slice->label(), group, options_.round_timeout_ms);
    (void)attachment_->socket().send({{"op", "stuck"}, {"slice", number}, {"what", what}});
    spdlog::error("{}: gpu_host ends, as nothing else can end a kernel", what);
    _exit(1);
  }
}

}  // namespace hb
