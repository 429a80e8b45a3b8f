// Which policy the latest flows have met, so that a packet asks one place instead of all policies.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "nf_lib/esp/address.h"

namespace hb::ipsec {

/// The first policy whose selector fits.
struct PolicyMatch {
  static constexpr std::uint32_t kNone = ~0u;
  std::uint32_t policy = kNone;  ///< index
  std::uint32_t candidate = 0;   ///< of its SAs the first whose own selector fits, if one does
  std::uint32_t sa = kNone;      ///< index of that one in the table
};

/// Direct-mapped, by all that selectors look at: which policies fit a key never changes while they
/// stand, so nothing is ever invalidated; whoever changes policies makes another cache. One thread.
class PolicyCache {
 public:
  /// @param n_policies  few are looked through faster than a place is found: only the last key is
  ///                    kept then
  explicit PolicyCache(std::size_t n_policies = 0) : entries_(n_policies > kFew ? kEntries : 1) {}

  /// Whoever has the key in registers keeps it there: packets of one flow come one after the other,
  /// and the last one's answer is at hand.
  /// @param search  finds the PolicyMatch of a key that has no place here
  template <typename Search>
  PolicyMatch find(const SelectorKey& key, Search&& search) noexcept {
    const Words words = to_words(key);
    const Entry& last = entries_[last_];
    if (last.words == words) return last.match;
    return find_other(words, key, search);
  }

 private:
  static constexpr std::size_t kFew = 2;
  static constexpr std::size_t kEntries = 2048;  ///< a line each: they stay in the L2 cache
  /// Two addresses; version, protocol and ports. The version is never 0: nothing equals a free one.
  using Words = std::array<std::uint64_t, 5>;
  struct alignas(64) Entry {
    Words words{};
    PolicyMatch match;
  };

  template <typename Search>
  [[gnu::noinline]] PolicyMatch find_other(Words words, SelectorKey key, Search& search) noexcept {
    last_ = entries_.size() == 1 ? 0 : place_of(words);
    Entry& entry = entries_[last_];
    if (entry.words != words) {
      entry.match = search(key);
      entry.words = words;
    }
    return entry.match;
  }

  static Words to_words(const SelectorKey& key) noexcept {
    Words words{};
    if (key.version == 4) {
      std::uint32_t src, dst;
      std::memcpy(&src, key.src, sizeof(src));
      std::memcpy(&dst, key.dst, sizeof(dst));
      words[0] = std::uint64_t{dst} << 32 | src;
    } else {
      std::memcpy(&words[0], key.src, 16);
      std::memcpy(&words[2], key.dst, 16);
    }
    words[4] = std::uint64_t{key.version} | std::uint64_t{key.protocol} << 8 |
               std::uint64_t{key.has_ports} << 16 | std::uint64_t{key.src_port} << 32 |
               std::uint64_t{key.dst_port} << 48;
    return words;
  }
  static std::size_t place_of(const Words& words) noexcept {
    constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15;  // Knuth's
    std::uint64_t hash = words[0];
    for (std::size_t i = 1; i < words.size(); ++i)
      hash = (hash ^ hash >> 29 ^ words[i]) * kMultiplier;
    return (hash >> 40) % kEntries;
  }

  std::vector<Entry> entries_;
  std::size_t last_ = 0;  ///< the place that was asked last
};

}  // namespace hb::ipsec
