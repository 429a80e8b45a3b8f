// Which version of its table (and code) judged a round of a slice.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace hb {

/// One word for each work-group of the region. The slice's launching thread writes between two
/// launches, the CPUSyncers read. Versions count from 1, by one at a time; the next one begins only
/// when no round of the one before the last can be in a queue.
class TableVersions {
 public:
  explicit TableVersions(std::uint32_t n_work_groups) : words_(n_work_groups) {}

  /// Rounds of that work-group from first_round on are judged by `version`, earlier ones by the one
  /// before. No launch runs.
  void begin(std::uint32_t work_group, std::uint32_t first_round, std::uint32_t version) noexcept {
    // Release: pairs with the acquire load in of(), and comes before the launch whose answers the
    // reader sees: who sees a round done by the new table sees this word.
    words_[work_group].store(std::uint64_t{first_round} << 32 | version, std::memory_order_release);
  }
  /// All rounds of that work-group that can be asked for are judged by `version`: the counts may
  /// wrap from here on.
  void settle(std::uint32_t work_group, std::uint32_t version) noexcept {
    words_[work_group].store(version | kSettled, std::memory_order_release);
  }

  /// What begin() was told last. Control thread, between begin() and settle().
  [[nodiscard]] std::uint32_t first_round(std::uint32_t work_group) const noexcept {
    return static_cast<std::uint32_t>(words_[work_group].load(std::memory_order_acquire) >> 32);
  }

  /// @param round  one that is answered and not yet taken back
  [[nodiscard]] std::uint32_t of(std::uint32_t work_group, std::uint32_t round) const noexcept {
    const std::uint64_t word = words_[work_group].load(std::memory_order_acquire);
    const auto version = static_cast<std::uint32_t>(word & (kSettled - 1));
    if ((word & kSettled) != 0) return version;
    const auto first_round = static_cast<std::uint32_t>(word >> 32);
    return static_cast<std::int32_t>(round - first_round) >= 0 ? version : version - 1;
  }

 private:
  static constexpr std::uint64_t kSettled = std::uint64_t{1} << 31;
  std::vector<std::atomic<std::uint64_t>> words_;
};

}  // namespace hb
