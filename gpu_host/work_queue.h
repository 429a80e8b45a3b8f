// One work-group's circular queue, from the side of the CPUSyncer that owns it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gpu_host/shared_word.h"
#include "nf_lib/fault_point.h"
#include "nf_lib/region.h"
#include "nf_lib/result.h"

namespace hb {

/// R rounds of W slots. Slots are written at `filled`, handed over by whole rounds (`published`),
/// answered by the device (`completed`) and taken back at `drained`. One thread.
class WorkQueue {
 public:
  /// Goes on where the queue's last owner stopped.
  /// @return an Error if packets still lie in it, or its shape can't wrap around at 2^32
  static Result<WorkQueue> adopt(const RegionView& region, std::uint32_t work_group);

  [[nodiscard]] std::uint32_t work_group() const noexcept { return work_group_; }
  /// Slots written into the round that is not handed over yet.
  [[nodiscard]] std::uint32_t open_slots() const noexcept {
    return filled_ - published_ * round_slots_;
  }
  /// Slots that still fit into the open round; only of use while there is one.
  [[nodiscard]] std::uint32_t open_room() const noexcept { return round_slots_ - open_slots(); }
  /// Whole rounds that are neither open nor holding a packet.
  [[nodiscard]] std::uint32_t free_rounds() const noexcept {
    const std::uint32_t used = (filled_ - drained_ + round_slots_ - 1) / round_slots_;
    return used < n_rounds_ ? n_rounds_ - used : 0;
  }
  /// The device has nothing of this queue to do. Asks the device's word only while rounds of it
  /// have not been taken back.
  [[nodiscard]] bool is_idle() const noexcept {
    return rounds_drained_ == published_ || completed() == published_;
  }

  /// `filled` once n more slots are written, for the ledger.
  [[nodiscard]] std::uint32_t filled_after(std::uint32_t n) const noexcept { return filled_ + n; }

  /// Writes n <= open_room() slots and says so. After the ledger's record.
  /// @param words  the slots' private words; null if the kernel reads none
  void fill(const u64* slots, std::uint32_t n, const HbSlotWords* words = nullptr) noexcept {
    const std::uint32_t at = filled_ & mask_;  // a round is one piece
    u64* const shared = slots_ + at;
    u64* const own = own_.data() + at;
    for (std::uint32_t i = 0; i < n; ++i) {
      shared[i] = own[i] = slots[i];
      fault_point("slot_written");
    }
    if (words != nullptr) {
      std::copy_n(words, n, words_ + at);
      std::copy_n(words, n, own_words_.data() + at);
    }
    filled_ += n;
    if (open_room() == 0) used_[published_ & (n_rounds_ - 1)] = round_slots_;
    store_word(control_->filled.value, filled_);
    fault_point("slots_filled");
  }

  /// Fills the open round up with dummies. Moves no packet. Costs what the round's last use left
  /// behind, not what is missing.
  void pad() noexcept {
    const std::uint32_t live = open_slots();
    if (live == 0 || live == round_slots_) return;
    std::uint32_t& used = used_[published_ & (n_rounds_ - 1)];
    for (std::uint32_t i = live; i < used; ++i) {
      slots_[(published_ * round_slots_ + i) & mask_] = 0;
      own_[(published_ * round_slots_ + i) & mask_] = 0;
    }
    used = live;
    filled_ = (published_ + 1) * round_slots_;
    store_word(control_->filled.value, filled_);
  }

  /// Hands the open round, which is full, to the device.
  void publish() noexcept {
    ++published_;
    // Release: pairs with the acquire load in kernels/persistent.cl, so a work-item that sees this
    // round sees its slots.
    store_word(control_->published.value, published_);
    fault_point("round_published");
  }

  /// Whether the oldest round that is not taken back is answered.
  [[nodiscard]] bool round_done() const noexcept {
    const std::uint32_t in_flight = published_ - rounds_drained_;
    const std::uint32_t done = completed() - rounds_drained_;
    return done != 0 && done <= in_flight;  // beyond: a wild write, not an answer
  }

  /// Slots to take back next, all of one round and none of its dummies: at most `most`.
  [[nodiscard]] std::uint32_t next_burst(std::uint32_t most) const noexcept {
    const std::uint32_t left = live_slots() - (drained_ - rounds_drained_ * round_slots_);
    return left < most ? left : most;
  }
  /// They, and those of the round behind them, as they were filled in, whatever the device made of
  /// the shared copy.
  [[nodiscard]] const u64* slots() const noexcept { return own_.data() + (drained_ & mask_); }
  /// Their private words, likewise. Only if they were filled in.
  [[nodiscard]] const HbSlotWords* words() const noexcept {
    return own_words_.data() + (drained_ & mask_);
  }
  /// The device's answers to them, to be read once each. Only while round_done().
  [[nodiscard]] const u64* results() const noexcept { return results_ + (drained_ & mask_); }
  [[nodiscard]] std::uint32_t drained() const noexcept { return drained_; }
  /// Nothing of the oldest round has been taken back yet.
  [[nodiscard]] bool is_round_start() const noexcept {
    return drained_ == rounds_drained_ * round_slots_;
  }
  /// The oldest round that is not taken back.
  [[nodiscard]] std::uint32_t first_round() const noexcept { return rounds_drained_; }
  /// Nothing lies in it.
  [[nodiscard]] bool is_empty() const noexcept { return filled_ == drained_; }

  /// Gives n slots back, with the last ones the dummies behind them. Their packets have moved.
  /// @return true if that was the round's last
  bool drain(std::uint32_t n) noexcept {
    drained_ += n;
    const bool is_last = drained_ - rounds_drained_ * round_slots_ == live_slots();
    if (is_last) drained_ = (rounds_drained_ + 1) * round_slots_;
    store_word(control_->drained.value, drained_);
    fault_point("slots_drained");
    if (is_last) ++rounds_drained_;
    return is_last;
  }

 private:
  WorkQueue() = default;

  /// Slots of the oldest round that may hold a packet; the rest are dummies.
  [[nodiscard]] std::uint32_t live_slots() const noexcept {
    return used_[rounds_drained_ & (n_rounds_ - 1)];
  }

  /// Acquire: pairs with the device's release store, so that the round's results are there.
  [[nodiscard]] std::uint32_t completed() const noexcept {
    return load_word(control_->completed.value);
  }
  HbQueueControl* control_ = nullptr;
  u64* slots_ = nullptr;
  const u64* results_ = nullptr;
  std::vector<u64> own_;  ///< the slots again: what the device can write decides no packet's fate
  std::vector<std::uint32_t> used_;  ///< of each round: slots up to here may not be dummies
  HbSlotWords* words_ = nullptr;
  std::vector<HbSlotWords> own_words_;
  std::uint32_t work_group_ = 0;
  std::uint32_t round_slots_ = 1;
  std::uint32_t n_rounds_ = 1;
  std::uint32_t mask_ = 0;
  std::uint32_t filled_ = 0;
  std::uint32_t published_ = 0;
  std::uint32_t drained_ = 0;
  std::uint32_t rounds_drained_ = 0;
};

}  // namespace hb
