// Finds which of many strings lie in a buffer, in one pass: Hyperscan in block mode.
#pragma once

#include <hs/hs.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>

#include "nf_lib/result.h"

namespace hb::nids {

/// One string to search for.
struct Pattern {
  std::string_view bytes;  ///< 1..kMaxPatternBytes
  bool nocase = false;
};

/// Working memory of scans: one for each thread, good for every matcher it was grown for.
class MatcherScratch {
 public:
  MatcherScratch() = default;
  [[nodiscard]] hs_scratch_t* get() const noexcept { return scratch_.get(); }

 private:
  friend class Matcher;
  struct Free {
    void operator()(hs_scratch_t* scratch) const noexcept { hs_free_scratch(scratch); }
  };
  std::unique_ptr<hs_scratch_t, Free> scratch_;
};

/// Compiled once, then only read: any number of threads may scan, each with its own scratch.
class Matcher {
 public:
  /// Longer strings are the caller's to cut: Hyperscan bounds a pattern's length.
  static constexpr std::size_t kMaxPatternBytes = 256;

  /// Finds nothing.
  Matcher() = default;

  /// Pattern i gets the id i. No patterns: a matcher that finds nothing.
  static Result<Matcher> compile(std::span<const Pattern> patterns);

  /// Makes the scratch large enough for this matcher too.
  Result<void> grow(MatcherScratch& scratch) const;

  /// Calls on_match(id), or on_match(id, end), which must not throw, once for each pattern that
  /// lies in the bytes; end: where it does so first, behind its last byte.
  /// @return false if Hyperscan gave up: what was reported until then may be incomplete
  template <typename OnMatch>
  bool scan(std::span<const std::uint8_t> bytes, const MatcherScratch& scratch,
            OnMatch& on_match) const noexcept {
    if (database_ == nullptr || bytes.empty()) return true;
    const match_event_handler handler = [](unsigned int id, unsigned long long,
                                           unsigned long long end, unsigned int, void* context) {
      OnMatch& call = *static_cast<OnMatch*>(context);
      if constexpr (std::is_invocable_v<OnMatch&, std::uint32_t, std::uint64_t>)
        call(static_cast<std::uint32_t>(id), static_cast<std::uint64_t>(end));
      else
        call(static_cast<std::uint32_t>(id));
      return 0;
    };
    return hs_scan(database_.get(), reinterpret_cast<const char*>(bytes.data()),
                   static_cast<unsigned int>(bytes.size()), 0, scratch.get(), handler,
                   &on_match) == HS_SUCCESS;
  }

 private:
  struct Free {
    void operator()(hs_database_t* database) const noexcept { hs_free_database(database); }
  };
  std::unique_ptr<hs_database_t, Free> database_;
};

}  // namespace hb::nids
