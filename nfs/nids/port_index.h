// Which rules a packet with a given port can match: for rules that nothing but the header and
// other tests select, so that a packet meets only those for its ports.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "nfs/nids/port_set.h"

namespace hb::nids {

/// Built at set-up, then only read.
class PortIndex {
 public:
  /// Before build(). Rules are added in ascending order.
  void add(std::uint32_t rule_idx, const PortSet& ports) {
    for (const auto& interval : ports.intervals()) {
      entries_.push_back({interval.first, interval.last, rule_idx});
    }
  }

  void build() {
    begins_.assign(1, 0);
    for (const Entry& entry : entries_) {
      begins_.push_back(entry.first);
      if (entry.last != 65535) begins_.push_back(entry.last + 1u);
    }
    std::sort(begins_.begin(), begins_.end());
    begins_.erase(std::unique(begins_.begin(), begins_.end()), begins_.end());
    segments_.assign(begins_.size(), {});
    for (const Entry& entry : entries_) {
      for (std::size_t i = segment_of(entry.first); i < begins_.size() && begins_[i] <= entry.last;
           ++i) {
        auto& rules = segments_[i];
        if (rules.empty() || rules.back() != entry.rule_idx) rules.push_back(entry.rule_idx);
      }
    }
    entries_ = {};
  }

  /// The rules for whose ports this one is, each once.
  [[nodiscard]] std::span<const std::uint32_t> rules(std::uint16_t port) const noexcept {
    return segments_.empty() ? std::span<const std::uint32_t>{} : segments_[segment_of(port)];
  }

 private:
  struct Entry {
    std::uint32_t first;
    std::uint32_t last;
    std::uint32_t rule_idx;
  };
  [[nodiscard]] std::size_t segment_of(std::uint32_t port) const noexcept {
    const auto after = std::upper_bound(begins_.begin(), begins_.end(), port);
    return static_cast<std::size_t>(after - begins_.begin()) - 1;
  }

  std::vector<Entry> entries_;
  std::vector<std::uint32_t> begins_;  // where each segment begins, ascending; the first is 0
  std::vector<std::vector<std::uint32_t>> segments_;
};

}  // namespace hb::nids
