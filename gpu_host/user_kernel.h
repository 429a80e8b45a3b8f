// A user's kernel as gpu_host has it: the file, its table, and its entry beside the catalog's.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "gpu_host/catalog.h"
#include "nf_lib/kernel_file.h"

namespace hb {

struct UserKernel {
  KernelFile file;
  std::vector<std::byte> table;  ///< the first one; the kernel is tried out with it

  [[nodiscard]] KernelEntry entry() const {
    return {.name = "user",
            .number = HB_GPU_NF_USER,
            .writes_packets = file.writes_packets,
            .grows_front = file.grows_front,
            .grows_back = file.grows_back,
            .table_valid = [](std::span<const std::byte>) { return true; },
            .self_test = nullptr};
  }
};

}  // namespace hb
