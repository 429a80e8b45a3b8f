// The GPU NFs that the persistent program holds: names, table checks, self-test vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/layout.h"

namespace hb {

/// One packet whose answer is known.
struct SelfTestCase {
  std::vector<std::uint8_t> packet;
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
  /// Whether a work-item can read this table without leaving it, whatever the packets hold.
  bool (*table_valid)(std::span<const std::byte> table) = nullptr;
  SelfTest (*self_test)() = nullptr;
};

/// All GPU NFs.
std::span<const KernelEntry> kernel_catalog();

/// @return null if there is no kernel of that name
const KernelEntry* find_kernel(std::string_view name);

}  // namespace hb
