#include "nf_lib/esp/gate.h"

#include "nf_lib/decode.h"
#include "nf_lib/esp/gate_seal.h"

namespace hb::ipsec {

/// What is looked at in a frame; the key's addresses lie in the frame.
struct SeenPacket {
  DecodeStatus status = DecodeStatus::kMalformed;
  bool is_fragment = false;
  std::uint32_t ip_offset = 0;
  std::uint32_t ip_payload_offset = 0;
  std::uint32_t ip_payload_length = 0;
  std::uint32_t ip_bytes = 0;  ///< the stated length, header included; 0: it can't be true
  SelectorKey key{};
};

namespace {

SeenPacket seen(const PlainPacket& packet, std::span<const std::uint8_t> frame) noexcept {
  constexpr std::uint32_t kIp = PlainPacket::kOffset;
  return {DecodeStatus::kOk,
          false,
          kIp,
          packet.ip_payload_offset,
          packet.ip_payload_length,
          packet.ip_bytes <= frame.size() - kIp ? packet.ip_bytes : 0,
          selector_key(packet, frame.data() + kIp)};
}

SeenPacket look_at(std::span<const std::uint8_t> frame) noexcept {
  if (const PlainPacket plain = decode_plain(frame); plain.ip_version != 0)
    return seen(plain, frame);
  const DecodedPacket packet = decode_packet(frame);
  if (!packet.ok()) return {.status = packet.status, .key = {}};
  const std::uint8_t* const ip = frame.data() + packet.ip_offset;
  return {packet.status,
          packet.is_fragment,
          packet.ip_offset,
          packet.ip_payload_offset,
          packet.ip_payload_length,
          hb_ip_stated_bytes(ip, static_cast<std::uint32_t>(frame.size()) - packet.ip_offset),
          selector_key(packet, ip)};
}

}  // namespace

Result<std::unique_ptr<Gate>> Gate::make(const GateConfig& config, SaStates& states) {
  auto table = SaTable::make(config, states);
  if (!table) return table.error();
  return std::unique_ptr<Gate>(new Gate(config.options, std::move(*table)));
}

/// Whether the frame goes the way of packets that come in from the untrusted side.
bool Gate::is_inbound(const SeenPacket& packet) const noexcept {
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

Order Gate::decide_seal(const FrameView& frame, const SeenPacket& packet) noexcept {
  const Choice choice = table_->choose_outbound(packet.key);
  if (!choice.found) return Order::to_drop(Drop::kNoPolicy);
  if (choice.action == PolicyAction::kBlock) return Order::to_drop(Drop::kBlocked);
  if (choice.action == PolicyAction::kBypass) return Order::to_pass();
  if (choice.sa == nullptr) return Order::to_drop(Drop::kNoSa);
  if (packet.ip_bytes == 0) return Order::to_drop(Drop::kMalformed);
  if (choice.spent) return refused(*choice.sa, Drop::kLifetime);
  return seal_with(*choice.sa, frame, packet.ip_offset, packet.ip_bytes);
}

Order Gate::decide_any(const FrameView& frame) noexcept {
  const SeenPacket packet = look_at({frame.data, frame.length});
  if (packet.status == DecodeStatus::kNotIp) return Order::to_drop(Drop::kNotIp);
  // Orders hold 16-bit lengths, as mbufs do.
  if (packet.status != DecodeStatus::kOk || frame.length > 0xffff)
    return Order::to_drop(Drop::kMalformed);
  return is_inbound(packet) ? decide_inbound(frame, packet) : decide_seal(frame, packet);
}

Order Gate::decide_inbound(const FrameView& frame, const SeenPacket& packet) noexcept {
  return packet.key.protocol == HB_ESP_PROTOCOL ? decide_open(frame, packet)
                                                : decide_unprotected(packet.key);
}

Order Gate::decide_unprotected(const SelectorKey& key) noexcept {
  const Choice choice = table_->choose_unprotected(key);
  if (choice.found && choice.action == PolicyAction::kBypass) return Order::to_pass();
  return Order::to_drop(choice.found && choice.action == PolicyAction::kBlock ? Drop::kBlocked
                                                                              : Drop::kNotEsp);
}

Order Gate::decide_open(const FrameView& frame, const SeenPacket& packet) noexcept {
  if (packet.is_fragment) return Order::to_drop(Drop::kFragment);
  const std::uint8_t* const ip = frame.data + packet.ip_offset;
  if (packet.ip_bytes == 0) return Order::to_drop(Drop::kMalformed);
  if (packet.key.version == 4 && hb_ip4_checksum(ip, (ip[0] & 0x0fu) * 4) != 0)
    return Order::to_drop(Drop::kMalformed);
  const std::uint8_t* const esp = frame.data + packet.ip_payload_offset;
  const std::uint32_t esp_bytes = packet.ip_payload_length;
  if (esp_bytes < HB_ESP_HEADER_BYTES) return Order::to_drop(Drop::kMalformed);
  Sa* const found = table_->find_inbound(hb_be32(esp), packet.key.version, packet.key.dst());
  if (found == nullptr) return Order::to_drop(Drop::kNoSa);
  Sa& sa = *found;
  const HbEspSa& wire = sa.wire;
  const std::uint32_t around = HB_ESP_HEADER_BYTES + wire.iv_bytes + wire.icv_bytes;
  if (esp_bytes < around + wire.block_bytes || (esp_bytes - around) % wire.block_bytes != 0)
    return refused(sa, Drop::kMalformed);
  if (sa.is_spent()) return refused(sa, Drop::kLifetime);

  std::uint64_t sequence = hb_be32(esp + 4);
  if (sa.window != 0) {
    if ((wire.flags & HB_ESP_ESN) != 0) {
      const auto inferred = sa.state->window.infer(static_cast<std::uint32_t>(sequence), sa.window);
      sequence = inferred.value_or(0);
    }
    if (!sa.state->window.may_pass(sequence, sa.window)) {
      Sa::add(sa.state->replayed, 1);
      return Order::to_drop(Drop::kReplay);
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
    const SeenPacket packet = look_at(frame);
    if (packet.status != DecodeStatus::kOk) return refuse(sa.state->dropped, Drop::kBadInner);
    if (!table_->may_come_through(sa, packet.key))
      return refuse(sa.state->dropped, Drop::kPolicyMismatch);
  }
  sa.count(static_cast<std::uint32_t>(frame.size()) - order.ip_at);
  return ciphered;
}

}  // namespace hb::ipsec
