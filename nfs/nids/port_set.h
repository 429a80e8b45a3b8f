// The port part of a rule header.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nf_lib/result.h"
#include "nfs/nids/interval_set.h"
#include "nfs/nids/variables.h"

namespace hb::nids {

/// Built at set-up, then only read.
class PortSet {
 public:
  static PortSet all();

  void add(const PortSet& other);
  void subtract(const PortSet& other);
  [[nodiscard]] bool contains(std::uint16_t port) const noexcept { return ports_.contains(port); }
  [[nodiscard]] bool empty() const noexcept { return ports_.empty(); }
  /// True for `any` and for variables: packets without ports match too. `0:65535` is not that.
  [[nodiscard]] bool is_any() const noexcept { return any_; }

  /// Ascending and disjoint.
  [[nodiscard]] const auto& intervals() const noexcept { return ports_.intervals(); }

  /// One element of a list: `80`, `80:90`, `1024:` or `:80`.
  static Result<PortSet> parse_element(std::string_view text);

 private:
  IntervalSet<std::uint16_t> ports_;
  bool any_ = false;
};

/// Parses ports as rule headers write them; lists, negation and variables as in parse_addresses.
Result<PortSet> parse_ports(std::string_view text, VariableUse& variables);

}  // namespace hb::nids
