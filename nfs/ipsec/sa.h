// What an administrator configures: security associations and policies (RFC 4301 section 4.4).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nfs/ipsec/address.h"
#include "nfs/ipsec/secret_memory.h"

namespace hb::ipsec {

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

/// One SA as configured. It holds keys: only ever in secret memory.
struct SaConfig {
  IpAddress src, dst;
  std::uint32_t spi = 0;
  std::uint32_t reqid = 0;
  Algorithm algorithm = Algorithm::kAesGcm;
  std::array<std::uint8_t, 32> cipher_key{};
  std::uint32_t cipher_key_bytes = 0;  ///< 16 or 32
  std::array<std::uint8_t, 4> salt{};  ///< kAesGcm
  std::array<std::uint8_t, 64> auth_key{};
  std::uint32_t auth_key_bytes = 0;  ///< of the CBC algorithms
  std::uint32_t replay_window = 0;   ///< packets; 0: replays are not looked for
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

struct SaFile {
  std::string name;
  SecretVector<SaConfig> sas;
  std::vector<PolicyConfig> policies;
  std::vector<std::string> warnings;  ///< file:line and what was ignored
};

}  // namespace hb::ipsec
