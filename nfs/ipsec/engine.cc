#include "nfs/ipsec/engine.h"

#include <algorithm>
#include <cstring>

#include "kernels/esp_headers.h"

namespace hb::ipsec {
namespace {

constexpr std::size_t kPrefetchAhead = 4;
constexpr std::uint64_t kLast32 = 0xffffffff;

Outcome drop(Drop reason) { return {false, reason}; }
Outcome drop(Sa& sa, Drop reason) {
  Sa::add(sa.state->dropped, 1);
  return {false, reason};
}
constexpr Outcome kPasses{true, Drop::kNotIp};

/// The length that an IP header states, header included.
/// @return 0 if it is none that can be true for a frame with so many bytes from the header on
std::uint32_t stated_bytes(const std::uint8_t* ip, std::uint32_t available) noexcept {
  if (available < 20) return 0;
  if (ip[0] >> 4 == 4) {
    const std::uint32_t header = (ip[0] & 0x0fu) * 4;
    const std::uint32_t total = hb_be16(ip + 2);
    return header >= 20 && total >= header && total <= available ? total : 0;
  }
  if (ip[0] >> 4 != 6 || available < 40) return 0;
  const std::uint32_t payload = hb_be16(ip + 4);
  // Length 0 is a jumbogram's (RFC 2675), unless nothing follows.
  if (payload == 0 && ip[6] != kProtocolNoNext) return 0;
  return payload <= available - 40 ? payload + 40 : 0;
}

SelectorKey selector_key(const DecodedPacket& packet) noexcept {
  return {packet.ip_version, packet.protocol,   packet.has_ports, packet.src_port,
          packet.dst_port,   packet.src.data(), packet.dst.data()};
}

std::uint8_t ttl_of(const std::uint8_t* ip) { return ip[0] >> 4 == 4 ? ip[8] : ip[7]; }

void put_be64(std::uint8_t* to, std::uint64_t v) {
  hb_put_be32(to, static_cast<std::uint32_t>(v >> 32));
  hb_put_be32(to + 4, static_cast<std::uint32_t>(v));
}

void set_ethertype(std::uint8_t* ip, const std::uint8_t* header) {
  hb_put_be16(ip - 2, header[0] >> 4 == 4 ? kEthertypeIpv4 : kEthertypeIpv6);
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::make(const SaFile& file, const EngineOptions& options,
                                             SaStates& states, Crypto crypto, IvGenerator ivs) {
  std::unique_ptr<Engine> engine(new Engine(options, states, std::move(crypto), std::move(ivs)));
  auto table = SaTable::make(file, options.table, states, engine->crypto_);
  if (!table) return table.error();
  engine->table_ = std::move(*table);
  return engine;
}

Engine::~Engine() {
  delete offered_.load(std::memory_order_acquire);
  if (table_ != nullptr) table_->give_back();
}

Result<void> Engine::reload(const SaFile& file) {
  // A manager of its own expands the keys: the other one is at work.
  const Result<Crypto> crypto = Crypto::make();
  if (!crypto) return crypto.error();
  auto table = SaTable::make(file, options_.table, *states_, *crypto);
  if (!table) return table.error();
  // Release: pairs with the exchange in take_reloaded, which thus sees the whole table. One that
  // was offered before and not taken yet is outdated.
  delete offered_.exchange(table->release(), std::memory_order_acq_rel);
  return {};
}

void Engine::take_reloaded() noexcept {
  if (offered_.load(std::memory_order_relaxed) == nullptr) return;
  SaTable* const table = offered_.exchange(nullptr, std::memory_order_acq_rel);
  if (table == nullptr) return;
  table_->give_back();
  table_.reset(table);
}

void Engine::process(std::span<Frame> frames, std::span<Outcome> outcomes) noexcept {
  n_jobs_ = 0;
  for (std::uint32_t i = 0; i < frames.size(); ++i) {
    if (i + kPrefetchAhead < frames.size())
      __builtin_prefetch(frames[i + kPrefetchAhead].data(), 1);
    Frame& frame = frames[i];
    const DecodedPacket packet = decode_packet({frame.data(), frame.length});
    if (packet.status == DecodeStatus::kNotIp)
      outcomes[i] = drop(Drop::kNotIp);
    else if (!packet.ok())
      outcomes[i] = drop(Drop::kMalformed);
    else if (is_inbound(packet))
      outcomes[i] = packet.protocol == HB_ESP_PROTOCOL ? begin_open(frame, packet, i)
                                                       : begin_unprotected(packet);
    else
      outcomes[i] = begin_seal(frame, packet, i);
  }
  crypto_.run({jobs_.data(), n_jobs_});
  // In the frames' order: of two with one sequence number in a burst, the first passes.
  for (std::size_t k = 0; k < n_jobs_; ++k) {
    const Pending& pending = pending_[k];
    if (jobs_[k].opens)
      outcomes[pending.frame] = finish_open(frames[pending.frame], pending, jobs_[k]);
    else if (jobs_[k].ok)
      pending.sa->count(pending.inner_bytes);
    else
      outcomes[pending.frame] = drop(*pending.sa, Drop::kMalformed);
  }
}

/// Whether the frame goes the way of packets that come in from the untrusted side.
bool Engine::is_inbound(const DecodedPacket& packet) const noexcept {
  switch (options_.table.direction) {
    case Direction::kEncrypt:
      return false;
    case Direction::kDecrypt:
      return true;
    default:
      break;
  }
  // Both ways through one instance: ESP to one of our own addresses comes in, the rest goes out.
  if (packet.protocol != HB_ESP_PROTOCOL) return false;
  return table_->is_own_address(packet.ip_version, packet.dst.data());
}

Outcome Engine::begin_seal(Frame& frame, const DecodedPacket& packet,
                           std::uint32_t index) noexcept {
  const Choice choice = table_->choose_outbound(selector_key(packet));
  if (!choice.found) return drop(Drop::kNoPolicy);
  if (choice.action == PolicyAction::kBlock) return drop(Drop::kBlocked);
  if (choice.action == PolicyAction::kBypass) return kPasses;
  if (choice.sa == nullptr) return drop(Drop::kNoSa);
  Sa& sa = *choice.sa;
  const HbEspSa& wire = sa.wire;
  std::uint8_t* const inner = frame.data() + packet.ip_offset;
  const std::uint32_t inner_bytes = stated_bytes(inner, frame.length - packet.ip_offset);
  if (inner_bytes == 0) return drop(Drop::kMalformed);
  if (sa.is_spent()) return drop(sa, Drop::kLifetime);

  const std::uint32_t sealed_bytes = hb_esp_sealed_bytes(&wire, inner_bytes);
  const std::uint32_t esp_bytes = hb_esp_bytes(&wire, sealed_bytes);
  const std::uint32_t front = wire.outer_bytes + HB_ESP_HEADER_BYTES + wire.iv_bytes;
  const std::uint32_t back_at = frame.offset + packet.ip_offset + sealed_bytes + wire.icv_bytes;
  if (wire.outer_bytes + esp_bytes > options_.mtu || frame.offset < front || back_at > frame.room)
    return drop(sa, Drop::kTooBig);
  if ((wire.flags & HB_ESP_DECREMENT) != 0) {
    if (ttl_of(inner) <= 1) return drop(sa, Drop::kTtlExpired);
    hb_ip_decrement_ttl(inner);
  }
  const std::uint64_t sequence = sa.sequence.next() + 1;
  if ((wire.flags & HB_ESP_ESN) == 0 && sequence > kLast32) return drop(sa, Drop::kExhausted);

  // From the back: nothing that is still to be read is overwritten.
  hb_esp_write_trailer(inner, inner_bytes, sealed_bytes);
  std::uint8_t* const esp = inner - front + wire.outer_bytes;
  std::memmove(frame.data() - front, frame.data(), packet.ip_offset);
  hb_esp_write_outer(inner - front, &wire, inner, esp_bytes, static_cast<std::uint16_t>(sequence));
  set_ethertype(inner - front, wire.outer);
  hb_esp_write_header(esp, &wire, sequence);
  if ((wire.flags & HB_ESP_GCM) != 0)
    put_be64(esp + HB_ESP_HEADER_BYTES,
             sa.state->created.load(std::memory_order_relaxed) + sequence);
  else
    ivs_.next(crypto_.manager(), esp + HB_ESP_HEADER_BYTES);
  frame.offset -= front;
  frame.length = packet.ip_offset + wire.outer_bytes + esp_bytes;

  pending_[n_jobs_] = {&sa, index, packet.ip_offset, 0, inner_bytes};
  jobs_[n_jobs_++] = {&wire, sa.keys, esp, sealed_bytes, sequence, false, false};
  return kPasses;
}

Outcome Engine::begin_unprotected(const DecodedPacket& packet) const noexcept {
  const Choice choice = table_->choose_unprotected(selector_key(packet));
  if (choice.found && choice.action == PolicyAction::kBypass) return kPasses;
  return drop(choice.found && choice.action == PolicyAction::kBlock ? Drop::kBlocked
                                                                    : Drop::kNotEsp);
}

Outcome Engine::begin_open(Frame& frame, const DecodedPacket& packet,
                           std::uint32_t index) noexcept {
  if (packet.is_fragment) return drop(Drop::kFragment);
  std::uint8_t* const ip = frame.data() + packet.ip_offset;
  const std::uint32_t outer_bytes = stated_bytes(ip, frame.length - packet.ip_offset);
  if (outer_bytes == 0) return drop(Drop::kMalformed);
  if (packet.ip_version == 4 && hb_ip4_checksum(ip, (ip[0] & 0x0fu) * 4) != 0)
    return drop(Drop::kMalformed);
  std::uint8_t* const esp = frame.data() + packet.ip_payload_offset;
  const std::uint32_t esp_bytes = packet.ip_payload_length;
  if (esp_bytes < HB_ESP_HEADER_BYTES) return drop(Drop::kMalformed);
  Sa* const found = table_->find_inbound(hb_be32(esp), packet.ip_version, packet.dst.data());
  if (found == nullptr) return drop(Drop::kNoSa);
  Sa& sa = *found;
  const HbEspSa& wire = sa.wire;
  const std::uint32_t around = HB_ESP_HEADER_BYTES + wire.iv_bytes + wire.icv_bytes;
  if (esp_bytes < around + wire.block_bytes || (esp_bytes - around) % wire.block_bytes != 0)
    return drop(sa, Drop::kMalformed);
  if (sa.is_spent()) return drop(sa, Drop::kLifetime);

  std::uint64_t sequence = hb_be32(esp + 4);
  if (sa.window != 0) {
    if ((wire.flags & HB_ESP_ESN) != 0) {
      const auto inferred = sa.state->window.infer(static_cast<std::uint32_t>(sequence), sa.window);
      sequence = inferred.value_or(0);
    }
    if (!sa.state->window.may_pass(sequence, sa.window)) {
      Sa::add(sa.state->replayed, 1);
      return drop(Drop::kReplay);
    }
  }
  pending_[n_jobs_] = {&sa, index, packet.ip_offset, packet.ip_offset, 0};
  jobs_[n_jobs_++] = {&wire, sa.keys, esp, esp_bytes - around, sequence, true, false};
  return kPasses;
}

Outcome Engine::finish_open(Frame& frame, const Pending& pending, const CryptoJob& job) noexcept {
  Sa& sa = *pending.sa;
  if (!job.ok) {
    Sa::add(sa.state->bad_icv, 1);
    return drop(Drop::kBadIcv);
  }
  if (sa.window != 0 && !sa.state->window.mark(job.sequence, sa.window)) {
    Sa::add(sa.state->replayed, 1);
    return drop(Drop::kReplay);
  }
  std::uint8_t* const inner = job.esp + HB_ESP_HEADER_BYTES + sa.wire.iv_bytes;
  const std::uint32_t opened = hb_esp_check_trailer(inner, job.sealed_bytes);
  if (opened == HB_ESP_BAD_PADDING) return drop(sa, Drop::kBadPadding);
  const std::uint8_t next_header = inner[job.sealed_bytes - 1];
  if (next_header == kProtocolNoNext) return drop(sa, Drop::kDummy);
  const std::uint32_t inner_bytes = stated_bytes(inner, opened);  // the rest hides the length
  if (inner_bytes == 0 || next_header != (inner[0] >> 4 == 4 ? 4 : 41))
    return drop(sa, Drop::kBadInner);
  const std::uint32_t outer_tos = hb_ip_tos(frame.data() + pending.ip_at);
  if (hb_esp_merge_tos(inner, outer_tos, sa.wire.flags) == 0) return drop(sa, Drop::kCongestion);
  if ((sa.wire.flags & HB_ESP_DECREMENT) != 0) {
    if (ttl_of(inner) <= 1) return drop(sa, Drop::kTtlExpired);
    hb_ip_decrement_ttl(inner);
  }
  std::uint8_t* const start = inner - pending.l2_bytes;
  std::memmove(start, frame.data(), pending.l2_bytes);
  set_ethertype(inner, inner);
  frame.offset = static_cast<std::uint32_t>(start - frame.buffer);
  frame.length = pending.l2_bytes + inner_bytes;
  if (table_->checks_inner(sa)) {
    const DecodedPacket packet = decode_packet({start, frame.length});
    if (!packet.ok()) return drop(sa, Drop::kBadInner);
    if (!table_->may_come_through(sa, selector_key(packet))) return drop(sa, Drop::kPolicyMismatch);
  }
  sa.count(inner_bytes);
  return kPasses;
}

}  // namespace hb::ipsec
