// One rule, as the parser leaves it and the evaluator reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nfs/nids/address_set.h"
#include "nfs/nids/packet_tests.h"
#include "nfs/nids/payload_steps.h"
#include "nfs/nids/port_set.h"

namespace hb::nids {

/// What a match does, in the order in which Suricata looks at rules: a `pass` ends the rest.
enum class Action : std::uint8_t { kPass, kDrop, kReject, kAlert };

/// What the rule's header names as protocol.
enum class RuleProtocol : std::uint8_t {
  kIp,  ///< every decoded IP packet, fragments and unknown protocols too
  kTcp,
  kUdp,
  kIcmp,  ///< ICMP and ICMPv6
};
inline constexpr std::size_t kNRuleProtocols = 4;

struct RuleHeader {
  RuleProtocol protocol = RuleProtocol::kIp;
  AddressSet src;
  AddressSet dst;
  PortSet src_ports;  ///< `any` matches packets without ports too
  PortSet dst_ports;
  bool bidirectional = false;  ///< `<>`: source and destination may be swapped together
};

/// `threshold` and `detection_filter`: how often a rule that matches gives an alert.
struct Threshold {
  enum class Kind : std::uint8_t {
    kLimit,      ///< the first `count` matches of each period
    kThreshold,  ///< every `count`-th match of a period
    kBoth,       ///< once a period, at the `count`-th match
    kFilter,     ///< detection_filter: all matches of a period after the first `count`
  };
  enum class Track : std::uint8_t { kBySource, kByDestination, kByBoth, kByRule };
  Kind kind = Kind::kLimit;
  Track track = Track::kBySource;
  std::uint32_t count = 1;
  std::uint32_t seconds = 1;
};

struct Rule {
  Action action = Action::kAlert;
  std::uint32_t gid = 1;
  std::uint32_t sid = 0;
  std::uint32_t rev = 0;
  std::uint32_t priority = 3;
  std::string msg;
  std::string classtype;
  RuleHeader header;
  PacketTests tests;
  std::vector<BufferSteps> buffers;  ///< all must match; none: the header and the tests decide
  std::optional<Threshold> threshold;
};

/// A place in Rule::buffers.
struct ContentPlace {
  std::size_t buffer = 0;
  std::size_t step = 0;
};

/// The content that is searched first for all rules at once: of those that are not negated and lie
/// in the packet's payload, the one that `fast_pattern` names, or else the longest.
/// @return nullopt if the rule has none: then each packet that fits its header is evaluated
std::optional<ContentPlace> fast_content_place(const Rule& rule) noexcept;

/// The bytes of that content which are searched: all, or what `fast_pattern:offset,length` says.
std::string_view fast_bytes(const Content& content) noexcept;

}  // namespace hb::nids
