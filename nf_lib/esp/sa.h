// What an administrator configures: security associations and policies (RFC 4301 section 4.4).
// Nothing here holds a key.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nf_lib/esp/address.h"

namespace hb::ipsec {

/// SAs of one file.
inline constexpr std::size_t kMaxSas = 4096;
inline constexpr std::uint32_t kMaxWindow = 4096;

/// Names an SA and its key, so that another key under the same SPI starts anew: part of a hash over
/// both, from which no key can be found. Never 0.
using SaId = std::array<std::uint64_t, 2>;

/// The transforms that both twins have.
enum class Algorithm : std::uint8_t {
  kAesCbcSha1,    ///< RFC 3602 with RFC 2404: HMAC-SHA1-96
  kAesCbcSha256,  ///< RFC 3602 with RFC 4868: HMAC-SHA-256-128
  kAesGcm,        ///< RFC 4106 with a 16-byte ICV
};

inline constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

/// RFC 4301 section 4.4.2.1: at soft limits a line is logged, from hard ones on packets are
/// dropped.
struct Limits {
  std::uint64_t soft_bytes = kNoLimit, hard_bytes = kNoLimit;
  std::uint64_t soft_packets = kNoLimit, hard_packets = kNoLimit;
  std::uint64_t soft_seconds = 0, hard_seconds = 0;          ///< since it was loaded; 0: none
  std::uint64_t soft_use_seconds = 0, hard_use_seconds = 0;  ///< since its first packet; 0: none
  bool operator==(const Limits&) const = default;
};

/// Flags of `ip xfrm state`.
struct SaFlags {
  bool esn = false;         ///< 64-bit sequence numbers, RFC 4304
  bool noecn = false;       ///< ECN is not carried over (RFC 6040 compatibility mode)
  bool nopmtudisc = false;  ///< outer DF is clear, whatever the inner one says
  bool decap_dscp = false;  ///< the inner DSCP becomes the outer one
  bool zero_dscp = false;   ///< `extra-flag dont-encap-dscp`: the outer DSCP is 0
  bool operator==(const SaFlags&) const = default;
};

/// One SA as configured, but for its keys.
struct SaParameters {
  IpAddress src, dst;
  std::uint32_t spi = 0;
  std::uint32_t reqid = 0;
  Algorithm algorithm = Algorithm::kAesGcm;
  std::uint32_t replay_window = 0;  ///< packets; 0: replays are not looked for
  SaFlags flags;
  Limits limits;
  std::optional<Selector> selector;
  std::uint64_t last_received = 0;  ///< sequence number at which the other side stands
  std::uint64_t last_sent = 0;      ///< sequence number up to which this side has sent
  std::uint32_t line = 0;
};

enum class PolicyDirection : std::uint8_t { kOut, kIn };
enum class PolicyAction : std::uint8_t { kProtect, kBypass, kBlock };

/// One policy. `dir fwd` counts as `dir in`: what is decrypted here is forwarded.
struct PolicyConfig {
  Selector selector;
  PolicyDirection direction = PolicyDirection::kOut;
  PolicyAction action = PolicyAction::kProtect;
  std::uint32_t priority = 0;        ///< the lowest one wins, then the first in the file
  IpAddress tunnel_src, tunnel_dst;  ///< kProtect; version 0: any
  std::uint32_t spi = 0;             ///< 0: any
  std::uint32_t reqid = 0;           ///< 0: any
  bool optional = false;             ///< `level use`: inbound packets may come unprotected
  std::uint32_t line = 0;
};

/// Which way packets go through the NF.
enum class Direction : std::uint8_t { kEncrypt, kDecrypt, kBoth };

struct GateOptions {
  Direction direction = Direction::kBoth;
  std::uint8_t ttl = 64;  ///< of outer headers
  bool decrement_ttl = false;
  std::uint32_t mtu = 65535;  ///< the largest outer packet
};

/// All that decides on packets, whoever has the keys.
struct GateConfig {
  std::string name;  ///< the file's, for messages
  GateOptions options;
  std::vector<SaParameters> sas;
  std::vector<SaId> ids;  ///< of the SAs, same length
  std::vector<PolicyConfig> policies;
};

}  // namespace hb::ipsec
