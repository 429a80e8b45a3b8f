// Instance: its life and its loop. instance_packets.cc has the packets.
#include "onvm_compat/instance.h"

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "nf_lib/clock.h"
#include "nf_lib/idle.h"
#include "onvm_compat/drop_reasons.h"
#include "onvm_compat/include/onvm_nflib.h"
#include "onvm_compat/process.h"

namespace hb::onvm {
namespace {

using nlohmann::json;

constexpr unsigned kMessageRing = 128;
constexpr unsigned kInboxRing = 4096;
static_assert(kInboxRing > 2 * (kHeldSlots + kMaxBurst));
static_assert(NF_QUEUE_RINGSIZE > kHeldSlots + kMaxBurst);

/// Asked to let go of what it holds, an NF gets so long in all, and so long without any progress.
constexpr std::uint64_t kFlushLimitNs = 1'500'000'000;
constexpr std::uint64_t kFlushQuietNs = 200'000'000;
/// So long an NF that is ready waits for routes that lead to it.
constexpr std::uint64_t kRoutedWaitNs = 2'000'000'000;

thread_local Instance* current_instance = nullptr;

NfDescription describe() {
  return {.name = "onvm",
          .summary = "an OpenNetVM NF",
          .drop_reasons = drop_reason_names(),
          .originates = true};
}

}  // namespace

Instance* Instance::current() noexcept { return current_instance; }

Instance::Instance(Process& process, Slot slot, const InstanceConfig& config)
    : process_(process), slot_(slot), tag_(config.tag.substr(0, TAG_SIZE - 1)) {
  nf_.service_id = config.service;
  nf_.status = NF_STARTING;
  nf_.tag = tag_.data();
  nf_.thread_info.core = config.core;
  nf_.flags.init_options = config.init_options;
  nf_.flags.time_to_live = config.time_to_live;
  nf_.flags.pkt_limit = config.pkt_limit;
  rte_atomic16_init(&nf_.thread_info.children_cnt);
  rte_atomic16_init(&sleep_state_);
  sem_init(&mutex_, 0, 0);
  nf_.shared_core.sleep_state = &sleep_state_;
  nf_.shared_core.nf_mutex = &mutex_;
}

Instance::~Instance() {
  stop_pump();
  for (rte_ring* const ring : {nf_.rx_q, nf_.tx_q, nf_.msg_q, inbox_}) rte_ring_free(ring);
  sem_destroy(&mutex_);
}

Result<std::unique_ptr<Instance>> Instance::join(Process& process, Slot slot,
                                                 const InstanceConfig& config) {
  std::unique_ptr<Instance> self(new Instance(process, slot, config));
  Attachment& attachment = process.attachment();
  Result<ControlSocket> socket = ControlSocket::connect(attachment.prefix());
  if (!socket) return socket.error();
  self->socket_ = std::move(*socket);
  auto registration = register_instance(
      self->socket_, attachment, describe(), process.command_line().service_name, Compute::kCpu,
      Isolation::kPrivate, {{"number", config.service}, {"tag", config.tag}});
  if (!registration) return registration.error();
  self->registration_ = std::move(*registration);
  const Registration& own = self->registration_;
  if (own.number == 0 || own.number >= MAX_SERVICES)
    return Error{fmt::format("all {} service ids are in use", MAX_SERVICES - 1),
                 "name one with -r to become another instance of it"};
  self->nf_.service_id = static_cast<std::uint16_t>(own.number);
  self->entry_ = &attachment.registry().instances[own.instance.value];
  self->flush_seen_ = self->entry_->flush.load(std::memory_order_acquire);
  self->nf_.instance_id = static_cast<std::uint16_t>(own.instance.value + 1);
  self->loop_ = std::make_unique<BurstLoop>(attachment.view(), own.page, own.context, own.endpoint,
                                            own.service, own.instance);
  if (const auto made = self->make_rings(); !made) return made.error();
  if (const auto open = self->messages_.open(attachment.prefix(), own.instance.value); !open)
    return open.error();
  return self;
}

Result<void> Instance::make_rings() {
  const unsigned id = nf_.instance_id;
  const int anywhere = SOCKET_ID_ANY;
  nf_.rx_q = rte_ring_create(get_rx_queue_name(id), NF_QUEUE_RINGSIZE, anywhere, RING_F_SC_DEQ);
  nf_.tx_q = rte_ring_create(get_tx_queue_name(id), NF_QUEUE_RINGSIZE, anywhere, RING_F_SC_DEQ);
  nf_.msg_q = rte_ring_create(get_msg_queue_name(id), kMessageRing, anywhere, RING_F_SC_DEQ);
  inbox_ =
      rte_ring_create(fmt::format("NF_{}_INBOX", id).c_str(), kInboxRing, anywhere, RING_F_SC_DEQ);
  if (nf_.rx_q == nullptr || nf_.tx_q == nullptr || nf_.msg_q == nullptr || inbox_ == nullptr)
    return Error{fmt::format("an NF's rings can't be made: {}", rte_strerror(rte_errno)),
                 "give this process more memory with EAL's -m"};
  nf_.nf_tx_mgr = reinterpret_cast<queue_mgr*>(this);
  return {};
}

// --- ready, running, leaving --------------------------------------------------------------------

Result<void> Instance::become_ready(onvm_nf_local_ctx* ctx) {
  ctx_.store(ctx, std::memory_order_release);  // pairs with on_control()
  if (is_ready_.load(std::memory_order_relaxed)) return {};
  // setup() comes after this, and may take its time while packets wait.
  if (const Result<void> ready = say_ready(socket_, {{"op", "ready"}, {"sets_up", true}}); !ready)
    return ready;
  wait_until_routed();
  nf_.status = NF_RUNNING;
  is_ready_.store(true, std::memory_order_release);
  process_.listen_to(*this);
  return {};
}

/// An NF may send to its own service from the start (a generator whose packets go round): they
/// would be dropped as long as no table leads there. A change that waits for others is not waited
/// for.
void Instance::wait_until_routed() const {
  const RouteTables& routes = *process_.attachment().view().routes;
  const std::uint64_t deadline = monotonic_ns() + kRoutedWaitNs;
  for (Idle idle; monotonic_ns() < deadline; idle.wait()) {
    // Acquire: pairs with the release store in publish_routes(), so the table is whole.
    const std::uint32_t version = routes.current.load(std::memory_order_acquire);
    const ServiceTargets& own =
        routes.table[version & 1].targets[registration_.service.value % kMaxServices];
    const std::size_t n = std::min<std::size_t>(own.n, kMaxTargets);
    for (std::size_t i = 0; i < n; ++i)
      if (own.endpoint[i] == registration_.endpoint.value) return;
  }
}

/// From here on loop_ is the loop's thread's alone.
Result<void> Instance::begin_loop(onvm_nf_local_ctx* ctx) {
  const std::lock_guard lock(before_loop_);
  if (loop_has_begun()) return Error{"this NF has run already", "start another"};
  if (const Result<void> ready = become_ready(ctx); !ready) return ready;
  started_ns_ = monotonic_ns();
  loop_has_begun_.store(true, std::memory_order_release);  // pairs with loop_has_begun()
  return {};
}

Result<void> Instance::run(onvm_nf_local_ctx* ctx) {
  if (const Result<void> begun = begin_loop(ctx); !begun) return begun;
  current_instance = this;
  loop_->runs_on_this_thread();
  setting_up_ = true;
  if (nf_.function_table->setup != nullptr) nf_.function_table->setup(ctx);
  setting_up_ = false;
  (void)socket_.send({{"op", "set_up"}}).ok();  // a manager that is gone is the listener's to see
  Idle idle(process_.attachment().registry().busy_polling != 0);
  while (!must_end()) {
    if (step(ctx))
      idle.reset();
    else
      idle.wait();
  }
  drain();
  nf_.status = NF_STOPPED;
  current_instance = nullptr;
  return {};
}

Result<void> Instance::start_pump(onvm_nf_local_ctx* ctx) {
  polled_by_nf_.store(true, std::memory_order_seq_cst);
  if (const Result<void> begun = begin_loop(ctx); !begun) return begun;
  (void)socket_.send({{"op", "set_up"}}).ok();
  // Sequentially consistent, as in on_control(), which may have seen an NF that polls nothing yet.
  if (stop_message_.load(std::memory_order_seq_cst)) post(MSG_STOP, nullptr);
  pump_ = std::thread([this] {
    current_instance = this;
    loop_->runs_on_this_thread();
    Idle idle(process_.attachment().registry().busy_polling != 0);
    // The NF's own loop may end long before the manager lets it go: what comes until then is
    // waiting in rx_q, and is let go of with it.
    while (!must_end() || !pump_may_end_.load(std::memory_order_acquire)) {
      if (must_end() || !step(ctx_.load(std::memory_order_relaxed)))
        idle.wait();
      else
        idle.reset();
    }
    drain();
    current_instance = nullptr;
  });
  return {};
}

void Instance::stop_pump() {
  // One that is ready may have packets, and get more.
  if (is_listening() && !loop_has_begun() && !start_pump(nullptr)) return;
  if (!pump_.joinable()) return;
  // Release: pairs with step(): from here on the pump is rx_q's consumer.
  abandoned_.store(true, std::memory_order_release);
  leave();
  pump_may_end_.store(true, std::memory_order_release);
  pump_.join();
  nf_.status = NF_STOPPED;
}

bool Instance::must_end() const noexcept {
  return process_.orphaned() || stop_message_.load(std::memory_order_relaxed) ||
         // Acquire: pairs with the manager's release store; all packets have been taken by then.
         entry_->stop.load(std::memory_order_acquire) != 0;
}

void Instance::leave() {
  if (left_.exchange(true)) return;
  // Without an answer there is no manager; the listener sees that too.
  if (!socket_.send({{"op", "stop"}})) stop_message_.store(true, std::memory_order_relaxed);
}

void Instance::say_bye(bool process_goes_on) {
  if (bye_said_.exchange(true) || process_.orphaned()) return;
  messages_.hide();
  hb::say_bye(socket_, {{"op", "bye"}, {"process_goes_on", process_goes_on}});
}

/// One pass of the loop. @return whether there was anything to do
bool Instance::step(onvm_nf_local_ctx* ctx) {
  bool worked = false;
  draining_ = left_.load(std::memory_order_relaxed) ||
              entry_->state.load(std::memory_order_acquire) == InstanceState::kDraining;
  if (abandoned_.load(std::memory_order_acquire)) let_go_of_unread();
  // While the held area could overflow, packets wait in the platform's rings instead. The empty
  // burst tells the manager that this instance is not hung.
  if (loop_->n_held() + kMaxBurst <= kHeldSlots)
    worked = loop_->poll(*this) != 0;
  else
    loop_->tick(*this, 0);
  worked |= drain() != 0;
  process_.restock(*this);
  answer_flush();
  if (polled_by_nf_.load(std::memory_order_relaxed)) return worked;
  if (rte_atomic16_read(&ctx->keep_running) == 0 || process_.main_is_ending()) leave();
  if (left_.load(std::memory_order_relaxed)) return worked;
  worked |= take_message(ctx);
  if (nf_.function_table->user_actions != nullptr && nf_.function_table->user_actions(ctx) != 0)
    rte_atomic16_set(&ctx->keep_running, 0);
  check_limits(ctx);
  worked |= drain() != 0;
  return worked;
}

void Instance::check_limits(onvm_nf_local_ctx* ctx) {
  const std::uint64_t limit = nf_.flags.pkt_limit;
  const std::uint64_t seconds = nf_.flags.time_to_live;
  if ((limit != 0 && nf_.stats.rx >= limit * PKT_TTL_MULTIPLIER) ||
      (seconds != 0 && monotonic_ns() - started_ns_ >= seconds * 1'000'000'000))
    rte_atomic16_set(&ctx->keep_running, 0);
}

/// The manager wants held packets let go. What the NF has of them it may still send: the answer
/// waits for that as long as it does.
void Instance::answer_flush() {
  const std::uint32_t wanted = entry_->flush.load(std::memory_order_acquire);
  if (wanted == flush_seen_) return;
  const std::uint64_t now = monotonic_ns();
  const std::uint32_t held = loop_->n_held();
  if (flush_began_ns_ == 0) {
    flush_began_ns_ = flush_moved_ns_ = now;
  } else if (held != flush_held_) {
    flush_moved_ns_ = now;
  }
  flush_held_ = held;
  if (held != 0 && now - flush_moved_ns_ < kFlushQuietNs && now - flush_began_ns_ < kFlushLimitNs)
    return;
  flush_began_ns_ = 0;
  flush_seen_ = wanted;
  loop_->flush(*this, wanted);
}

// --- messages
// -------------------------------------------------------------------------------------

int Instance::post(std::uint8_t type, void* data) noexcept {
  void* object = nullptr;
  if (const int got = rte_mempool_get(process_.message_pool(), &object); got != 0) return got;
  auto* const message = static_cast<onvm_nf_msg*>(object);
  message->msg_type = type;
  message->msg_data = data;
  const int put = rte_ring_mp_enqueue(nf_.msg_q, message);
  if (put != 0) rte_mempool_put(process_.message_pool(), message);
  return put;
}

bool Instance::take_message(onvm_nf_local_ctx* ctx) {
  void* object = nullptr;
  if (rte_ring_sc_dequeue(nf_.msg_q, &object) != 0) return false;
  auto* const message = static_cast<onvm_nf_msg*>(object);
  onvm_nflib_handle_msg(message, ctx);
  rte_mempool_put(process_.message_pool(), message);
  return true;
}

void Instance::on_message() noexcept {
  bool any = false;
  void* const data = messages_.receive(&any);
  if (any && post(MSG_FROM_NF, data) != 0) rte_free(data);
}

bool Instance::on_control() {
  auto received = socket_.receive(std::chrono::milliseconds(0));
  if (!received) return false;
  if (!*received) return true;
  const std::string op = (**received).value("op", "");
  if (op == "reload")
    return socket_
        .send({{"op", "reloaded"},
               {"id", (**received).value("id", json())},
               {"ok", false},
               {"what", "an OpenNetVM NF has nothing to reload"},
               {"fix", "stop it and start it again"}})
        .ok();
  if (op != "stop") return true;
  if (const std::string why = (**received).value("why", ""); !why.empty())
    fmt::print(stderr, "{}: {}\n", tag_, why);
  if (onvm_nf_local_ctx* const ctx = ctx_.load(std::memory_order_acquire))
    rte_atomic16_set(&ctx->keep_running, 0);
  left_.store(true);
  stop_message_.store(true, std::memory_order_seq_cst);
  // Sequentially consistent, as in start_pump(): one of the two sees the other.
  if (polled_by_nf_.load(std::memory_order_seq_cst)) post(MSG_STOP, nullptr);
  return true;
}

int Instance::send_foreign(std::uint32_t instance, const void* data,
                           std::size_t bytes) const noexcept {
  return messages_.send(process_.attachment().prefix(), instance, data, bytes);
}

}  // namespace hb::onvm
