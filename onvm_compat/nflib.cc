// onvm_nflib.h: an NF's life, and packets. scaling.cc and messages.cc have the rest.
#include "onvm_compat/include/onvm_nflib.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include "nf_lib/nf_session.h"
#include "onvm_compat/init_cfg.h"
#include "onvm_compat/instance.h"
#include "onvm_compat/process.h"
#include "onvm_compat/statistics.h"

uint8_t ONVM_NF_SHARE_CORES __attribute__((weak)) = ONVM_NF_SHARE_CORES_DEFAULT;

namespace {

using hb::Error;
using hb::onvm::free_init_cfg;
using hb::onvm::Instance;
using hb::onvm::Process;

/// A parent waits so long for its children before it ends without them.
constexpr int kChildrenWaitS = NF_TERM_STOP_ITER_TIMES * NF_TERM_WAIT_TIME;

int fail(const Error& error) {
  fmt::print(stderr, "error: {}\n", error.line());
  return -1;
}

std::string program_name(const char* path) {
  const std::string_view whole(path);
  return std::string(whole.substr(whole.rfind('/') + 1));
}

/// The loop, to its end, in the calling thread. @return 0; -1: it never ran
int run_loop(onvm_nf_local_ctx* ctx) {
  Instance* const instance = Process::get().find(ctx->nf);
  if (instance == nullptr || ctx->nf->function_table == nullptr)
    return fail(Error{"an NF without a function table can't be run",
                      "make one, or poll rings after onvm_nflib_nf_ready"});
  if (ONVM_CHECK_BIT(ctx->nf->flags.init_options, MANUAL_CORE_ASSIGNMENT_BIT))
    onvm_threading_core_affinitize(ctx->nf->thread_info.core);
  const auto ran = instance->run(ctx);
  return ran ? 0 : fail(ran.error());
}

onvm_nf* find_nf(uint16_t instance_id) {
  for (unsigned slot = 1; slot <= hb::kMaxInstances; ++slot)
    if (Instance* const found = Process::get().instance(static_cast<hb::onvm::Slot>(slot));
        found != nullptr && found->nf()->instance_id == instance_id)
      return found->nf();
  return nullptr;
}

}  // namespace

