#include "manager/gpu_supervisor.h"

#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "manager/supervisor_link.h"

namespace hb {

std::chrono::milliseconds GpuSupervisor::round_limit(const ManagerOptions& options) {
  // A device has work of its own, and one that is a CPU may have to share it.
  return std::max(std::chrono::milliseconds(options.nf_timeout_ms) * 5,
                  std::chrono::milliseconds(5000));
}

GpuSupervisor::~GpuSupervisor() {
  if (alive()) {
    kill();
    on_death(true);
  }
}

Result<void> GpuSupervisor::start() {
  std::error_code ignored;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const std::string program = (self.parent_path() / "gpu_host").string();
  const ManagerOptions& o = platform_.options;
  std::vector<std::string> args = {program,
                                   "--prefix",
                                   o.prefix,
                                   "--syncers",
                                   std::to_string(o.n_syncers),
                                   "--idle",
                                   o.busy ? "busy" : "adaptive",
                                   "--backend",
                                   to_string(o.gpu),
                                   "--round-timeout",
                                   std::to_string(round_limit(o).count())};
  if (o.gpu_device >= 0) args.insert(args.end(), {"--device", std::to_string(o.gpu_device)});
  if (o.elastic) args.emplace_back("--elastic");
  if (!o.cores.empty()) args.insert(args.end(), {"--cores", o.cores});
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);

  // A process group of its own: Ctrl-C in the terminal is for the manager, which ends it in order.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  const int error = posix_spawn(&pid_, program.c_str(), nullptr, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  if (error != 0)
    return Error{fmt::format("'{}' can't be started: {}", program, std::strerror(error)),
                 "build it, or use --gpu none"};
  started_ = std::chrono::steady_clock::now();
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (pidfd_ < 0) {
    const int reason = errno;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    return Error{fmt::format("gpu_host can't be watched: {}", std::strerror(reason)),
                 "allow the manager more open files"};
  }
  platform_.gpu.state = GpuStatus::State::kStarting;
  return {};
}

nlohmann::json GpuSupervisor::on_register(int connection) {
  connection_ = connection;
  nlohmann::json contexts = nlohmann::json::array();
  for (std::uint32_t i = 0; i < platform_.options.n_syncers; ++i) {
    const auto context = resources_.take_context(ContextRole::kSyncer, pid_, 0);
    if (!context)
      return {{"ok", false},
              {"what", "no context is free for a CPUSyncer"},
              {"fix", "raise --max-contexts"}};
    auto page = platform_.control->make_page(*context);
    if (!page) return {{"ok", false}, {"what", page.error().what}, {"fix", page.error().fix}};
    contexts.push_back({{"context", context->value}, {"page", (*page)->name()}});
    platform_.syncers.push_back({*context, std::move(*page)});
  }
  return {{"ok", true}, {"contexts", std::move(contexts)}};
}

void GpuSupervisor::on_ready(const nlohmann::json& message) {
  GpuStatus& gpu = platform_.gpu;
  gpu.state = GpuStatus::State::kReady;
  was_ready_ = true;
  gpu.backend = message.value("backend", "");
  gpu.device = message.value("device", "");
  gpu.memory_mode = message.value("memory_mode", "");
  gpu.why = message.value("why", "");
  spdlog::info("GPU: {} ({}), memory mode {}", gpu.device, gpu.backend, gpu.memory_mode);
}

std::string GpuSupervisor::on_death(bool expected) {
  int status = 0;
  waitpid(pid_, &status, 0);
  close(pidfd_);
  pidfd_ = -1;
  connection_ = -1;
  std::string how = WIFSIGNALED(status) ? fmt::format("killed by {}", signal_name(WTERMSIG(status)))
                                        : fmt::format("exit status {}", WEXITSTATUS(status));
  platform_.gpu.state = expected ? GpuStatus::State::kStopped : GpuStatus::State::kFailed;
  if (!expected && platform_.gpu.why.empty()) platform_.gpu.why = "gpu_host ended: " + how;
  return how;
}

std::optional<std::chrono::milliseconds> GpuSupervisor::restart_delay(bool expected) {
  if (expected || !was_ready_) return std::nullopt;
  const auto delay = backoff_.on_death(std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - started_));
  // What registers meanwhile waits for the next one.
  if (delay) platform_.gpu.state = GpuStatus::State::kStarting;
  return delay;
}

void GpuSupervisor::release() {
  for (const SyncerContext& syncer : platform_.syncers) resources_.free_context(syncer.context);
  platform_.syncers.clear();
}

void GpuSupervisor::kill() { syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0); }

}  // namespace hb
