// The auditor: places every packet of the pool, and says which are nowhere or in two places.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "manager/platform.h"

namespace hb {

struct AuditReport {
  bool ok = false;
  /// False if packets moved while it looked: then `ok` means only that nothing impossible was seen.
  bool quiesced = false;
  std::uint32_t pool = 0, port = 0, ring = 0, burst = 0, held = 0, slot = 0;
  std::uint32_t waits = 0;      ///< in hold queues
  std::uint32_t lost = 0;       ///< out by the book, found nowhere
  std::uint32_t duplicate = 0;  ///< found in two places, or found although home by the book
  std::uint32_t foreign = 0;    ///< pointers that name no packet
  /// Packets on their way: ring + burst + slot of those that were received or originated.
  [[nodiscard]] std::uint32_t in_flight() const noexcept {
    return ring + burst + slot + held + waits;
  }
};

/// Places every packet. RX must be paused; the caller waits for packets to settle first.
/// @param ports_closed  no port can have a packet: those not in the pool are lost
AuditReport audit_packets(const Platform& platform, bool ports_closed);

nlohmann::json to_json(const AuditReport& report);

}  // namespace hb
