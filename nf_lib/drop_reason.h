// Why the platform itself drops packets. An NF's own reasons follow at kNfReasons.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hb {

enum class DropReason : std::uint8_t {
  kNone = 0,
  kUnrouted,       ///< no route for its type from where it is
  kRouteDrop,      ///< the route says drop
  kMissingNf,      ///< the next NF is not running
  kRingFull,       ///< the next endpoint's ring is full
  kTooBig,         ///< larger than the pool's packets
  kBadVerdict,     ///< an NF or a kernel answered something that makes no sense
  kHeldFull,       ///< the NF's held area is full
  kHeldAtExit,     ///< still held when the platform ended
  kShutdown,       ///< still on its way when the platform was told to end
  kLostInCrash,    ///< in the hands of a process that died; reported as lost_in_crash
  kBadPacket,      ///< header fields that a wild write left inconsistent
  kNfFailed,       ///< the NF's own reason was out of range
  kReloadHold,     ///< routes or flows changed, and the hold queue was full
  kOverloadEarly,  ///< an NF further on cannot keep up (--overload early)
  kUnjudged,       ///< a GPU NF's control process was to say what becomes of it, and could not
  kCount
};

inline constexpr std::uint8_t kNfReasons = 32;

inline constexpr std::array<std::string_view, static_cast<std::size_t>(DropReason::kCount)>
    kDropReasonNames = {"none",         "unrouted",    "route_drop",     "missing_nf",
                        "ring_full",    "too_big",     "bad_verdict",    "held_full",
                        "held_at_exit", "shutdown",    "lost_in_crash",  "bad_packet",
                        "nf_failed",    "reload_hold", "overload_early", "unjudged"};

}  // namespace hb
