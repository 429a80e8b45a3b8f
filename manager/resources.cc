#include "manager/resources.h"

#include <algorithm>

namespace hb {
namespace {

/// Index of the first n neighbouring free entries, which are then taken.
std::optional<std::uint32_t> take(std::vector<bool>& taken, std::size_t n) {
  for (std::size_t first = 0; first + n <= taken.size(); ++first) {
    const auto begin = taken.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = begin + static_cast<std::ptrdiff_t>(n);
    if (std::find(begin, end, true) != end) continue;
    std::fill(begin, end, true);
    return static_cast<std::uint32_t>(first);
  }
  return std::nullopt;
}

}  // namespace

Resources::Resources(Registry& registry, std::uint32_t n_ports)
    : registry_(registry),
      contexts_(registry.region.n_contexts),
      endpoints_(registry.region.n_endpoints),
      slices_(kMaxSlices),
      work_groups_(registry.region.n_work_groups) {
  take(endpoints_, 1 + n_ports);
}

std::optional<ContextId> Resources::take_context(ContextRole role, int pid,
                                                 std::uint32_t instance) {
  const std::optional<std::uint32_t> context = take(contexts_, 1);
  if (!context) return std::nullopt;
  ContextEntry& entry = registry_.contexts[*context];
  entry.pid = pid;
  entry.instance = instance;
  entry.role.store(role, std::memory_order_release);
  // Rings of a context that never produced cost their consumers one load a poll; the bit stays
  // when the context is given back, since packets may still lie in its rings.
  for (std::uint32_t e = 0; e < registry_.region.n_endpoints; ++e) {
    auto& word = registry_.endpoints[e].producers[*context / 64];
    // Release: pairs with the consumers' acquire loads: the rings are in order.
    word.store(word.load(std::memory_order_relaxed) | std::uint64_t{1} << (*context % 64),
               std::memory_order_release);
  }
  return ContextId(*context);
}

bool Resources::has_free_context() const {
  return std::ranges::find(contexts_, false) != contexts_.end();
}

void Resources::free_context(ContextId context) {
  registry_.contexts[context.value].role.store(ContextRole::kFree, std::memory_order_release);
  contexts_[context.value] = false;
}

std::optional<EndpointId> Resources::take_endpoint() {
  const std::optional<std::uint32_t> endpoint = take(endpoints_, 1);
  if (!endpoint) return std::nullopt;
  return EndpointId(*endpoint);
}

void Resources::free_endpoint(EndpointId endpoint) { endpoints_[endpoint.value] = false; }

std::optional<std::uint32_t> Resources::take_slice() { return take(slices_, 1); }

std::optional<std::vector<std::uint32_t>> Resources::take_work_groups(
    std::uint32_t n, std::uint32_t n_syncers, std::span<const std::uint32_t> has,
    std::optional<std::uint32_t> only) {
  std::vector<std::uint32_t> count(n_syncers);
  for (const std::uint32_t group : has) ++count[group % n_syncers];
  const auto half = static_cast<std::uint32_t>(work_groups_.size()) / n_syncers / 2;
  // Whose next one is: the lowest first.
  const auto rank = [&](std::uint32_t group) {
    const std::uint32_t syncer = group % n_syncers;
    if (!only || count[syncer] == 0) return count[syncer];
    return *only == syncer && count[syncer] < half ? 1 : count[syncer] + 1;
  };
  std::vector<std::uint32_t> taken;
  while (taken.size() < n) {
    std::optional<std::uint32_t> best;
    for (std::uint32_t group = 0; group < work_groups_.size(); ++group) {
      if (work_groups_[group]) continue;
      if (!best || rank(group) < rank(*best)) best = group;
    }
    if (!best) break;
    work_groups_[*best] = true;
    ++count[*best % n_syncers];
    taken.push_back(*best);
  }
  if (taken.size() == n && std::ranges::find(count, 0u) == count.end()) return taken;
  free_work_groups(taken);
  return std::nullopt;
}

void Resources::free_work_groups(std::span<const std::uint32_t> work_groups) {
  for (const std::uint32_t group : work_groups) work_groups_[group] = false;
}

std::uint32_t Resources::n_free_work_groups() const {
  return static_cast<std::uint32_t>(std::ranges::count(work_groups_, false));
}

}  // namespace hb
