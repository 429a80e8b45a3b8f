#include "nf_lib/esp/gate.h"

#include "kernels/esp_headers.h"
#include "nf_lib/decode.h"
#include "nf_lib/decode_plain.h"

namespace hb::ipsec {

/// What is looked at in a frame; the key's addresses lie in the frame.
struct SeenPacket {
  DecodeStatus status = DecodeStatus::kMalformed;
  bool is_fragment = false;
  std::uint32_t ip_offset = 0;
  std::uint32_t ip_payload_offset = 0;
  std::uint32_t ip_payload_length = 0;
  SelectorKey key{};
};

namespace {

constexpr std::uint64_t kLast32 = 0xffffffff;

Order drop(Drop reason) { return {.action = Action::kDrop, .drop = reason}; }
Order drop(Sa& sa, Drop reason) {
  Sa::add(sa.state->dropped, 1);
  return drop(reason);
}
Order pass() { return {.action = Action::kPass}; }

/// @param packet  a PlainPacket or a DecodedPacket that is ok
template <typename Packet>
SelectorKey selector_key(const Packet& packet, const std::uint8_t* ip) noexcept {
  return {packet.ip_version, packet.protocol, packet.has_ports,
          packet.src_port,   packet.dst_port, ip + (packet.ip_version == 4 ? 12 : 8)};
}

[[gnu::noinline]] SeenPacket look_at_any(std::span<const std::uint8_t> frame) noexcept {
  const DecodedPacket packet = decode_packet(frame);
  if (!packet.ok()) return {.status = packet.status, .key = {}};
  return {packet.status,
          packet.is_fragment,
          packet.ip_offset,
          packet.ip_payload_offset,
          packet.ip_payload_length,
          selector_key(packet, frame.data() + packet.ip_offset)};
}

SeenPacket seen(const PlainPacket& packet, const std::uint8_t* frame) noexcept {
  return {DecodeStatus::kOk,        false,
          PlainPacket::kOffset,     packet.ip_payload_offset,
          packet.ip_payload_length, selector_key(packet, frame + PlainPacket::kOffset)};
}

}  // namespace

Result<std::unique_ptr<Gate>> Gate::make(const GateConfig& config, SaStates& states) {
  auto table = SaTable::make(config, states);
  if (!table) return table.error();
  return std::unique_ptr<Gate>(new Gate(config.options, std::move(*table)));
}

/// Whether the frame goes the way of packets that come in from the untrusted side.
[[gnu::always_inline]] inline bool Gate::is_inbound(const SeenPacket& packet) const noexcept {
  switch (options_.direction) {
    case Direction::kEncrypt:
      return false;
    case Direction::kDecrypt:
      return true;
    default:
      break;
  }
  // Both ways through one instance: ESP to one of our own addresses comes in, the rest goes out.
  if (packet.key.protocol != HB_ESP_PROTOCOL) return false;
  return table_->is_own_address(packet.key.version, packet.key.dst());
}

[[gnu::always_inline]] inline Order Gate::decide_seal(const FrameView& frame,
                                                      const SeenPacket& packet) noexcept {
  const Choice choice = table_->choose_outbound(packet.key);
  if (!choice.found) return drop(Drop::kNoPolicy);
  if (choice.action == PolicyAction::kBlock) return drop(Drop::kBlocked);
  if (choice.action == PolicyAction::kBypass) return pass();
  if (choice.sa == nullptr) return drop(Drop::kNoSa);
  Sa& sa = *choice.sa;
  const HbEspSa& wire = sa.wire;
  const std::uint8_t* const inner = frame.data + packet.ip_offset;
  const std::uint32_t inner_bytes = hb_ip_stated_bytes(inner, frame.length - packet.ip_offset);
  if (inner_bytes == 0) return drop(Drop::kMalformed);
  if (choice.spent) return drop(sa, Drop::kLifetime);

  const std::uint32_t sealed_bytes = hb_esp_sealed_bytes(&wire, inner_bytes);
  const std::uint32_t esp_bytes = hb_esp_bytes(&wire, sealed_bytes);
  const std::uint32_t front = wire.outer_bytes + HB_ESP_HEADER_BYTES + wire.iv_bytes;
  const std::uint32_t end = packet.ip_offset + sealed_bytes + wire.icv_bytes + HB_ESP_MOVED_BACK;
  if (wire.outer_bytes + esp_bytes > options_.mtu || frame.headroom < front ||
      end > frame.length + frame.tailroom)
    return drop(sa, Drop::kTooBig);
  if ((wire.flags & HB_ESP_DECREMENT) != 0 && hb_ip_ttl(inner) <= 1)
    return drop(sa, Drop::kTtlExpired);
  const std::uint64_t sequence = sa.sequence.next() + 1;
  if ((wire.flags & HB_ESP_ESN) == 0 && sequence > kLast32) return drop(sa, Drop::kExhausted);
  sa.count(inner_bytes);  // here, so that no packet in flight exceeds a limit
  return {.action = Action::kSeal,
          .sa = static_cast<std::uint16_t>(sa.index),
          .ip_at = static_cast<std::uint16_t>(packet.ip_offset),
          .bytes = static_cast<std::uint16_t>(inner_bytes),
          .sequence = sequence};
}

Order Gate::decide(const FrameView& frame) noexcept {
  const PlainPacket plain = decode_plain({frame.data, frame.length});
  if (plain.ip_version == 0) [[unlikely]]
    return decide_any(frame);
  return decide_seen(frame, seen(plain, frame.data));
}

/// Apart, so that a plain frame's fields stay in registers.
[[gnu::noinline]] Order Gate::decide_any(const FrameView& frame) noexcept {
  const SeenPacket packet = look_at_any({frame.data, frame.length});
  if (packet.status == DecodeStatus::kNotIp) return drop(Drop::kNotIp);
  // Orders hold 16-bit lengths, as mbufs do.
  if (packet.status != DecodeStatus::kOk || frame.length > 0xffff) return drop(Drop::kMalformed);
  return decide_seen(frame, packet);
}

[[gnu::always_inline]] inline Order Gate::decide_seen(const FrameView& frame,
                                                      const SeenPacket& packet) noexcept {
  if (!is_inbound(packet)) return decide_seal(frame, packet);
  return packet.key.protocol == HB_ESP_PROTOCOL ? decide_open(frame, packet)
                                                : decide_unprotected(packet.key);
}

[[gnu::noinline]] Order Gate::decide_unprotected(SelectorKey key) noexcept {
  const Choice choice = table_->choose_unprotected(key);
  if (choice.found && choice.action == PolicyAction::kBypass) return pass();
  return drop(choice.found && choice.action == PolicyAction::kBlock ? Drop::kBlocked
                                                                    : Drop::kNotEsp);
}

[[gnu::always_inline]] inline Order Gate::decide_open(const FrameView& frame,
                                                      const SeenPacket& packet) noexcept {
  if (packet.is_fragment) return drop(Drop::kFragment);
  const std::uint8_t* const ip = frame.data + packet.ip_offset;
  if (hb_ip_stated_bytes(ip, frame.length - packet.ip_offset) == 0) return drop(Drop::kMalformed);
  if (packet.key.version == 4 && hb_ip4_checksum(ip, (ip[0] & 0x0fu) * 4) != 0)
    return drop(Drop::kMalformed);
  const std::uint8_t* const esp = frame.data + packet.ip_payload_offset;
  const std::uint32_t esp_bytes = packet.ip_payload_length;
  if (esp_bytes < HB_ESP_HEADER_BYTES) return drop(Drop::kMalformed);
  Sa* const found = table_->find_inbound(hb_be32(esp), packet.key.version, packet.key.dst());
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
  return {.action = Action::kOpen,
          .sa = static_cast<std::uint16_t>(sa.index),
          .ip_at = static_cast<std::uint16_t>(packet.ip_offset),
          .esp_at = static_cast<std::uint16_t>(packet.ip_payload_offset),
          .bytes = static_cast<std::uint16_t>(esp_bytes),
          .sequence = sequence};
}

Outcome Gate::settle_other(const Order& order, Outcome ciphered,
                           std::span<const std::uint8_t> frame) noexcept {
  Sa& sa = table_->sas()[order.sa];
  const auto refuse = [&](std::atomic<std::uint64_t>& counter, Drop reason) {
    Sa::add(counter, 1);
    return Outcome{false, reason};
  };
  if (order.action == Action::kSeal) return refuse(sa.state->dropped, ciphered.drop);
  if (!ciphered.passes && ciphered.drop == Drop::kBadIcv) {
    // The number may have come while this packet was under way: the reason is the same however
    // many are under way at a time.
    if (sa.window != 0 && !sa.state->window.may_pass(order.sequence, sa.window))
      return refuse(sa.state->replayed, Drop::kReplay);
    return refuse(sa.state->bad_icv, Drop::kBadIcv);
  }
  // Whatever was sealed, the number has come: RFC 4303 section 3.4.3.
  if (sa.window != 0 && !sa.state->window.mark(order.sequence, sa.window))
    return refuse(sa.state->replayed, Drop::kReplay);
  if (!ciphered.passes) return refuse(sa.state->dropped, ciphered.drop);
  if (table_->checks_inner(sa)) {
    const PlainPacket plain = decode_plain(frame);
    const SeenPacket packet =
        plain.ip_version != 0 ? seen(plain, frame.data()) : look_at_any(frame);
    if (packet.status != DecodeStatus::kOk) return refuse(sa.state->dropped, Drop::kBadInner);
    if (!table_->may_come_through(sa, packet.key))
      return refuse(sa.state->dropped, Drop::kPolicyMismatch);
  }
  sa.count(static_cast<std::uint32_t>(frame.size()) - order.ip_at);
  return ciphered;
}

}  // namespace hb::ipsec
