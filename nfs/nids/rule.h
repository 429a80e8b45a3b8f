// One rule, as the parser leaves it and the evaluator reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "nfs/nids/address_set.h"
#include "nfs/nids/port_set.h"

namespace hb::nids {

/// What the rule's header names as protocol.
enum class RuleProtocol : std::uint8_t {
  kIp,  ///< every decoded IP packet, fragments and unknown protocols too
  kTcp,
  kUdp,
  kIcmp,  ///< ICMP and ICMPv6
};
inline constexpr std::size_t kNRuleProtocols = 4;

/// The bytes that a content is searched in. Named buffers are to come here.
enum class Buffer : std::uint8_t {
  kPayload,  ///< the L4 payload; for `ip` rules the IP payload
};

/// A string that the packet must hold.
struct Content {
  std::string bytes;    ///< as the rule means it: escapes and |hex| are resolved; not empty
  bool nocase = false;  ///< ASCII letters match in both cases; `bytes` is in lower case then
  Buffer buffer = Buffer::kPayload;
};

struct RuleHeader {
  RuleProtocol protocol = RuleProtocol::kIp;
  AddressSet src;
  AddressSet dst;
  PortSet src_ports;  ///< `any` matches packets without ports too
  PortSet dst_ports;
  bool bidirectional = false;  ///< `<>`: source and destination may be swapped together
};

struct Rule {
  std::uint32_t gid = 1;
  std::uint32_t sid = 0;
  std::uint32_t rev = 0;
  std::string msg;
  RuleHeader header;
  std::vector<Content> contents;  ///< all must be found, each for itself
};

/// kNoFastContent, or the content that is searched first for all rules at once: the longest.
inline constexpr std::size_t kNoFastContent = static_cast<std::size_t>(-1);
inline std::size_t fast_content_idx(const Rule& rule) noexcept {
  std::size_t best = kNoFastContent;
  for (std::size_t i = 0; i < rule.contents.size(); ++i) {
    if (best == kNoFastContent ||
        rule.contents[i].bytes.size() > rule.contents[best].bytes.size()) {
      best = i;
    }
  }
  return best;
}

/// ASCII only, whatever the locale: what `nocase` means in rules.
constexpr char to_lower_ascii(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace hb::nids
