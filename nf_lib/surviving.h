// State that must outlive an NF's process: a file of the control area for each service that asks
// for one, made by the manager, written by the service's instances, kept as long as the manager
// lives. Whoever comes next finds what the last one left, whatever killed it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "nf_lib/control_layout.h"

namespace hb {

inline constexpr std::uint64_t kSurvivingMagic = 0x3156'5255'5342'4848;

/// A surviving file starts with a ControlHeader; the service's own bytes follow here, zero at
/// first.
inline constexpr std::size_t kSurvivingData = 4096;
/// The most a service can ask for. Untouched pages cost nothing.
inline constexpr std::uint64_t kMaxSurvivingBytes = std::uint64_t{1} << 30;

static_assert(sizeof(ControlHeader) <= kSurvivingData);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// Numbers that are never given twice, across processes: they are reserved in the surviving word a
/// chunk ahead, so that a number in use always lies below the word, and the next owner starts at
/// the word. What a killed owner had reserved and not used is skipped.
class ReservedCounter {
 public:
  ReservedCounter() = default;
  /// @param word   of a surviving block: the first number that nobody has reserved
  /// @param chunk  how many are reserved at once, at least 1
  ReservedCounter(std::atomic<std::uint64_t>* word, std::uint64_t chunk) noexcept
      : word_(word), chunk_(chunk) {}

  /// One thread for each object; objects of several processes may share a word.
  std::uint64_t next() noexcept {
    if (next_ == end_) {
      // Relaxed: a killed process has made a prefix of its stores, and the number is used only
      // after this one; processes that share the word get disjoint chunks from the one addition.
      next_ = word_->fetch_add(chunk_, std::memory_order_relaxed);
      end_ = next_ + chunk_;
    }
    return next_++;
  }

  /// Gives back what was reserved and not used, if nobody has reserved since: a clean end leaves no
  /// gap.
  void give_back() noexcept {
    if (word_ == nullptr || next_ == end_) return;
    std::uint64_t expected = end_;
    word_->compare_exchange_strong(expected, next_, std::memory_order_relaxed);
    end_ = next_;
  }

 private:
  std::atomic<std::uint64_t>* word_ = nullptr;
  std::uint64_t chunk_ = 1;
  std::uint64_t next_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace hb
