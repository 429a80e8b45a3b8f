#include "manager/route_change.h"

#include <bit>
#include <bitset>
#include <cstring>
#include <vector>

namespace hb {
namespace {

static_assert(kMaxTypes <= 64 && kMaxServices <= 64);

bool same_targets(const ServiceTargets& a, const ServiceTargets& b) {
  if (a.n != b.n) return false;
  if (a.n == 0) return true;
  if (a.choice != b.choice || a.key_bytes != b.key_bytes || a.key_offset != b.key_offset)
    return false;
  return std::memcmp(a.endpoint, b.endpoint, sizeof(a.endpoint[0]) * a.n) == 0;
}

/// A search through (type, row), the states that a packet of one type can come to.
class Search {
 public:
  Search(const RouteTable& before, const RouteTable& after, std::span<const SteeringNf> nfs)
      : before_(before), after_(after), nfs_(nfs) {}

  bool meets_a_change(std::uint32_t type) {
    seen_.reset();
    todo_.clear();
    visit(type, kRxRow);
    while (!todo_.empty()) {
      const auto [t, row] = todo_.back();
      todo_.pop_back();
      const Hop hop = before_.next[t][row];
      if (hop != after_.next[t][row]) return true;
      if (hop_kind(hop) == HopKind::kService && !enter(1ULL << t, hop_index(hop) % kMaxServices))
        return true;
      if (row == kRxRow) continue;
      const SteeringNf nf = row < nfs_.size() ? nfs_[row] : SteeringNf{};
      const std::uint64_t types = nf.sets_types | 1ULL << t;
      for (std::uint64_t rest = nf.sets_types; rest != 0; rest &= rest - 1)
        visit(static_cast<std::uint32_t>(std::countr_zero(rest)), row);
      for (std::uint64_t rest = nf.names; rest != 0; rest &= rest - 1)
        if (!enter(types, static_cast<std::uint32_t>(std::countr_zero(rest)))) return true;
    }
    return false;
  }

 private:
  struct State {
    std::uint32_t type;
    std::uint32_t row;
  };

  /// Packets of these types come to a service.
  /// @return false if its endpoints change
  bool enter(std::uint64_t types, std::uint32_t service) {
    if (!same_targets(before_.targets[service], after_.targets[service])) return false;
    if (before_.targets[service].n == 0) return true;  // they are dropped
    for (; types != 0; types &= types - 1)
      visit(static_cast<std::uint32_t>(std::countr_zero(types)), service);
    return true;
  }
  void visit(std::uint32_t type, std::uint32_t row) {
    const std::size_t at = type * (kMaxServices + 1) + row;
    if (seen_[at]) return;
    seen_[at] = true;
    todo_.push_back({type, row});
  }

  const RouteTable& before_;
  const RouteTable& after_;
  std::span<const SteeringNf> nfs_;
  std::bitset<kMaxTypes*(kMaxServices + 1)> seen_;
  std::vector<State> todo_;
};

}  // namespace

std::uint64_t affected_types(const RouteTable& before, const RouteTable& after,
                             std::span<const SteeringNf> nfs, std::uint32_t n_types) {
  Search search(before, after, nfs);
  std::uint64_t affected = n_types < 64 ? ~std::uint64_t{0} << n_types : 0;
  for (std::uint32_t type = 0; type < n_types && type < kMaxTypes; ++type)
    if (search.meets_a_change(type)) affected |= 1ULL << type;
  return affected;
}

std::array<std::uint64_t, kMaxTypes> services_on_path(const RouteTable& table) {
  std::array<std::uint64_t, kMaxTypes> path{};
  for (std::uint32_t type = 0; type < kMaxTypes; ++type) {
    std::uint32_t row = kRxRow;
    for (;;) {
      const Hop hop = table.next[type][row];
      if (hop_kind(hop) != HopKind::kService) break;
      row = hop_index(hop) % kMaxServices;
      if ((path[type] >> row & 1) != 0) break;  // a circle
      path[type] |= 1ULL << row;
    }
  }
  return path;
}

}  // namespace hb
