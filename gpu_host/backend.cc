#include "gpu_host/backend.h"

#include <fmt/format.h>

#include <array>

namespace hb {
namespace {

constexpr std::array kModes = {MemoryMode::kSvmSystem, MemoryMode::kSvmAlias, MemoryMode::kHostPtr,
                               MemoryMode::kRegistered, MemoryMode::kStaged};

}  // namespace

const char* to_string(MemoryMode mode) {
  switch (mode) {
    case MemoryMode::kSvmSystem:
      return "svm-system";
    case MemoryMode::kSvmAlias:
      return "svm-alias";
    case MemoryMode::kHostPtr:
      return "host-ptr";
    case MemoryMode::kRegistered:
      return "registered";
    case MemoryMode::kStaged:
      break;
  }
  return "staged";
}

Result<MemoryMode> parse_memory_mode(const std::string& name) {
  for (const MemoryMode mode : kModes)
    if (name == to_string(mode)) return mode;
  return Error{fmt::format("there is no memory mode '{}'", name),
               "use auto, svm-system, svm-alias, host-ptr, registered or staged"};
}

}  // namespace hb
