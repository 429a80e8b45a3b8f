#include "gpu_host/device_choice.h"

#include <fmt/format.h>

#include <utility>

namespace hb {
namespace {

Result<OpenedDevice> try_device(const BackendEntry& entry, const BackendOptions& options,
                                const RegionFile& region, const MemoryMode* memory) {
  OpenedDevice opened{
      .backend_name = entry.name, .backend = entry.make(), .info = {}, .memory = {}};
  Result<DeviceInfo> info = opened.backend->open(options);
  if (!info) return info.error();
  opened.info = std::move(*info);
  Result<MemoryReport> report = opened.backend->map_region(region, memory);
  if (!report) return report.error();
  opened.memory = std::move(*report);
  return opened;
}

}  // namespace

Result<OpenedDevice> open_device(std::span<const BackendEntry> backends, BackendOptions options,
                                 std::optional<std::uint32_t> device_idx, const RegionFile& region,
                                 const MemoryMode* memory) {
  std::optional<OpenedDevice> staged;
  std::string reasons;
  Error last;
  const auto failed = [&](const BackendEntry& entry, const Error& error) {
    reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", entry.name, error.what);
    last = error;
  };
  for (const BackendEntry& entry : backends) {
    const Result<std::vector<DeviceInfo>> devices = entry.make()->devices(options);
    if (!devices) {
      failed(entry, devices.error());
      continue;
    }
    const auto n = static_cast<std::uint32_t>(devices->size());
    const std::uint32_t end = device_idx ? *device_idx + 1 : n;
    for (options.device_idx = device_idx.value_or(0); options.device_idx < end;
         ++options.device_idx) {
      Result<OpenedDevice> opened = try_device(entry, options, region, memory);
      if (!opened) {
        failed(entry, opened.error());
      } else if (opened->memory.mode != MemoryMode::kStaged) {
        return opened;
      } else if (!staged) {
        staged = std::move(*opened);
        if (memory != nullptr) return std::move(*staged);
      }
    }
  }
  if (staged) return std::move(*staged);
  return backends.size() == 1 ? last : Error{reasons, last.fix};
}

}  // namespace hb
