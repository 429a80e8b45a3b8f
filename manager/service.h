// A service: the name by which routes lead to it, and the instances that offer it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "manager/instance.h"
#include "nf_lib/control_layout.h"

namespace hb {

/// There is one for every service name that a routes file or a registration has mentioned; its
/// index in Platform::services is its id. What its first process declares holds for those that join
/// it.
struct Service {
  std::string name;
  std::uint32_t id = 0;
  std::vector<Instance*> instances;  ///< by number; the platform owns them

  std::string program;  ///< the NF program that offers it
  Compute compute = Compute::kCpu;
  InstanceChoice choice = InstanceChoice::kFlowHash;
  std::uint16_t key_offset = 0;
  std::uint8_t key_bytes = 0;
  std::vector<std::string> reasons;
  std::uint64_t start_order = 0;  ///< its place in the default chain; 0: it was never started

  /// The CPUSyncer that gets all packets of a GPU NF of which there is one place; such services are
  /// spread over them.
  [[nodiscard]] std::optional<std::uint32_t> only_syncer(std::uint32_t n_syncers) const noexcept {
    if (compute != Compute::kGpu || choice != InstanceChoice::kSingle) return std::nullopt;
    return id % n_syncers;
  }
  [[nodiscard]] bool in_use() const noexcept {
    return std::ranges::any_of(instances, [](const Instance* i) { return i->in_use(); });
  }
  [[nodiscard]] bool routed() const noexcept {
    return std::ranges::any_of(instances, [](const Instance* i) { return i->routed; });
  }
};

inline std::string Instance::name() const { return service->name + '/' + std::to_string(number); }

}  // namespace hb
