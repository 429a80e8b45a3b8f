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

/// Belongs to one version of an NF's table. The CPUSyncer that serves the slice calls before() and
/// after(); an NF with a hook has one endpoint, so that is one thread.
class RoundHook {
 public:
  virtual ~RoundHook() = default;
  /// Packets that are about to be handed over, in the order in which they will leave.
  /// @param words  one for each: what the kernel is to know of it
  virtual void before(std::span<const HookedPacket> packets, HbSlotWords* words) noexcept = 0;
  /// A packet has come back with an answer that makes sense; in the same order.
  /// @param words    as before() wrote them
  /// @param verdict  the device's
  /// @param packet   as the device left it
  /// @return the verdict that holds
  virtual Verdict after(const HbSlotWords& words, Verdict verdict,
                        std::span<const std::uint8_t> packet) noexcept = 0;
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