extern "C" {

// --- life ----------------------------------------------------------------------------------------

struct onvm_nf_local_ctx* onvm_nflib_init_nf_local_ctx(void) {
  auto* const ctx = static_cast<onvm_nf_local_ctx*>(calloc(1, sizeof(onvm_nf_local_ctx)));
  if (ctx == nullptr) {
    fail(Error{"there is no memory for an NF's context", "free some"});
    exit(EXIT_FAILURE);
  }
  rte_atomic16_init(&ctx->nf_init_finished);
  rte_atomic16_init(&ctx->nf_stopped);
  rte_atomic16_init(&ctx->keep_running);
  rte_atomic16_set(&ctx->keep_running, 1);
  return ctx;
}

struct onvm_nf_function_table* onvm_nflib_init_nf_function_table(void) {
  auto* const table =
      static_cast<onvm_nf_function_table*>(calloc(1, sizeof(onvm_nf_function_table)));
  if (table == nullptr) {
    fail(Error{"there is no memory for an NF's function table", "free some"});
    exit(EXIT_FAILURE);
  }
  return table;
}

int onvm_nflib_start_signal_handler(struct onvm_nf_local_ctx* ctx, handle_signal_func handler) {
  Process::get().set_main_context(ctx, handler);
  struct sigaction action {};
  action.sa_handler = onvm_nflib_handle_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return 0;
}

void onvm_nflib_handle_signal(int signal) { Process::get().on_signal(signal); }

int onvm_nflib_init(int argc, char* argv[], const char* nf_tag, struct onvm_nf_local_ctx* ctx,
                    struct onvm_nf_function_table* function_table) {
  const bool from_file = argc > 2 && strcmp(argv[1], "-F") == 0;
  int words = argc;
  char** list = argv;
  if (from_file) {
    if (const auto clear = hb::onvm::check_words_behind_file(argc, argv); !clear) {
      fail(clear.error());
      exit(EXIT_FAILURE);
    }
    cJSON* const config = onvm_config_parse_file(argv[2]);
    if (config == nullptr) exit(EXIT_FAILURE);
    const int made = onvm_config_create_nf_arg_list(config, &words, &list, argc, argv);
    cJSON_Delete(config);
    if (made != 0)
      exit(fail(Error{fmt::format("'{}' does not say how to start an NF", argv[2]),
                      "it needs \"dpdk\" with \"corelist\" and \"memory_channels\", "
                      "and \"onvm\" with \"serviceid\""}) != 0);
  }
  const auto line = hb::onvm::parse_command_line(words, list);
  if (!line) {
    fail(line.error());
    exit(EXIT_FAILURE);
  }
  Process& process = Process::get();
  if (process.main_context() == nullptr) process.set_main_context(ctx, nullptr);
  if (const auto attached = process.attach(*line, program_name(argv[0])); !attached)
    return fail(attached.error());

  onvm_nf_init_cfg* const cfg = onvm_nflib_init_nf_init_cfg(nf_tag);
  if (cfg == nullptr) return fail(Error{"there is no memory for an NF's configuration", ""});
  cfg->service_id = line->service;
  if (line->instance != 0) cfg->instance_id = line->instance;
  cfg->time_to_live = line->time_to_live;
  cfg->pkt_limit = line->pkt_limit;
  if (line->manual_core) cfg->init_options |= 1u << MANUAL_CORE_ASSIGNMENT_BIT;
  if (line->share_core) cfg->init_options |= 1u << SHARE_CORE_BIT;
  const int started = onvm_nflib_start_nf(ctx, cfg);
  if (started != 0) return started;
  ctx->nf->function_table = function_table;
  if (!from_file) return line->consumed;
  return 3;
}

int onvm_nflib_start_nf(struct onvm_nf_local_ctx* ctx, struct onvm_nf_init_cfg* cfg) {
  if (ctx == nullptr || cfg == nullptr) return -1;
  uint16_t core = cfg->core;
  uint8_t flags = 0;
  if (ONVM_CHECK_BIT(cfg->init_options, MANUAL_CORE_ASSIGNMENT_BIT)) flags = 1;
  if (const int chosen = onvm_threading_get_core(&core, flags, nullptr); chosen != 0) {
    free_init_cfg(cfg);
    return -chosen;
  }
  const auto instance = Process::get().start_instance({.tag = cfg->tag,
                                                       .service = cfg->service_id,
                                                       .core = core,
                                                       .init_options = cfg->init_options,
                                                       .time_to_live = cfg->time_to_live,
                                                       .pkt_limit = cfg->pkt_limit});
  free_init_cfg(cfg);
  // From here on SIGINT and SIGTERM come to the listener's thread, in this thread's children too.
  hb::block_stop_signals();
  if (Process::get().main_is_ending()) return ONVM_SIGNAL_TERMINATION;
  if (!instance) return fail(instance.error());
  ctx->nf = (*instance)->nf();
  rte_atomic16_set(&ctx->nf_init_finished, 1);
  return 0;
}

void* onvm_nflib_thread_main_loop(void* arg) {
  run_loop(static_cast<onvm_nf_local_ctx*>(arg));
  return nullptr;
}

int onvm_nflib_run(struct onvm_nf_local_ctx* ctx) {
  if (ctx == nullptr || Process::get().find(ctx->nf) == nullptr) return -1;
  int status = -1;
  std::thread([ctx, &status] { status = run_loop(ctx); }).join();
  return status;
}

int onvm_nflib_nf_ready(struct onvm_nf* nf) {
  Instance* const instance = Process::get().find(nf);
  if (instance == nullptr) return -1;
  onvm_nf_local_ctx* const main = Process::get().main_context();
  onvm_nf_local_ctx* const own = main != nullptr && main->nf == nf ? main : nullptr;
  const auto ready = instance->start_pump(own);
  return ready ? 0 : fail(ready.error());
}

void onvm_nflib_stop(struct onvm_nf_local_ctx* ctx) {
  if (ctx == nullptr || rte_atomic16_test_and_set(&ctx->nf_stopped) == 0) return;
  rte_atomic16_set(&ctx->keep_running, 0);
  Process& process = Process::get();
  onvm_nf* const nf = ctx->nf;
  Instance* const instance = nf != nullptr ? process.find(nf) : nullptr;
  if (instance != nullptr) {
    instance->stop_pump();
    process.say_bye(instance);
  }
  if (process.main_context() == ctx && nf != nullptr) {
    for (int i = 0; i < kChildrenWaitS * 100; ++i) {
      if (rte_atomic16_read(&nf->thread_info.children_cnt) <= 0) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  const bool is_main = process.main_context() == ctx;
  if (is_main) process.set_main_context(nullptr, nullptr);
  const bool orphaned = process.orphaned();
  if (instance != nullptr) {
    hb::onvm::write_statistics(*nf);
    rte_free(nf->data);
    nf->data = nullptr;
    free(nf->function_table);
    nf->function_table = nullptr;
    onvm_nf* const parent = nf->thread_info.parent != 0 ? find_nf(nf->thread_info.parent) : nullptr;
    process.end_instance(instance);
    if (parent != nullptr) rte_atomic16_dec(&parent->thread_info.children_cnt);
  }
  free(ctx);
  if (is_main && orphaned) _exit(EXIT_FAILURE);
}

// --- packets -------------------------------------------------------------------------------------

int onvm_nflib_return_pkt(struct onvm_nf* nf, struct rte_mbuf* pkt) {
  return onvm_nflib_return_pkt_bulk(nf, &pkt, 1);
}

int onvm_nflib_return_pkt_bulk(struct onvm_nf* nf, struct rte_mbuf** pkts, uint16_t n) {
  if (nf == nullptr || pkts == nullptr || pkts[0] == nullptr || n == 0) return -1;
  auto** const objects = reinterpret_cast<void**>(pkts);
  if (rte_ring_mp_enqueue_bulk(nf->tx_q, objects, n, nullptr) == 0) {
    nf->stats.tx_drop = nf->stats.tx_drop + n;
    rte_pktmbuf_free_bulk(pkts, n);
    return -ENOBUFS;
  }
  nf->stats.tx_returned = nf->stats.tx_returned + n;
  return 0;
}

// --- what is the manager's there
// ------------------------------------------------------------------

struct onvm_service_chain* onvm_nflib_get_default_chain(void) {
  return default_chain;
}

struct onvm_configuration* onvm_nflib_get_onvm_config(void) {
  static onvm_configuration config{};
  config.flags.ONVM_NF_SHARE_CORES = ONVM_NF_SHARE_CORES_DEFAULT;
  return &config;
}

void onvm_nflib_stats_summary_output(uint16_t instance_id) {
  if (const onvm_nf* const nf = find_nf(instance_id)) hb::onvm::print_statistics(*nf);
}

}  // extern "C"
