// Where the headers of one Ethernet frame are: the one decoder of classifier, router and nids.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace hb {

/// How far a frame could be decoded.
enum class DecodeStatus : std::uint8_t {
  kOk,         ///< an IPv4 or IPv6 header, with all its options or extension headers
  kNotIp,      ///< something else after the VLAN tags: ARP, MPLS, PPPoE, a third tag, ...
  kMalformed,  ///< cut short, or header lengths that contradict themselves or the frame
};

/// The upper-layer header that was decoded.
enum class L4Kind : std::uint8_t {
  kNone,  ///< a fragment, another protocol, or a header that is cut short or contradicts itself
  kTcp,
  kUdp,
  kIcmp,    ///< ICMP over IPv4
  kIcmpV6,  ///< ICMPv6 over IPv6
};

/// IP protocol numbers that the decoder knows (IANA "Assigned Internet Protocol Numbers").
inline constexpr std::uint8_t kProtocolHopByHop = 0;
inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolRouting = 43;
inline constexpr std::uint8_t kProtocolFragment = 44;
inline constexpr std::uint8_t kProtocolAh = 51;
inline constexpr std::uint8_t kProtocolIcmpV6 = 58;
inline constexpr std::uint8_t kProtocolNoNext = 59;
inline constexpr std::uint8_t kProtocolDestinationOptions = 60;
inline constexpr std::uint8_t kProtocolMobility = 135;
inline constexpr std::uint8_t kProtocolHip = 139;
inline constexpr std::uint8_t kProtocolShim6 = 140;

inline constexpr std::uint16_t kEthertypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEthertypeIpv6 = 0x86dd;

/// What one frame holds. Offsets count from the frame's first byte; every range lies inside the
/// frame. Fields below `ethertype` mean something only when status is kOk, ports only with
/// has_ports, the L4 range only when l4 is not kNone. Integers are in host order.
struct DecodedPacket {
  DecodeStatus status = DecodeStatus::kMalformed;
  std::uint8_t n_vlan_tags = 0;  ///< 0..2, of types 0x8100, 0x88a8, 0x9100
  std::uint16_t ethertype = 0;   ///< after the VLAN tags; 0 when cut short
  std::uint32_t ip_offset = 0;   ///< the L2 length: 14, 18 or 22

  std::uint8_t ip_version = 0;  ///< 4 or 6
  /// The upper-layer protocol: IPv4's field, or what the IPv6 extension headers end in. For a
  /// fragment, the type of what was fragmented.
  std::uint8_t protocol = 0;
  L4Kind l4 = L4Kind::kNone;
  bool is_fragment = false;     ///< IPv6 "atomic" fragments (RFC 6946) are none
  bool first_fragment = false;  ///< with is_fragment: fragment offset 0
  bool has_ports = false;       ///< l4 is kTcp or kUdp
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  std::array<std::uint8_t, 16> src{};  ///< network order; an IPv4 address is the first 4 bytes
  std::array<std::uint8_t, 16> dst{};

  /// The bytes after the IPv4 header with its options, or after the IPv6 header and its extension
  /// headers (of a fragment: after the fragment header), cut to the length the IP header states
  /// and to the frame.
  std::uint32_t ip_payload_offset = 0;
  std::uint32_t ip_payload_length = 0;
  std::uint32_t tcp_flags_offset = 0;  ///< of the flags byte; kTcp only
  /// The bytes after the TCP header with options, the UDP header, or the first 8 bytes of ICMP;
  /// for UDP also cut to the length the UDP header states.
  std::uint32_t l4_payload_offset = 0;
  std::uint32_t l4_payload_length = 0;

  /// True when the IP header was decoded.
  [[nodiscard]] bool ok() const noexcept { return status == DecodeStatus::kOk; }
};

/// Decodes Ethernet II, up to two VLAN tags, IPv4, IPv6 with extension headers, TCP, UDP, ICMP.
///
/// Every byte is bounds-checked, checksums are not looked at, nothing is allocated: for any thread
/// and for hostile input. Choices where the RFCs leave one:
///   - IPv4 total length 0 (segmentation offload) and IPv6 payload length 0 with another next
///     header than "none" (RFC 2675 or offload) mean the whole frame;
///   - UDP length 0 means all of the IP payload (RFC 2675 section 4); 1..7 is no UDP header;
///   - a TCP, UDP or ICMP header that is cut short leaves status kOk and l4 kNone.
/// @param frame  the captured bytes, from the destination MAC address on
[[nodiscard]] DecodedPacket decode_packet(std::span<const std::uint8_t> frame) noexcept;

}  // namespace hb
