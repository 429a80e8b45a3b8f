// Compile-time bounds of the shared layouts. Changing one changes the layout hash, so that programs
// built with different bounds refuse each other.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hb {

/// Packets one call handles; a burst's packets are named by the bits of one 64-bit mask.
inline constexpr std::uint32_t kMaxBurst = 64;
inline constexpr std::uint32_t kMaxContexts = 128;
inline constexpr std::uint32_t kMaxEndpoints = 256;
inline constexpr std::uint32_t kMaxServices = 64;
/// Not above kMaxServices: drops are counted by either id in one table.
inline constexpr std::uint32_t kMaxInstances = 64;
static_assert(kMaxInstances <= kMaxServices);
inline constexpr std::uint32_t kMaxPorts = 16;
inline constexpr std::uint32_t kMaxTypes = 64;
inline constexpr std::uint32_t kMaxSyncers = 8;
/// GPU NF instances that can run at once; each has a slice of the work-groups.
inline constexpr std::uint32_t kMaxSlices = 8;
/// Endpoints among which a service's packets are spread: instances, or CPUSyncers of a GPU NF.
inline constexpr std::uint32_t kMaxTargets = 16;
/// Drop reasons an NF can declare.
inline constexpr std::uint32_t kMaxNfReasons = 32;
/// Counters of its own that an NF can declare.
inline constexpr std::uint32_t kMaxNfCounters = 8;
/// Slots of a context's held area.
inline constexpr std::uint32_t kHeldSlots = 1024;
inline constexpr std::size_t kNameBytes = 32;
/// Data is grouped by writer, each group on its own range: x86 prefetches lines in pairs, and the
/// L2 lines of NVIDIA's devices are 128 bytes.
inline constexpr std::size_t kFalseSharingRange = 128;
/// Where the SVM region lies in every process. TSan reserves that range for its shadow.
#ifdef HB_TSAN
inline constexpr std::uint64_t kRegionBase = 0x7e8000000000;
#else
inline constexpr std::uint64_t kRegionBase = 0x200000000000;
#endif

}  // namespace hb
