// The gate's way for most packets that are to be sealed, plain IPv4 for which there is an SA,
// inlined where it is gone: a packet's fields stay in registers from its frame to its order.
// Whoever calls Gate::decide() includes it.
#pragma once

#include "kernels/esp_headers.h"
#include "nf_lib/decode_plain.h"
#include "nf_lib/esp/gate.h"

namespace hb::ipsec {

/// @param packet  a PlainPacket or a DecodedPacket that is ok
template <typename Packet>
inline SelectorKey selector_key(const Packet& packet, const std::uint8_t* ip) noexcept {
  return {packet.ip_version, packet.protocol, packet.has_ports,
          packet.src_port,   packet.dst_port, ip + (packet.ip_version == 4 ? 12 : 8)};
}

/// Drops a packet whose SA is known.
inline Order refused(Sa& sa, Drop reason) noexcept {
  Sa::add(sa.state->dropped, 1);
  return Order::to_drop(reason);
}

[[gnu::always_inline]] inline Order Gate::seal_with(Sa& sa, const FrameView& frame,
                                                    std::uint32_t ip_offset,
                                                    std::uint32_t inner_bytes) noexcept {
  const HbEspSa& wire = sa.wire;
  const std::uint32_t sealed_bytes = hb_esp_sealed_bytes(&wire, inner_bytes);
  const std::uint32_t esp_bytes = hb_esp_bytes(&wire, sealed_bytes);
  const std::uint32_t front = wire.outer_bytes + HB_ESP_HEADER_BYTES + wire.iv_bytes;
  const std::uint32_t end = ip_offset + sealed_bytes + wire.icv_bytes + HB_ESP_MOVED_BACK;
  if (wire.outer_bytes + esp_bytes > options_.mtu || frame.headroom < front ||
      end > frame.length + frame.tailroom)
    return refused(sa, Drop::kTooBig);
  if ((wire.flags & HB_ESP_DECREMENT) != 0 && hb_ip_ttl(frame.data + ip_offset) <= 1)
    return refused(sa, Drop::kTtlExpired);
  const std::uint64_t sequence = sa.sequence.next() + 1;
  if ((wire.flags & HB_ESP_ESN) == 0 && sequence > std::uint64_t{0xffffffff})
    return refused(sa, Drop::kExhausted);
  sa.count(inner_bytes);  // here, so that no packet in flight exceeds a limit
  return {.action = Action::kSeal,
          .sa = static_cast<std::uint16_t>(sa.index),
          .ip_at = static_cast<std::uint16_t>(ip_offset),
          .bytes = static_cast<std::uint16_t>(inner_bytes),
          .sequence = sequence};
}

[[gnu::always_inline]] inline Order Gate::decide(const FrameView& frame) noexcept {
  constexpr std::uint32_t kIp = PlainPacket::kOffset;
  if (options_.direction == Direction::kDecrypt) return decide_any(frame);
  const PlainPacket packet = decode_plain_ip4({frame.data, frame.length});
  if (packet.ip_version == 0 || packet.ip_bytes > frame.length - kIp) return decide_any(frame);
  // With both ways through one instance, ESP may be for us.
  if (packet.protocol == HB_ESP_PROTOCOL && options_.direction == Direction::kBoth)
    return decide_any(frame);
  Sa* const sa = table_->find_outbound(selector_key(packet, frame.data + kIp));
  return sa != nullptr ? seal_with(*sa, frame, kIp, packet.ip_bytes) : decide_any(frame);
}

}  // namespace hb::ipsec
