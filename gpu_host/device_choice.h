// The choice among the devices of several programming interfaces.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "gpu_host/backend.h"

namespace hb {

/// A device with its program loaded and the region mapped.
struct OpenedDevice {
  std::string backend_name;
  std::unique_ptr<Backend> backend;
  DeviceInfo info;
  MemoryReport memory;
};

/// Opens the first device whose sight of the region passes the litmus test: of all backends given,
/// in their order. If none passes, the first that works at all, staged.
/// @param device_idx  of each backend; nullopt: all its devices in their order
/// @param memory      this mode alone; null: all
/// @return an Error with every device's reason if none works
Result<OpenedDevice> open_device(std::span<const BackendEntry> backends, BackendOptions options,
                                 std::optional<std::uint32_t> device_idx, const RegionFile& region,
                                 const MemoryMode* memory);

}  // namespace hb
