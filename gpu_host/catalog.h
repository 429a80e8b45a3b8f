// The GPU NFs that the persistent program holds: names, table checks, self-test vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gpu_host/round_hook.h"
#include "kernels/layout.h"

namespace hb {

/// One packet whose answer is known.
struct SelfTestCase {
  std::vector<std::uint8_t> packet;
  HbSlotWords words{};
  std::uint32_t verdict = HB_VERDICT_NEXT;
  std::uint32_t flags = 0;
  std::vector<std::uint8_t> expected;  ///< the packet afterwards
};

struct SelfTest {
  std::vector<std::byte> table;  ///< may be empty
  std::vector<SelfTestCase> cases;
};

/// One GPU NF.
struct KernelEntry {
  std::string_view name;
  std::uint32_t number = 0;  ///< HB_GPU_NF_*
  /// The kernel may change packets' bytes; staged mode copies them back.
  bool writes_packets = false;
  /// Bytes by which it may grow a packet at either end; staged mode copies that much more.
  std::uint32_t grows_front = 0;
  std::uint32_t grows_back = 0;
  /// Its rounds have private words, which the hook that this makes writes; null: they have none.
  MakeHook make_hook = nullptr;
  /// It takes work-groups of a multiple of min_lanes work-items, and at most so many.
  std::uint32_t min_lanes = 1;
  std::uint32_t max_lanes = ~0u;
  /// Whether a work-item can read this table without leaving it, whatever the packets hold.
  bool (*table_valid)(std::span<const std::byte> table) = nullptr;
  SelfTest (*self_test)() = nullptr;

  [[nodiscard]] bool fits(std::uint32_t work_group_size) const {
    return work_group_size % min_lanes == 0 && work_group_size <= max_lanes;
  }
};

/// All GPU NFs.
std::span<const KernelEntry> kernel_catalog();

/// @return null if there is no kernel of that name
const KernelEntry* find_kernel(std::string_view name);

}  // namespace hb
