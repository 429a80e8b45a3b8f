#include "nfs/ipsec/engine.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "nf_lib/esp/gate_seal.h"
#include "nfs/ipsec/write_headers.h"

namespace hb::ipsec {
namespace {

constexpr std::size_t kPrefetchAhead = 4;
constexpr std::uint32_t kEthernetBytes = 14;
constexpr std::uint32_t kLineBytes = 64;

/// Moves what lies in front of the IP header to the front; without VLAN tags by two loads.
void move_ethernet_header(std::uint8_t* to, const std::uint8_t* from, std::uint32_t bytes) {
  if (bytes != kEthernetBytes) {
    std::memmove(to, from, bytes);
    return;
  }
  std::uint64_t first, last;  // they overlap by two bytes
  std::memcpy(&first, from, 8);
  std::memcpy(&last, from + kEthernetBytes - 8, 8);
  std::memcpy(to, &first, 8);
  std::memcpy(to + kEthernetBytes - 8, &last, 8);
}

}  // namespace

GateConfig gate_config(const SaFile& file, const GateOptions& options, const Crypto& crypto) {
  GateConfig config;
  config.name = file.name;
  config.options = options;
  config.policies = file.policies;
  for (const SaConfig& sa : file.sas) {
    config.sas.push_back(sa);  // the part without keys
    config.ids.push_back(crypto.identify(sa));
  }
  return config;
}

Result<std::unique_ptr<Engine>> Engine::make(const SaFile& file, const GateOptions& options,
                                             SaStates& states, Crypto crypto, SecretIvKey iv_key) {
  std::unique_ptr<Engine> engine(new Engine(options, states, std::move(crypto)));
  auto keyed = engine->make_keyed(file, engine->crypto_, std::move(iv_key));
  if (!keyed) return keyed.error();
  engine->keyed_ = std::move(*keyed);
  return engine;
}

Engine::~Engine() {
  delete offered_.load(std::memory_order_acquire);
  if (keyed_ != nullptr) table().give_back();
}

Result<std::unique_ptr<Engine::Keyed>> Engine::make_keyed(const SaFile& file, const Crypto& crypto,
                                                          SecretIvKey iv_key) const {
  auto gate = Gate::make(gate_config(file, options_, crypto), *states_);
  if (!gate) return gate.error();
  auto keyed = std::make_unique<Keyed>();
  keyed->gate = std::move(*gate);
  keyed->iv_key = std::move(iv_key);
  keyed->keys.resize(file.sas.size());
  for (std::size_t i = 0; i < file.sas.size(); ++i) crypto.expand(file.sas[i], keyed->keys[i]);
  return keyed;
}

Result<void> Engine::reload(const SaFile& file) {
  // A manager of its own expands the keys: the other one is at work.
  const Result<Crypto> crypto = Crypto::make();
  if (!crypto) return crypto.error();
  // A fresh key: SAs of the new table may have numbers that others had before.
  Result<SecretIvKey> iv_key = crypto->random_iv_key();
  if (!iv_key) return iv_key.error();
  auto keyed = make_keyed(file, *crypto, std::move(*iv_key));
  if (!keyed) return keyed.error();
  // Release: pairs with the exchange in take_reloaded, which thus sees the whole table. One that
  // was offered before and not taken yet is outdated.
  delete offered_.exchange(keyed->release(), std::memory_order_acq_rel);
  return {};
}

void Engine::take_reloaded() noexcept {
  if (offered_.load(std::memory_order_relaxed) == nullptr) return;
  Keyed* const keyed = offered_.exchange(nullptr, std::memory_order_acq_rel);
  if (keyed == nullptr) return;
  table().give_back();
  keyed_.reset(keyed);
}

void Engine::process(std::span<Frame> frames, std::span<Outcome> outcomes) noexcept {
  Gate& gate = *keyed_->gate;
  const std::span<const Sa> sas = gate.table().sas();
  std::size_t n_jobs = 0;
  n_ivs_ = 0;
  for (std::uint32_t i = 0; i < frames.size(); ++i) {
    if (i + kPrefetchAhead < frames.size()) {
      const Frame& coming = frames[i + kPrefetchAhead];
      __builtin_prefetch(coming.data(), 1);
      __builtin_prefetch(coming.data() - std::min<std::uint32_t>(coming.offset, kLineBytes), 1);
      __builtin_prefetch(coming.data() + coming.length, 1);
    }
    Frame& frame = frames[i];
    // Made where it stays: a copy of what was just written piece by piece waits for it.
    const Order& order = *new (&orders_[n_jobs]) Order(gate.decide(
        {frame.data(), frame.length, frame.offset, frame.room - frame.offset - frame.length}));
    if (order.action == Action::kSeal) {
      begin_seal(frame, order, sas[order.sa], jobs_[n_jobs]);
    } else if (order.action == Action::kOpen) {
      begin_open(frame, order, sas[order.sa], jobs_[n_jobs]);
    } else {
      outcomes[i] = {order.action == Action::kPass, order.drop};
      continue;
    }
    frame_of_[n_jobs++] = i;
  }
  send_ivs();
  crypto_.run({jobs_.data(), n_jobs});
  // In the frames' order: of two with one sequence number in a burst, the first passes.
  for (std::size_t k = 0; k < n_jobs; ++k) {
    const std::uint32_t i = frame_of_[k];
    const bool is_sealed = !jobs_[k].opens && jobs_[k].ok;  // all was settled with its order
    outcomes[i] = is_sealed ? Outcome{.passes = true} : finish(frames[i], orders_[k], jobs_[k]);
  }
}

/// All but the ciphers, and CBC's IV.
[[gnu::always_inline]] inline void Engine::begin_seal(Frame& frame, const Order& order,
                                                      const Sa& sa, CryptoJob& job) noexcept {
  const HbEspSa& wire = sa.wire;
  const std::uint32_t ip_at = order.ip_at;
  const std::uint32_t inner_bytes = order.bytes;
  const std::uint64_t sequence = order.sequence;
  std::uint8_t* const inner = frame.data() + ip_at;
  const std::uint32_t sealed_bytes = hb_esp_sealed_bytes(&wire, inner_bytes);
  const std::uint32_t esp_bytes = hb_esp_bytes(&wire, sealed_bytes);
  const std::uint32_t outer_bytes = wire.outer_bytes;
  const std::uint32_t front = outer_bytes + HB_ESP_HEADER_BYTES + wire.iv_bytes;
  if ((wire.flags & HB_ESP_DECREMENT) != 0) hb_ip_decrement_ttl(inner);
  // From the back: nothing that is still to be read is overwritten.
  write_trailer(inner, inner_bytes, sealed_bytes);
  std::uint8_t* const esp = inner - front + outer_bytes;
  move_ethernet_header(frame.data() - front, frame.data(), ip_at);
  write_outer(inner - front, wire, inner, esp_bytes, static_cast<std::uint16_t>(sequence));
  write_esp_header(esp, wire, sequence);
  std::uint8_t* const iv = esp + HB_ESP_HEADER_BYTES;
  if ((wire.flags & HB_ESP_GCM) != 0) {
    put_be64(iv, sa.state->created.load(std::memory_order_relaxed) + sequence);
  } else {
    ivs_[n_ivs_] = IvBlock(sequence, wire.spi, order.sa);
    iv_to_[n_ivs_++] = iv;
  }
  frame.offset -= front;
  frame.length = ip_at + outer_bytes + esp_bytes;
  job = {&wire, &keyed_->keys[order.sa], esp, sealed_bytes, sequence, false, false};
}

/// All the burst's IVs of CBC: together they take little longer than one.
void Engine::send_ivs() noexcept {
  crypto_.make_ivs(keyed_->iv_key.front(), {ivs_.data(), n_ivs_});
  for (std::size_t k = 0; k < n_ivs_; ++k) std::memcpy(iv_to_[k], &ivs_[k], sizeof(IvBlock));
}

[[gnu::always_inline]] inline void Engine::begin_open(const Frame& frame, const Order& order,
                                                      const Sa& sa, CryptoJob& job) noexcept {
  const HbEspSa& wire = sa.wire;
  const std::uint32_t around = HB_ESP_HEADER_BYTES + wire.iv_bytes + wire.icv_bytes;
  job = {&wire,
         &keyed_->keys[order.sa],
         frame.data() + order.esp_at,
         order.bytes - around,
         order.sequence,
         true,
         false};
}

Outcome Engine::finish(Frame& frame, const Order& order, const CryptoJob& job) noexcept {
  Outcome outcome{job.ok, job.opens ? Drop::kBadIcv : Drop::kMalformed};
  if (job.opens && job.ok) {
    const std::uint32_t sealed_at = order.esp_at + HB_ESP_HEADER_BYTES + job.sa->iv_bytes;
    const HbEspOpened opened =
        hb_esp_finish_open(frame.data(), job.sa, order.ip_at, sealed_at, job.sealed_bytes);
    if (opened.inner_bytes != 0) {
      frame.offset += sealed_at - order.ip_at;
      frame.length = order.ip_at + opened.inner_bytes;
    } else {
      outcome = {false, static_cast<Drop>(opened.drop)};
    }
  }
  return keyed_->gate->settle(order, outcome, {frame.data(), frame.length});
}

}  // namespace hb::ipsec
