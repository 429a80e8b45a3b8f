// The block that a launch of the persistent loop reads: kernels/layout.h's HbLaunch and its list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "gpu_host/backend.h"

namespace hb {

/// Everything of a launch that does not depend on where the queues lie.
/// @param idle_polls, max_rounds  as in HbLaunch
inline HbLaunch launch_of(const SliceSpec& spec, std::uint32_t n_rounds, std::uint32_t idle_polls,
                          std::uint32_t max_rounds) {
  HbLaunch launch{};
  launch.nf = spec.kernel->number;
  launch.n_rounds = n_rounds;
  launch.idle_polls = idle_polls;
  launch.max_rounds = max_rounds;
  launch.packet_first = spec.bounds.first;
  launch.packet_limit = spec.bounds.limit;
  launch.grows_front = spec.kernel->grows_front;
  launch.grows_back = spec.kernel->grows_back;
  launch.table_bytes = spec.table_bytes;
  launch.n_work_groups = static_cast<std::uint32_t>(spec.work_groups.size());
  return launch;
}

/// The launch of a slice in place over a region.
inline HbLaunch direct_launch(const SliceSpec& spec, const RegionLayout& layout,
                              std::uint32_t idle_polls, std::uint32_t max_rounds) {
  HbLaunch launch = launch_of(spec, layout.n_rounds, idle_polls, max_rounds);
  launch.queue_controls = layout.queue_controls;
  launch.slots = layout.slots;
  launch.results = layout.results;
  launch.words = layout.words;
  launch.slice_control = layout.slice_controls + spec.slice * sizeof(HbSliceControl);
  launch.region_bytes = layout.total_bytes;
  return launch;
}

/// The bytes to give to the device.
/// @param work_groups  launch.n_work_groups numbers
inline std::vector<std::byte> launch_block(const HbLaunch& launch,
                                           std::span<const std::uint32_t> work_groups) {
  std::vector<std::byte> block(sizeof(launch) + work_groups.size_bytes());
  std::memcpy(block.data(), &launch, sizeof(launch));
  std::memcpy(block.data() + sizeof(launch), work_groups.data(), work_groups.size_bytes());
  return block;
}

}  // namespace hb
