// What the CPUSyncers counted of a slice: rounds, how full they were, how long they took.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "nf_lib/control_layout.h"

namespace hb {

struct Platform;
struct Instance;

/// Sums over the CPUSyncers; they grow for ever, so a slice's own counts are differences.
struct SliceCounts {
  std::uint64_t rounds = 0, filled = 0, copies = 0, unevaluated = 0;
  std::array<std::uint64_t, kLatencyBuckets> latency{};

  SliceCounts& operator-=(const SliceCounts& other);
  /// @param share  of the rounds that are no slower, 0..1
  /// @return microseconds, within a fifth; 0 if there was no round
  [[nodiscard]] double latency_us(double share) const;
};

/// @param slice  below kMaxSlices
SliceCounts read_slice(const Platform& platform, std::uint32_t slice);

/// Packets that the control process should have seen and did not, in all the GPU NF's lives.
std::uint64_t count_unevaluated(const Platform& platform, const Instance& instance);

/// A GPU NF's slice, as the statistics show it.
nlohmann::json slice_json(const Platform& platform, const Instance& instance);

}  // namespace hb
