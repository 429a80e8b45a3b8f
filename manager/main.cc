// The manager: makes the platform, runs it, takes it down in the reverse order.
#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf_dyn.h>
#include <rte_pdump.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "manager/controller.h"
#include "manager/end_deadline.h"
#include "manager/start.h"
#include "manager/statistics.h"

namespace {

using namespace hb;  // NOLINT: this file is the program

/// How long DPDK may take to close its devices and to end.
constexpr std::chrono::seconds kDpdkEndLimit{10};

int fail(const Error& error) {
  spdlog::error("{}", error.line());
  return 1;
}

/// The RX and TX threads, each on an lcore of its own.
void launch_threads(Platform& p) {
  unsigned lcore = rte_get_next_lcore(-1, 1, 0);
  const auto launch = [&](lcore_function_t* function, void* argument) {
    rte_eal_remote_launch(function, argument, lcore);
    lcore = rte_get_next_lcore(lcore, 1, 0);
  };
  for (const auto& tx : p.tx_threads)
    launch(
        [](void* thread) {
          static_cast<TxThread*>(thread)->run();
          return 0;
        },
        tx.get());
  for (const auto& rx : p.rx_threads)
    launch(
        [](void* thread) {
          static_cast<RxThread*>(thread)->run();
          return 0;
        },
        rx.get());
}

Result<void> write_statistics(const nlohmann::json& statistics, const std::string& path) {
  std::ofstream file(path);
  file << statistics.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  file.close();
  if (!file)
    return Error{fmt::format("statistics can't be written to '{}'", path), "check the path"};
  return {};
}

/// Ends threads and ports, proves that every packet is home, reports.
int finish(Platform& p, int status) {
  p.flow.quit.store(true, std::memory_order_release);  // pairs with the threads' acquire loads
  rte_eal_mp_wait_lcore();
  for (const auto& tx : p.tx_threads) tx->empty_fill_rings();
  const nlohmann::json before_close = statistics(p, nullptr);  // devices forget theirs when closed
  if (const Result<void> closed = close_ports(p.ports); !closed) status = fail(closed.error());
  const AuditReport audit = audit_packets(p, true);
  nlohmann::json report = statistics(p, &audit);
  report["ports"] = before_close["ports"];
  report["drops"] = before_close["drops"];
  if (!p.options.stats_path.empty()) {
    if (const Result<void> written = write_statistics(report, p.options.stats_path); !written)
      status = fail(written.error());
  }
  if (!audit.ok) {
    spdlog::error(
        "the audit found {} packets lost, {} twice, {} foreign: report this with the "
        "statistics",
        audit.lost, audit.duplicate, audit.foreign);
    status = 1;
  } else if (status == 0) {
    spdlog::info("ended: all {} packets are back in the pool", p.pool->layout().size);
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGINT);
  sigaddset(&stop, SIGTERM);
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  signal(SIGPIPE, SIG_IGN);  // who reads the output may go; gpu_host inherits it
  auto logger = spdlog::stderr_color_mt("manager");
  logger->set_pattern("%H:%M:%S.%e %n %^%l%$ %v");
  spdlog::set_default_logger(logger);

  const ParsedOptions parsed = parse_options(argc, argv);
  if (!parsed.run) return parsed.exit_status;
  auto platform = std::make_unique<Platform>();
  Platform& p = *platform;
  p.options = parsed.options;
  if (const Result<void> made = make_platform(p); !made) {
    p.ports.clear();
    return fail(made.error());
  }
  int status = 1;
  std::optional<EndDeadline> deadline;
  {
    Controller controller(p);
    launch_threads(p);
    if (const Result<void> started = controller.start(); !started) {
      spdlog::error("{}", started.error().line());
    } else {
      spdlog::info("ready: {} port(s), {} packets, prefix '{}'", p.ports.size(),
                   p.pool->layout().size, p.options.prefix);
      status = controller.run();
    }
    deadline.emplace(p.control, kDpdkEndLimit);
    status = finish(p, status);
    deadline->set_status(status);
  }
  unmake_platform(p);
  deadline.reset();
  p.control.reset();
  return status;
}
