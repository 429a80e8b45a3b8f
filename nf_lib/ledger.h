// The ledger: what a context writes before each publish, so that whoever finds it dead can tell
// which packets of its burst have moved. docs/ownership.md has the argument, tests/model the proof.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "nf_lib/fault_point.h"

namespace hb {

/// Where packets are taken from or put: the kind in the top two bits, the index below.
enum class PlaceKind : std::uint32_t { kRing = 0, kQueue = 1, kHeld = 2, kNone = 3 };
struct Place {
  std::uint32_t code = static_cast<std::uint32_t>(PlaceKind::kNone) << 30;
  static constexpr Place ring(std::uint32_t ring_id) { return {ring_id & 0x3fffffff}; }
  static constexpr Place queue(std::uint32_t work_group) {
    return {(1u << 30) | (work_group & 0x3fffffff)};
  }
  static constexpr Place held() { return {2u << 30}; }
  [[nodiscard]] constexpr PlaceKind kind() const { return static_cast<PlaceKind>(code >> 30); }
  [[nodiscard]] constexpr std::uint32_t index() const { return code & 0x3fffffff; }
  bool operator==(const Place&) const = default;
};

/// One publish of one burst.
struct LedgerRecord {
  Place source;
  std::uint32_t source_tail;  ///< source's cons.tail at the peek; of the held area, its generation
  Place destination;
  std::uint32_t destination_tail;  ///< destination's prod.tail once this publish is done
  std::uint64_t done;              ///< packets of the burst that earlier publishes moved
  std::uint64_t mask;              ///< packets that this publish moves, in ring order
};
static_assert(sizeof(LedgerRecord) == 32);

/// Two records, the current one named by the sequence word. Only the owner writes.
class Ledger {
 public:
  /// Names the publish that is about to happen. Returns before any of its stores to the
  /// destination can be made: the signal fence keeps the compiler from moving them up, and a
  /// process that dies leaves no store undone that precedes one which is done.
  void write(const LedgerRecord& record) noexcept {
    const std::uint32_t next = sequence_.load(std::memory_order_relaxed) + 1;
    records_[next & 1] = record;
    fault_point("record_written");
    // Release: pairs with the acquire load in read(), so that a named record is whole.
    sequence_.store(next, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    fault_point("record_named");
  }

  /// The last publish named. Only meaningful once the owner is dead or stopped.
  /// @return false if none was ever named
  bool read(LedgerRecord& record) const noexcept {
    // Acquire: pairs with the release store in write().
    const std::uint32_t sequence = sequence_.load(std::memory_order_acquire);
    if (sequence == 0) return false;
    record = records_[sequence & 1];
    return true;
  }

  /// Generation of the held area: bumped when the slots of a release are clear.
  [[nodiscard]] std::uint32_t held_generation() const noexcept {
    return held_generation_.load(std::memory_order_acquire);
  }
  void bump_held_generation() noexcept {
    // Release: pairs with held_generation(); the slots' clearing stores come before. The fence
    // keeps the compiler from moving the next release's stores to release_slots up.
    held_generation_.store(held_generation_.load(std::memory_order_relaxed) + 1,
                           std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  /// Slots of the held area that the release now under way empties, in mask order. The owner
  /// writes them before the record whose source is the held area.
  std::array<std::uint16_t, 64> release_slots{};

 private:
  std::array<LedgerRecord, 2> records_{};
  std::atomic<std::uint32_t> sequence_{0};
  std::atomic<std::uint32_t> held_generation_{0};
};

}  // namespace hb
