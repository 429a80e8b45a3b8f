// A set of numbers as sorted, disjoint, inclusive intervals: addresses and ports of rule headers.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

namespace hb::nids {

/// A 128-bit number, for IPv6 addresses.
struct U128 {
  std::uint64_t hi = 0;
  std::uint64_t lo = 0;
  friend auto operator<=>(const U128&, const U128&) = default;
};

/// The largest value, and the neighbours, of what an IntervalSet may hold. after() is not called
/// on the largest value, before() not on 0.
template <typename T>
struct IntervalTraits {
  static constexpr T max() noexcept { return std::numeric_limits<T>::max(); }
  static constexpr T after(T v) noexcept { return static_cast<T>(v + 1); }
  static constexpr T before(T v) noexcept { return static_cast<T>(v - 1); }
};
template <>
struct IntervalTraits<U128> {
  static constexpr U128 max() noexcept { return {~std::uint64_t{0}, ~std::uint64_t{0}}; }
  static constexpr U128 after(U128 v) noexcept { return {v.hi + (v.lo + 1 == 0), v.lo + 1}; }
  static constexpr U128 before(U128 v) noexcept { return {v.hi - (v.lo == 0), v.lo - 1}; }
};

/// Built at set-up, then only read: contains() may be called by any thread.
template <typename T>
class IntervalSet {
  using Traits = IntervalTraits<T>;

 public:
  struct Interval {
    T first{};
    T last{};  ///< inclusive, not below first
    friend bool operator==(const Interval&, const Interval&) = default;
  };

  IntervalSet() = default;
  /// Every number.
  static IntervalSet all() { return IntervalSet({{T{}, Traits::max()}}); }

  void add(T first, T last) {
    intervals_.push_back({first, last});
    normalise();
  }
  void add(const IntervalSet& other) {
    intervals_.insert(intervals_.end(), other.intervals_.begin(), other.intervals_.end());
    normalise();
  }
  /// Takes out what `other` holds: this, and the complement of other.
  void subtract(const IntervalSet& other) {
    std::vector<Interval> kept;
    for (Interval rest : intervals_) {
      bool any_left = true;
      for (const Interval& hole : other.intervals_) {
        if (hole.last < rest.first) continue;
        if (rest.last < hole.first) break;
        if (rest.first < hole.first) kept.push_back({rest.first, Traits::before(hole.first)});
        any_left = hole.last < rest.last;
        if (!any_left) break;
        rest.first = Traits::after(hole.last);
      }
      if (any_left) kept.push_back(rest);
    }
    intervals_ = std::move(kept);
  }

  [[nodiscard]] bool contains(T v) const noexcept {
    const auto after =
        std::upper_bound(intervals_.begin(), intervals_.end(), v,
                         [](const T& value, const Interval& i) { return value < i.first; });
    return after != intervals_.begin() && !(std::prev(after)->last < v);
  }
  [[nodiscard]] bool empty() const noexcept { return intervals_.empty(); }
  /// Ascending, disjoint, not touching.
  [[nodiscard]] const std::vector<Interval>& intervals() const noexcept { return intervals_; }
  [[nodiscard]] bool is_all() const noexcept {
    return intervals_.size() == 1 && intervals_[0].first == T{} &&
           intervals_[0].last == Traits::max();
  }

 private:
  explicit IntervalSet(std::vector<Interval> intervals) : intervals_(std::move(intervals)) {}

  /// Sorts and joins what overlaps or touches.
  void normalise() {
    std::sort(intervals_.begin(), intervals_.end(),
              [](const Interval& a, const Interval& b) { return a.first < b.first; });
    std::vector<Interval> joined;
    for (const Interval& next : intervals_) {
      if (!joined.empty() && (joined.back().last == Traits::max() ||
                              next.first <= Traits::after(joined.back().last))) {
        joined.back().last = std::max(joined.back().last, next.last);
      } else {
        joined.push_back(next);
      }
    }
    intervals_ = std::move(joined);
  }

  std::vector<Interval> intervals_;
};

}  // namespace hb::nids
