// Contexts, endpoints, slices and work-groups: who has which, and what is free.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "nf_lib/control_layout.h"
#include "nf_lib/ids.h"

namespace hb {

/// Gives out numbers and keeps the registry's entries of them. Control thread only.
class Resources {
 public:
  /// @param n_ports  endpoints 1..n_ports are theirs for good
  Resources(Registry& registry, std::uint32_t n_ports);

  [[nodiscard]] bool has_free_context() const;
  /// Takes a context and lets it produce for every endpoint.
  std::optional<ContextId> take_context(ContextRole role, int pid, std::uint32_t instance);
  /// Gives it back. Its rings may still hold packets; they stay polled.
  void free_context(ContextId context);

  std::optional<EndpointId> take_endpoint();
  void free_endpoint(EndpointId endpoint);

  std::optional<std::uint32_t> take_slice();
  void free_slice(std::uint32_t slice) { slices_[slice] = false; }

  /// Work-groups for a slice that has some already. Work-group g belongs to CPUSyncer g modulo
  /// n_syncers; the slice gets as many of each as of the others, as far as there are any.
  /// @param only  the CPUSyncer that gets all of the slice's packets: up to half of its own come
  ///              first, the rest is for other NFs
  /// @return n numbers; nullopt, taking none, if fewer are free or a CPUSyncer would have none
  std::optional<std::vector<std::uint32_t>> take_work_groups(
      std::uint32_t n, std::uint32_t n_syncers, std::span<const std::uint32_t> has = {},
      std::optional<std::uint32_t> only = std::nullopt);
  void free_work_groups(std::span<const std::uint32_t> work_groups);
  /// @return how many are free
  [[nodiscard]] std::uint32_t n_free_work_groups() const;

 private:
  Registry& registry_;
  std::vector<bool> contexts_, endpoints_, slices_, work_groups_;
};

}  // namespace hb
