// Tries the steps of a rule on one buffer: Suricata's meaning, without its backtracking.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nf_lib/result.h"
#include "nfs/nids/payload_steps.h"
#include "nfs/nids/pcre_pattern.h"

namespace hb::nids {

/// What a thread needs to try steps.
class PayloadScratch {
 public:
  PayloadScratch() = default;
  static Result<PayloadScratch> make();

  /// Times that a rule did not match because a pcre was given up, or was tried at too many places.
  [[nodiscard]] std::uint64_t n_given_up() const noexcept { return n_given_up_; }

 private:
  friend class PayloadMatch;
  // Places in the buffer that the steps so far can have reached, ascending, each once. Room for
  // every place of the longest packet.
  std::vector<std::uint32_t> places_;
  std::vector<std::uint32_t> next_;
  PcreScratch pcre_;
  std::uint64_t n_given_up_ = 0;
};

/// Longer buffers are cut: no packet is that long.
inline constexpr std::size_t kMaxBufferBytes = 65535;

/// True when there are places for all steps such that each holds, each relative one from the place
/// that the one before it reached.
///
/// Where a content or a pcre fits at several places, all are followed at once, as a sorted set of
/// the places reached: the answer is Suricata's with backtracking through every combination, the
/// time is at most one pass over the buffer for each content, whatever the packet holds.
/// @param steps  nothing of it is allocated or changed
[[nodiscard]] bool steps_match(std::span<const PayloadStep> steps,
                               std::span<const std::uint8_t> bytes,
                               PayloadScratch& scratch) noexcept;

}  // namespace hb::nids
