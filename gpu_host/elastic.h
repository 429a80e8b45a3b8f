// Which slice should have more work-groups, by what waits in front of it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "nf_lib/limits.h"

namespace hb {

/// A slice as the CPUSyncers see it now.
struct SliceLoad {
  std::uint32_t slice = 0;
  std::uint32_t n_work_groups = 1;
  std::uint64_t backlog = 0;  ///< packets that wait in its rings
};

struct WorkGroupMove {
  std::uint32_t to = 0;
  std::optional<std::uint32_t> from;  ///< that could spare one, if none is free
};

/// Looks at samples taken at a steady pace and asks for one move at a time. A slice is short of
/// work-groups when more than a round for each of them has waited in kPatience samples in a row;
/// one can spare a work-group when less than a quarter of that waits, for each, so that the two do
/// not take turns.
class Elastic {
 public:
  /// @param round      packets of a full round
  /// @param n_syncers  a slice never gets smaller than that
  Elastic(std::uint32_t round, std::uint32_t n_syncers) : round_(round), n_syncers_(n_syncers) {}

  std::optional<WorkGroupMove> sample(const std::vector<SliceLoad>& loads);

 private:
  static constexpr std::uint32_t kPatience = 3;
  /// Samples after a move in which its effect is waited for.
  static constexpr std::uint32_t kRest = 3;

  std::uint32_t round_;
  std::uint32_t n_syncers_;
  std::array<std::uint32_t, kMaxSlices> short_for_{};  ///< samples in a row
  std::uint32_t resting_ = 0;
};

}  // namespace hb
