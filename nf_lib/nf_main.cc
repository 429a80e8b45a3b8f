#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "nf_lib/burst_loop.h"
#include "nf_lib/clock.h"
#include "nf_lib/cpu_list.h"
#include "nf_lib/fault_point.h"
#include "nf_lib/gpu_loop.h"
#include "nf_lib/idle.h"
#include "nf_lib/memory_file.h"
#include "nf_lib/nf.h"
#include "nf_lib/nf_session.h"

namespace hb {
namespace {

struct NfOptions {
  std::string prefix = "hb";
  std::string service;
  std::string cores;
  std::string eal = "private";
  bool gpu = false;
  std::uint32_t work_groups = 0;
};

void use_stderr_logger(const std::string& name) {
  auto logger = spdlog::stderr_color_mt(name);
  logger->set_pattern("%H:%M:%S.%e %n %^%l%$ %v");
  spdlog::set_default_logger(std::move(logger));
}

/// Ends the program with one line on stderr.
int fail(const Error& error) {
  spdlog::error("{}", error.line());
  return 1;
}

int end_of_session(NfSession& session) {
  session.finish();
  if (session.orphaned()) return 1;
  if (!session.reason().empty()) return fail(Error{session.reason(), ""});
  spdlog::info("stopped");
  return 0;
}

int run_cpu(NfSession& session, NetworkFunction& nf, const NfDescription& description) {
  const Registration& own = session.registration();
  BurstLoop loop(session.attachment().view(), own.page, own.context, own.endpoint, own.service,
                 own.instance, own.surviving);
  fault_point("setting_up");
  if (const Result<void> set_up = nf.setup(loop); !set_up) return fail(set_up.error());
  fault_point("set_up");
  session.on_reload([&nf](std::span<const std::string> args) { return nf.reload(args); });
  if (const Result<void> ready = session.ready(); !ready) return fail(ready.error());
  fault_point("running");
  spdlog::info("running");

  Idle idle(session.attachment().registry().busy_polling != 0);
  const std::uint64_t tick_ns = description.tick_every_us * 1000;
  std::uint64_t next_tick = monotonic_ns() + tick_ns;
  std::uint32_t flushed = session.flush_count();
  while (!session.should_stop()) {
    const bool worked = loop.poll(nf) != 0;
    if (tick_ns != 0) {
      if (const std::uint64_t now = monotonic_ns(); now >= next_tick) {
        loop.tick(nf, now);
        next_tick = now + tick_ns;
      }
    }
    if (const std::uint32_t wanted = session.flush_count(); wanted != flushed) {
      loop.flush(nf, wanted);
      flushed = wanted;
    }
    if (worked)
      idle.reset();
    else
      idle.wait();
  }
  fault_point("stopping");
  session.end_reloads();
  // Its successor may be given its rings without a drain: what is held goes on its way now.
  if (!session.orphaned() && loop.n_held() != 0) loop.flush(nf, flushed);
  nf.tear_down();
  fault_point("torn_down");
  return end_of_session(session);
}

/// What a GPU NF has for the device now, in files that gpu_host can read.
struct DeviceFiles {
  MemoryFile table;
  std::optional<MemoryFile> source;
};

Result<DeviceFiles> device_files(GpuNetworkFunction& nf) {
  Result<MemoryFile> table_file = nf.table_file();
  fault_point("table_made");
  if (!table_file) return table_file.error();
  DeviceFiles files{std::move(*table_file), std::nullopt};
  if (const KernelFile* const kernel = nf.kernel_file()) {
    Result<MemoryFile> source =
        MemoryFile::make("hummingbird-kernel",
                         std::as_bytes(std::span(kernel->source.data(), kernel->source.size())));
    if (!source) return source.error();
    files.source.emplace(std::move(*source));
  }
  return files;
}

DeviceCode device_code(const GpuNetworkFunction& nf, const DeviceFiles& files) {
  return {.kernel = nf.kernel(),
          .table = files.table,
          .source = files.source ? &*files.source : nullptr,
          .source_name = files.source ? nf.kernel_file()->name : ""};
}

Result<std::string> reload_gpu(NfSession& session, GpuNetworkFunction& nf, GpuLoop& loop,
                               std::span<const std::string> args) {
  Result<std::string> done = nf.reload(args);
  if (!done) return done;
  const Result<DeviceFiles> files = device_files(nf);
  const Result<std::string> replaced =
      files ? session.replace(device_code(nf, *files)) : Result<std::string>(files.error());
  loop.replaced(replaced.ok());
  if (!replaced) return replaced;
  return fmt::format("{}; {}", *done, *replaced);
}

int run_gpu(NfSession& session, GpuNetworkFunction& nf) {
  const Registration& own = session.registration();
  const PlatformView& view = session.attachment().view();
  BurstLoop context(view, own.page, own.context, own.endpoint, own.service, own.instance,
                    own.surviving);
  fault_point("setting_up");
  if (const Result<void> set_up = nf.setup(context); !set_up) return fail(set_up.error());
  fault_point("set_up");
  std::vector<CopyQueue> queues;
  for (const std::uint32_t queue : own.copy_queues) {
    if (queue < view.region.layout().n_copy_queues) queues.emplace_back(view.region, queue);
  }
  GpuLoop loop(nf, std::move(queues));
  session.on_reload(
      [&](std::span<const std::string> args) { return reload_gpu(session, nf, loop, args); });
  {
    const Result<DeviceFiles> files = device_files(nf);
    if (!files) return fail(files.error());
    const DeviceCode code = device_code(nf, *files);
    if (const Result<void> ready = session.ready(&code); !ready) return fail(ready.error());
  }
  fault_point("running");
  spdlog::info("running on the GPU");

  Idle idle(false);
  while (!session.should_stop()) {
    if (loop.turn())
      idle.reset();
    else
      idle.wait();
  }
  fault_point("stopping");
  loop.end();
  session.end_reloads();
  nf.tear_down();
  fault_point("torn_down");
  return end_of_session(session);
}

}  // namespace

int nf_main(int argc, char** argv, const NfDescription& fixed, const NfFactories& factories) {
  NfDescription description = fixed;
  block_stop_signals();
  use_stderr_logger(description.name);
  NfOptions options;
  options.service = description.name;
  const auto cpu = factories.cpu != nullptr ? factories.cpu() : nullptr;
  const auto gpu = factories.gpu != nullptr ? factories.gpu() : nullptr;

  CLI::App app(description.summary, description.name);
  app.add_option("--prefix", options.prefix, "the manager's prefix")->capture_default_str();
  app.add_option("--service", options.service, "the name in routes.csv")->capture_default_str();
  app.add_option("--cores", options.cores, "CPUs to run on, like 0-3,8");
  app.add_option("--eal", options.eal, "private: an EAL of its own; secondary: the manager's")
      ->check(CLI::IsMember({"private", "secondary"}))
      ->capture_default_str();
  app.add_flag("--gpu", options.gpu, "run on the GPU");
  app.add_option("--workgroups", options.work_groups,
                 "with --gpu: its work-groups, 0: a fair share");
  // Both twins have the same options; the one that runs gets to read them.
  const bool wants_gpu = std::find(argv + 1, argv + argc, std::string_view("--gpu")) != argv + argc;
  if (wants_gpu && gpu)
    gpu->add_options(app);
  else if (cpu)
    cpu->add_options(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    return fail(Error{error.what(), fmt::format("see start_nf.sh {} --help", description.name)});
  }
  if (options.service != description.name) use_stderr_logger(options.service);
  if (!options.gpu && !cpu)
    return fail(Error{fmt::format("{} runs on the GPU only", description.name), "add --gpu"});
  if (options.gpu && !gpu)
    return fail(
        Error{fmt::format("{} has no GPU twin", description.name), "start it without --gpu"});

  if (!options.gpu && app.count("--workgroups") != 0)
    return fail(
        Error{fmt::format("--workgroups {}: only GPU NFs have work-groups", options.work_groups),
              "add --gpu, or leave it out"});

  if (options.gpu)
    if (const Result<void> described = gpu->describe(description); !described)
      return fail(described.error());

  Result<Attachment> attachment = Attachment::open(options.prefix);
  if (!attachment) return fail(attachment.error());
  const Isolation isolation =
      options.eal == "private" ? Isolation::kPrivate : Isolation::kSecondary;
  const EalOptions eal{isolation, description.eal_memory_mb, options.cores};
  if (const auto started = attachment->start_eal(description.name, eal); !started)
    return fail(started.error());
  block_stop_signals(false);
  if (const auto mapped = attachment->map_packets(); !mapped) return fail(mapped.error());
  auto session =
      NfSession::start(std::move(*attachment), description, options.service,
                       options.gpu ? Compute::kGpu : Compute::kCpu, isolation, options.work_groups);
  if (!session) return fail(session.error());
  // The listener of a GPU NF's copies naps: it needs no CPU of its own.
  if (!options.gpu && options.cores.empty()) {
    const Registry& registry = (*session)->attachment().registry();
    keep_to_cpu(pthread_self(), registry.contexts[(*session)->registration().context.value].cpu);
  }
  return options.gpu ? run_gpu(**session, *gpu) : run_cpu(**session, *cpu, description);
}

}  // namespace hb
