// The run loop of a GPU NF's control process: hands copies to the NF, and between two copies what
// became of a replacement of its table.
#pragma once

#include <atomic>
#include <vector>

#include "nf_lib/copy_queue.h"
#include "nf_lib/nf.h"

namespace hb {

/// turn() and end() belong to the run loop's thread, replaced() to the reload's.
class GpuLoop {
 public:
  /// @param queues  one from each CPUSyncer
  GpuLoop(GpuNetworkFunction& nf, std::vector<CopyQueue> queues)
      : nf_(nf), queues_(std::move(queues)) {}

  /// Hands over what waits, but no more than a queue holds of each.
  /// @return false if there was nothing to do
  bool turn() noexcept;

  /// The last turn: the slice has been given back, so no copy follows.
  void end() noexcept;

  /// Has the run loop tell the NF what became of a replacement, once it has handed over every copy
  /// that is in the queues now. Returns when it has; after end() it tells the NF itself.
  void replaced(bool in_force) noexcept;

 private:
  enum class Outcome : std::uint32_t { kNone, kInForce, kFailed, kOver };

  bool take(CopyQueue& queue) noexcept;
  void tell_outcome(Outcome outcome) noexcept;

  GpuNetworkFunction& nf_;
  std::vector<CopyQueue> queues_;
  /// What the reload's thread wants told; kOver once the run loop tells nothing any more.
  std::atomic<Outcome> outcome_{Outcome::kNone};
};

}  // namespace hb
