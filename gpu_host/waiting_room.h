// Packets of one share that wait for the control process' word, and those of their flows behind
// them: a ring that the CPUSyncer fills and empties itself. Flows of which nothing waits pass by.
#pragma once

#include <cstdint>
#include <vector>

#include "nf_lib/ids.h"
#include "nf_lib/region.h"
#include "nf_lib/ring.h"
#include "nf_lib/verdict.h"

namespace hb {

/// Says who waits, for what, and who may leave. The packets lie in the ring, so that the ledger,
/// the recovery and the audit know them as in any other. One thread, the CPUSyncer's.
///
/// Packets leave in the order in which they came. A flow's packets wait while any of it does:
/// counts are kept by a part of the flow hash, so another flow may now and then wait as well.
class WaitingRoom {
 public:
  /// No room: nobody can wait.
  WaitingRoom() = default;
  /// What lies in the ring already is unjudged: whoever asked about it is gone.
  /// @param own        the CPUSyncer's context, the ring's only producer
  /// @param n_records  of the copy queue; a power of two
  WaitingRoom(const RegionView& region, EndpointId endpoint, ContextId own,
              std::uint32_t n_records);

  [[nodiscard]] bool exists() const noexcept { return ring_ != nullptr; }
  [[nodiscard]] bool is_empty() const noexcept { return ring_ == nullptr || !has_packets(ring_); }
  [[nodiscard]] EndpointId endpoint() const noexcept { return endpoint_; }
  [[nodiscard]] RingId ring_id() const noexcept { return id_; }
  [[nodiscard]] rte_ring* ring() const noexcept { return ring_; }
  /// Packets that fit when it is empty.
  [[nodiscard]] std::uint32_t capacity() const noexcept { return mask_; }
  /// Packets that fit now.
  [[nodiscard]] std::uint32_t room() const noexcept {
    return ring_ != nullptr ? hb::room(ring_, mask_ + 1) : 0;
  }

  /// A packet of this flow, or of one like it, waits.
  [[nodiscard]] bool has_flow(std::uint32_t flow_hash) const noexcept {
    return n_waiting_[bucket_of(flow_hash)] != 0;
  }

  /// Notes a packet that the next publish into the ring brings, in that order; the publish of all
  /// that are noted follows before anything else.
  /// @param verdict  what becomes of it once those before it have left
  void expect(std::uint32_t flow_hash, Verdict verdict) noexcept {
    note(flow_hash, State::kAnswered).verdict = verdict;
  }
  /// The same for one that waits for the answer to the copy queue's record of that number.
  void expect_asking(std::uint32_t flow_hash, std::uint32_t number) noexcept {
    asked_at_[number & (asked_at_.size() - 1)] = next_;
    note(flow_hash, State::kAsked).number = number;
  }
  /// What the copy queue collected of a record, whether or not it asked.
  void on_answer(std::uint32_t number, std::uint64_t result) noexcept {
    Entry& entry = entries_[asked_at_[number & (asked_at_.size() - 1)] & mask_];
    if (entry.state != State::kAsked || entry.number != number) return;
    entry.result = result;
    entry.state = State::kToldWhat;
  }

  enum class State : std::uint8_t {
    kUnjudged,  ///< nobody will answer
    kAsked,
    kToldWhat,  ///< by `result`
    kAnswered,  ///< `verdict` stands, and always did
  };
  struct Entry {
    std::uint64_t result = 0;  ///< an HB_RESULT, unchecked
    std::uint32_t flow_hash = 0;
    std::uint32_t number = 0;  ///< of the record that asks
    Verdict verdict;
    State state = State::kUnjudged;
  };

  /// How many packets may leave now: those at the front, up to the first that waits for an answer.
  /// @param answers_come  the control process lives; otherwise who waits for it is unjudged
  [[nodiscard]] std::uint32_t n_free(std::uint32_t most, bool answers_come) noexcept;
  /// The i-th from the front.
  [[nodiscard]] const Entry& entry(std::uint32_t i) const noexcept {
    return entries_[(ring_->cons.tail + i) & mask_];
  }
  /// The first n leave: they have been published elsewhere, and the ring is about to be committed.
  void leave(std::uint32_t n) noexcept;

 private:
  static constexpr std::uint32_t kBuckets = 4096;
  static std::uint32_t bucket_of(std::uint32_t flow_hash) noexcept {
    return (flow_hash ^ flow_hash >> 16) % kBuckets;
  }
  Entry& note(std::uint32_t flow_hash, State state) noexcept {
    Entry& entry = entries_[next_++ & mask_];
    entry = Entry{};
    entry.flow_hash = flow_hash;
    entry.state = state;
    ++n_waiting_[bucket_of(flow_hash)];
    return entry;
  }

  rte_ring* ring_ = nullptr;
  RingId id_;
  EndpointId endpoint_;
  std::uint32_t mask_ = 0;
  std::uint32_t next_ = 0;               ///< the ring's prod.tail, and what is noted beyond it
  std::vector<Entry> entries_;           ///< by the ring's index
  std::vector<std::uint32_t> asked_at_;  ///< by record: the ring's index of the packet
  std::vector<std::uint32_t> n_waiting_;
};

}  // namespace hb
