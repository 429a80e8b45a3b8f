// The address part of a rule header: any mix of IPv4 and IPv6.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "nf_lib/result.h"
#include "nfs/nids/interval_set.h"
#include "nfs/nids/variables.h"

namespace hb::nids {

/// Built at set-up, then only read.
class AddressSet {
 public:
  static AddressSet all();

  void add(const AddressSet& other);
  void subtract(const AddressSet& other);
  [[nodiscard]] bool contains(std::uint32_t ipv4) const noexcept { return v4_.contains(ipv4); }
  [[nodiscard]] bool contains(const U128& ipv6) const noexcept { return v6_.contains(ipv6); }
  [[nodiscard]] bool empty() const noexcept { return v4_.empty() && v6_.empty(); }
  [[nodiscard]] bool is_all() const noexcept { return v4_.is_all() && v6_.is_all(); }

  /// One element of a list: an address, address/length, address/mask (IPv4) or first-last.
  static Result<AddressSet> parse_element(std::string_view text);

 private:
  IntervalSet<std::uint32_t> v4_;
  IntervalSet<U128> v6_;
};

/// Network order to a number.
std::uint32_t ipv4_number(const std::uint8_t* bytes) noexcept;
U128 ipv6_number(const std::uint8_t* bytes) noexcept;

/// Parses addresses as rule headers write them: `any`, an element, `$VARIABLE`, `!` before any of
/// these, and `[a,b,!c]` lists of all this, to any depth up to 16.
///
/// A list is the union of its positive members (of everything, when it has none) without its
/// negated members. A variable has the value that --vars gives it; without --vars it is `any`, and
/// a negated expression that holds one is too.
Result<AddressSet> parse_addresses(std::string_view text, VariableUse& variables);

}  // namespace hb::nids
