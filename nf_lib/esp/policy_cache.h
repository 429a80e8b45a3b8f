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

  /// A key in registers stays there: packets of one flow come one after the other, and the last
  /// one's answer is at hand.
  /// @param search  finds the PolicyMatch of a key that has no place here
  template <typename Search>
  const PolicyMatch& find(const SelectorKey& key, Search&& search) noexcept {
    const Entry& last = entries_[last_];
    const std::uint64_t rest = to_word(key);
    if (key.version == 4) {
      std::uint64_t addresses;
      std::memcpy(&addresses, key.src, sizeof(addresses));
      if (rest == last.words.rest && addresses == last.words.addresses[0]) [[likely]]
        return last.match;
    }
    return find_other(rest, key.src, search);
  }

 private:
  static constexpr std::size_t kFew = 2;
  static constexpr std::size_t kEntries = 2048;  ///< a line each: they stay in the L2 cache
  struct Words {
    /// Version, protocol, ports; never 0 in a key: none equals a free place.
    std::uint64_t rest = 0;
    std::array<std::uint64_t, 4> addresses{};  ///< both; IPv4's in the first word
    bool operator==(const Words&) const = default;
  };
  struct alignas(64) Entry {
    Words words;
    PolicyMatch match;
  };

  template <typename Search>
  [[gnu::noinline]] const PolicyMatch& find_other(std::uint64_t rest, const std::uint8_t* src,
                                                  Search& search) noexcept {
    Words words{.rest = rest};
    std::memcpy(words.addresses.data(), src, static_cast<std::uint8_t>(rest) == 4 ? 8 : 32);
    last_ = entries_.size() == 1 ? 0 : place_of(words);
    Entry& entry = entries_[last_];
    if (entry.words != words) {
      // Of the copy: who writes to the frame meanwhile changes no answer that others get later.
      const auto* const copied = reinterpret_cast<const std::uint8_t*>(words.addresses.data());
      entry.match = search(to_key(rest, copied));
      entry.words = words;
    }
    return entry.match;
  }

  static std::uint64_t to_word(const SelectorKey& key) noexcept {
    return std::uint64_t{key.version} | std::uint64_t{key.protocol} << 8 |
           std::uint64_t{key.has_ports} << 16 | std::uint64_t{key.src_port} << 32 |
           std::uint64_t{key.dst_port} << 48;
  }
  static SelectorKey to_key(std::uint64_t word, const std::uint8_t* src) noexcept {
    return {static_cast<std::uint8_t>(word),
            static_cast<std::uint8_t>(word >> 8),
            (word >> 16 & 1) != 0,
            static_cast<std::uint16_t>(word >> 32),
            static_cast<std::uint16_t>(word >> 48),
            src};
  }
  static std::size_t place_of(const Words& words) noexcept {
    constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15;  // Knuth's
    std::uint64_t hash = words.rest;
    for (const std::uint64_t word : words.addresses)
      hash = (hash ^ hash >> 29 ^ word) * kMultiplier;
    return (hash >> 40) % kEntries;
  }

  std::vector<Entry> entries_;
  std::size_t last_ = 0;  ///< the place that was asked last
};

}  // namespace hb::ipsec
