// What an NF counts for people beside packets: the names it declared, the numbers in its page.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nf_lib/control_layout.h"

namespace hb {

/// One NF's own counters over all its lives. Control thread only.
class NfCounters {
 public:
  /// @param names  at most kMaxNfCounters are kept
  void declare(std::vector<std::string> names) {
    names_ = std::move(names);
    names_.resize(std::min<std::size_t>(names_.size(), kMaxNfCounters));
  }
  /// Adds a life that is over; its page goes now.
  void fold(const ContextPage& page) noexcept {
    for (std::size_t i = 0; i < before_.size(); ++i) before_[i] += read(page, i);
  }
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  /// The idx-th of all lives. @param page  of the present one, or null
  [[nodiscard]] std::uint64_t total(std::size_t idx, const ContextPage* page) const noexcept {
    return before_[idx] + (page != nullptr ? read(*page, idx) : 0);
  }

 private:
  static std::uint64_t read(const ContextPage& page, std::size_t idx) noexcept {
    return page.counters.nf[idx].load(std::memory_order_relaxed);
  }
  std::vector<std::string> names_;
  std::array<std::uint64_t, kMaxNfCounters> before_{};
};

}  // namespace hb
