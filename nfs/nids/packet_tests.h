// What a rule asks of a packet's headers, beside addresses and ports.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nf_lib/decode.h"

namespace hb::nids {

/// `N`, `!N`, `<N`, `>N`, `<=N`, `>=N`, `A<>B` (both ends excluded) as an inclusive range.
struct NumberTest {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  bool negated = false;
  [[nodiscard]] bool matches(std::uint32_t v) const noexcept {
    return (v >= first && v <= last) != negated;
  }
};

/// `flags`: Suricata's, on TCP's flags byte.
struct TcpFlagsTest {
  enum class Mode : std::uint8_t { kExactly, kAtLeast, kAnyOf, kNot };
  Mode mode = Mode::kExactly;
  std::uint8_t flags = 0;
  std::uint8_t looked_at = 0xff;  ///< without the bits after the comma
  [[nodiscard]] bool matches(std::uint8_t packet_flags) const noexcept;
};

/// `flow`, as far as one packet shows it: a condition fails only where the packet disproves it.
struct FlowTest {
  bool to_server = false;
  bool to_client = false;
  bool established = false;
  bool only_fragments = false;
  bool no_fragments = false;
  [[nodiscard]] bool matches(const DecodedPacket& packet, std::uint8_t tcp_flags) const noexcept;
};

struct PacketTests {
  std::optional<NumberTest> dsize;  ///< bytes of the buffer kPayload
  std::optional<NumberTest> ttl;    ///< IPv6: hop limit
  std::optional<NumberTest> itype;  ///< ICMP and ICMPv6
  std::optional<NumberTest> icode;
  std::optional<TcpFlagsTest> flags;
  std::optional<FlowTest> flow;
  std::vector<NumberTest> ip_protocols;  ///< all must match
  std::uint8_t ip_version = 0;           ///< 4 or 6; 0: both

  /// @param frame    the captured bytes
  /// @param packet   decoded, status kOk
  /// @param payload  the rule's payload
  [[nodiscard]] bool match(std::span<const std::uint8_t> frame, const DecodedPacket& packet,
                           std::span<const std::uint8_t> payload) const noexcept;
};

}  // namespace hb::nids
