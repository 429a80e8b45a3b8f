#include "nfs/ipsec/engine.h"

#include <algorithm>
#include <cstring>
#include <new>

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
  n_jobs_ = 0;
  for (std::uint32_t i = 0; i < frames.size(); ++i) {
    if (i + kPrefetchAhead < frames.size()) {
      const Frame& coming = frames[i + kPrefetchAhead];
      __builtin_prefetch(coming.data(), 1);
      __builtin_prefetch(coming.data() - std::min<std::uint32_t>(coming.offset, kLineBytes), 1);
      __builtin_prefetch(coming.data() + coming.length, 1);
    }
    Frame& frame = frames[i];
    // Made where it stays: a copy of what was just written piece by piece waits for it.
    const Order& order = *new (&orders_[n_jobs_]) Order(keyed_->gate->decide(
        {frame.data(), frame.length, frame.offset, frame.room - frame.offset - frame.length}));
    outcomes[i] = {order.action == Action::kPass, order.drop};
    if (order.action != Action::kSeal && order.action != Action::kOpen) continue;
    if (order.action == Action::kSeal)
      begin_seal(frame, order);
    else
      begin_open(frame, order);
    frame_of_[n_jobs_++] = i;
  }
  crypto_.run({jobs_.data(), n_jobs_});
  // In the frames' order: of two with one sequence number in a burst, the first passes.
  for (std::size_t k = 0; k < n_jobs_; ++k)
    outcomes[frame_of_[k]] = finish(frames[frame_of_[k]], orders_[k], jobs_[k]);
}

void Engine::begin_seal(Frame& frame, const Order& order) noexcept {
  const Sa& sa = table().sas()[order.sa];
  const HbEspSa& wire = sa.wire;
  std::uint8_t* const inner = frame.data() + order.ip_at;
  const std::uint32_t sealed_bytes = hb_esp_sealed_bytes(&wire, order.bytes);
  const std::uint32_t esp_bytes = hb_esp_bytes(&wire, sealed_bytes);
  const std::uint32_t front = wire.outer_bytes + HB_ESP_HEADER_BYTES + wire.iv_bytes;
  if ((wire.flags & HB_ESP_DECREMENT) != 0) hb_ip_decrement_ttl(inner);
  // From the back: nothing that is still to be read is overwritten.
  hb_esp_write_trailer(inner, order.bytes, sealed_bytes);
  std::uint8_t* const esp = inner - front + wire.outer_bytes;
  move_ethernet_header(frame.data() - front, frame.data(), order.ip_at);
  write_outer(inner - front, wire, inner, esp_bytes, static_cast<std::uint16_t>(order.sequence));
  write_esp_header(esp, wire, order.sequence);
  if ((wire.flags & HB_ESP_GCM) != 0)
    put_be64(esp + HB_ESP_HEADER_BYTES,
             sa.state->created.load(std::memory_order_relaxed) + order.sequence);
  else
    crypto_.make_iv(keyed_->iv_key.front(), order.sequence, wire.spi, order.sa,
                    esp + HB_ESP_HEADER_BYTES);
  frame.offset -= front;
  frame.length = order.ip_at + wire.outer_bytes + esp_bytes;
  jobs_[n_jobs_] = {&wire, &keyed_->keys[order.sa], esp, sealed_bytes, order.sequence, false,
                    false};
}

void Engine::begin_open(const Frame& frame, const Order& order) noexcept {
  const HbEspSa& wire = table().sas()[order.sa].wire;
  const std::uint32_t around = HB_ESP_HEADER_BYTES + wire.iv_bytes + wire.icv_bytes;
  jobs_[n_jobs_] = {&wire,
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
