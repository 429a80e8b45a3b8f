// gpu_host: the process that owns the device.
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <span>

#include "gpu_host/backends.h"
#include "gpu_host/kernel_source.h"
#include "gpu_host/litmus.h"
#include "gpu_host/service.h"
#include "nf_lib/memory_file.h"

namespace {

struct Options {
  hb::ServiceOptions service;
  std::string memory = "auto";
  std::string idle = "adaptive";
  std::uint32_t work_group_size = 64;
  bool build_program = false;
  std::size_t build_variant = 0;
  std::string user_kernel, user_name, user_table;
  bool list_devices = false;
  std::vector<std::string> litmus_peer;
};

int fail(const hb::Error& error) {
  spdlog::error("{}", error.line());
  return 1;
}

void use_stderr_logger() {
  auto logger = spdlog::stderr_color_mt("gpu_host");
  logger->set_pattern("%H:%M:%S.%e %n %^%l%$ %v");
  spdlog::set_default_logger(std::move(logger));
}

void declare(CLI::App& app, Options& options) {
  hb::ServiceOptions& service = options.service;
  app.add_option("--prefix", service.prefix, "the manager's prefix")->capture_default_str();
  app.add_option("--backend", service.backend, "auto, cuda or opencl")->capture_default_str();
  app.add_option("--device", service.device_idx,
                 "number of the backend's device (default: the first that shares memory)");
  app.add_option("--syncers", service.n_syncers, "CPUSyncer threads")
      ->check(CLI::Range(1u, hb::kMaxSyncers))
      ->capture_default_str();
  app.add_option("--idle", options.idle, "adaptive: naps when idle; busy: never sleeps")
      ->check(CLI::IsMember({"adaptive", "busy"}))
      ->capture_default_str();
  app.add_flag("--elastic", service.elastic,
               "move work-groups to slices in front of which packets wait");
  app.add_option("--round-timeout", service.round_timeout_ms, "ms that a round may take")
      ->check(CLI::Range(100u, 3'600'000u))
      ->capture_default_str();
  app.add_option("--cores", service.cores, "CPUs to run on, like 0-3,8");
  app.add_option("--memory", options.memory,
                 "auto, or one of svm-system, svm-alias, host-ptr, registered, staged")
      ->capture_default_str();
  app.add_option("--kernels", service.kernel_dir, "folder of the kernels' sources")
      ->capture_default_str();
  app.add_flag("--list-devices", options.list_devices, "print the devices and end");
  // What this program runs itself with:
  app.add_option("--litmus-peer", options.litmus_peer, "region file and offset")
      ->expected(2)
      ->group("");
  app.add_flag("--build-program", options.build_program, "fill the runtime's cache")->group("");
  app.add_option("--workgroup-size", options.work_group_size)->group("");
  app.add_option("--variant", options.build_variant)->group("");
  app.add_option("--user-kernel", options.user_kernel)->group("");
  app.add_option("--user-name", options.user_name)->group("");
  app.add_option("--user-table", options.user_table)->group("");
}

int list_devices(std::span<const hb::BackendEntry> backends) {
  bool any = false;
  for (const hb::BackendEntry& entry : backends) {
    const auto devices = entry.make()->devices({});
    any |= devices.ok();
    if (!devices) {
      fmt::print("{}  none: {}\n", entry.name, devices.error().what);
      continue;
    }
    for (std::size_t i = 0; i < devices->size(); ++i)
      fmt::print("{} {}  {}  ({})\n", entry.name, i, (*devices)[i].name, (*devices)[i].platform);
  }
  return any ? 0 : 1;
}

hb::Result<hb::UserKernel> read_user_kernel(const Options& options) {
  hb::Result<std::string> source = hb::read_file(options.user_kernel);
  if (!source) return source.error();
  hb::Result<hb::KernelFile> file = hb::parse_kernel_file(options.user_name, std::move(*source));
  if (!file) return file.error();
  const hb::Result<std::string> table = hb::read_file(options.user_table);
  if (!table) return table.error();
  const auto bytes = std::as_bytes(std::span(table->data(), table->size()));
  return hb::UserKernel{std::move(*file), {bytes.begin(), bytes.end()}};
}

/// The helper process: no logger, its output is read by the process that started it.
int build_program(hb::Backend& backend, const Options& options) {
  hb::BackendOptions wanted;
  wanted.device_idx = options.service.device_idx.value_or(0);
  wanted.work_group_size = options.work_group_size;
  wanted.kernel_dir = options.service.kernel_dir;
  wanted.build_variant = options.build_variant;
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // nobody would read what it says
  hb::UserKernel user;
  if (!options.user_kernel.empty()) {
    const hb::Result<hb::UserKernel> read = read_user_kernel(options);
    if (!read) {
      fmt::print("{}\n", read.error().line());
      return 1;
    }
    user = *read;
    wanted.before_trial = [] {
      signal(SIGALRM, [](int) {
        constexpr std::string_view kText = "in its trial, it did not end within 30 s\n";
        [[maybe_unused]] const ssize_t n = write(STDOUT_FILENO, kText.data(), kText.size());
        _exit(1);
      });
      alarm(30);
    };
  }
  const hb::Result<void> built =
      backend.build_program(wanted, options.user_kernel.empty() ? nullptr : &user);
  if (!built) fmt::print("{}\n", built.error().line());
  return built ? 0 : 1;
}

int serve(Options& options, std::span<const hb::BackendEntry> backends) {
  signal(SIGINT, SIG_IGN);  // Ctrl-C in the manager's terminal is the manager's to handle
  if (options.memory != "auto") {
    const auto mode = hb::parse_memory_mode(options.memory);
    if (!mode) return fail(mode.error());
    options.service.memory = *mode;
  }
  options.service.busy = options.idle == "busy";
  hb::Service service(options.service, backends);
  if (const hb::Result<void> started = service.start(); !started)
    return service.manager_knows() ? 1 : fail(started.error());
  const hb::Result<void> served = service.serve();
  if (served) return 0;
  // Nobody is left to answer to, and a kernel may be slow to end.
  _exit(fail(served.error()));
}

int run(int argc, char** argv) {
  Options options;
  options.service.kernel_dir = hb::default_kernel_dir();
  CLI::App app("Runs network functions on a GPU. Started by the manager.", "gpu_host");
  declare(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    return fail({error.what(), "see gpu_host --help"});
  }
  if (!options.litmus_peer.empty()) {
    return hb::run_litmus_peer(options.litmus_peer[0],
                               std::strtoull(options.litmus_peer[1].c_str(), nullptr, 10));
  }
  const auto backends = hb::parse_backend(options.service.backend);
  if (!backends) return fail(backends.error());
  if (options.list_devices) return list_devices(*backends);
  if (options.build_program) return build_program(*backends->front().make(), options);
  return serve(options, *backends);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    use_stderr_logger();
    return run(argc, argv);
  } catch (const std::exception& error) {
    // Not by the logger: it may be what failed.
    std::fprintf(stderr, "error: gpu_host: %s\n", error.what());
    return 1;
  }
}
