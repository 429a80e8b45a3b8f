// What an NF wants done on the host with each packet of its rounds: state that packets change in
// their order (sequence numbers, replay windows) lives here, not on the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/layout.h"
#include "nf_lib/result.h"
#include "nf_lib/verdict.h"

namespace hb {

/// A packet on its way to the device.
struct HookedPacket {
  const std::uint8_t* data;
  std::uint32_t length;
  std::uint32_t headroom;
  std::uint32_t tailroom;
};

/// Packets that have come back from it, in the order in which they went. All arrays are as long.
struct AnsweredBurst {
  std::uint64_t which;              ///< bit i: packet i's answer makes sense; no other is looked at
  const HbSlotWords* words;         ///< as before() wrote them
  const std::uint8_t* const* data;  ///< the packets, as the device left them
  const std::uint16_t* lengths;
  Verdict* verdicts;  ///< the device's; they become those that hold
};

/// Belongs to one version of an NF's table. The CPUSyncer that serves the slice calls before() and
/// after(); an NF with a hook has one endpoint, so that is one thread.
class RoundHook {
 public:
  virtual ~RoundHook() = default;
  /// Packets that are about to be handed over, in the order in which they will leave. Whoever calls
  /// has prefetched their first lines.
  /// @param words  one for each: what the kernel is to know of it
  virtual void before(std::span<const HookedPacket> packets, HbSlotWords* words) noexcept = 0;
  /// Packets have come back; at most 64, in the same order.
  virtual void after(const AnsweredBurst& burst) noexcept = 0;
  /// Now and then, on the control thread, beside the others.
  /// @return lines to log
  virtual std::vector<std::string> tick(std::uint64_t /*wall_clock_ns*/) { return {}; }
};

/// Makes the hook for a table that its kernel's check has passed, and fills in what of the table
/// the host alone knows. Before the table goes to the device.
/// @param surviving  the service's block; empty if it declared none
using MakeHook = Result<std::unique_ptr<RoundHook>> (*)(std::span<std::byte> table,
                                                        std::span<std::byte> surviving);

}  // namespace hb
