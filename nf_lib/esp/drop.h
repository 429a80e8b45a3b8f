// Why the NF drops a packet; Verdict::drop's argument.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "kernels/esp_layout.h"

namespace hb::ipsec {

enum class Drop : std::uint32_t {
  kNotIp,           ///< no IPv4 or IPv6 packet
  kMalformed,       ///< headers that contradict themselves or the frame; an ESP packet cut short
  kFragment,        ///< to be opened, and a fragment: nothing here reassembles
  kNoPolicy,        ///< to be sealed, and no policy is about it
  kBlocked,         ///< a policy says block
  kNotEsp,          ///< came unprotected, and no policy lets it through
  kNoSa,            ///< no SA has this SPI and destination, or the policy's SA is missing
  kReplay,          ///< its sequence number has come before or is too old
  kBadIcv,          ///< forged, damaged, or the other side has another key
  kBadPadding,      ///< authentic, but the padding is not 1, 2, 3, ...
  kBadInner,        ///< authentic, but what was sealed is no IP packet
  kPolicyMismatch,  ///< authentic, but not traffic that may come through this SA
  kCongestion,      ///< congestion was met on the way that the packet inside can't tell of
  kDummy,           ///< a dummy packet that hides the traffic's pattern (RFC 4303 section 2.6)
  kTooBig,          ///< would exceed --mtu or its buffer
  kTtlExpired,      ///< with --decrement-ttl: TTL or hop limit 0 or 1
  kLifetime,        ///< the SA's hard limit is reached
  kExhausted,       ///< the SA's sequence numbers are used up
  kCount
};

// Those that the device finds.
static_assert(static_cast<std::uint32_t>(Drop::kBadIcv) == HB_ESP_DROP_BAD_ICV);
static_assert(static_cast<std::uint32_t>(Drop::kBadPadding) == HB_ESP_DROP_BAD_PADDING);
static_assert(static_cast<std::uint32_t>(Drop::kBadInner) == HB_ESP_DROP_BAD_INNER);
static_assert(static_cast<std::uint32_t>(Drop::kCongestion) == HB_ESP_DROP_CONGESTION);
static_assert(static_cast<std::uint32_t>(Drop::kDummy) == HB_ESP_DROP_DUMMY);
static_assert(static_cast<std::uint32_t>(Drop::kTtlExpired) == HB_ESP_DROP_TTL_EXPIRED);

inline constexpr std::array<std::string_view, static_cast<std::size_t>(Drop::kCount)> kDropNames = {
    "not_ip",     "malformed", "fragment", "no_policy",   "blocked",   "not_esp",
    "no_sa",      "replay",    "bad_icv",  "bad_padding", "bad_inner", "policy_mismatch",
    "congestion", "dummy",     "too_big",  "ttl_expired", "lifetime",  "exhausted"};

}  // namespace hb::ipsec
