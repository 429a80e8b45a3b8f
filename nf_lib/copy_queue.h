// Copies of packets on their way from a CPUSyncer to a GPU NF's control process, and its answers on
// their way back: an SPSC ring of fixed-size records in the region. Copies own nothing, so a crash
// on either side loses no packet.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>

#include "nf_lib/packet_meta.h"
#include "nf_lib/region.h"

namespace hb {

/// One copied packet; its bytes follow.
struct CopyRecord {
  PacketMeta meta;
  std::uint16_t port;
  std::uint16_t length;         ///< bytes that follow; checked by the reader
  std::uint32_t table_version;  ///< of the table that judged the packet; the first one's is 1
  /// kAsked: the packet waits until the control process has written here what becomes of it, as an
  /// HB_RESULT (lengths mean nothing). Otherwise 0: the packet has gone on.
  std::uint64_t answer;
  static constexpr std::uint64_t kAsked = ~std::uint64_t{0};  // no valid HB_RESULT
  std::uint8_t* bytes() noexcept { return reinterpret_cast<std::uint8_t*>(this + 1); }
  [[nodiscard]] const std::uint8_t* bytes() const noexcept {
    return reinterpret_cast<const std::uint8_t*>(this + 1);
  }
};
static_assert(sizeof(CopyRecord) == 40);

/// One side's view of one queue. The writer is a CPUSyncer, the reader a control process.
class CopyQueue {
 public:
  CopyQueue() = default;
  CopyQueue(const RegionView& region, std::uint32_t queue)
      : memory_(region.copy_queue(queue)),
        n_records_(region.layout().copy_records),
        record_bytes_(region.layout().copy_bytes),
        collected_(taken()) {}

  /// Writer: calls f(number, answer) for every record that the reader is done with, in their order,
  /// and has room for others there. A record's number is what head() was before its push.
  template <typename F>
  void collect(F&& f) noexcept {
    // Acquire: pairs with the release store in pop(), so the record's last reader is done with it,
    // and its answer is there.
    const std::uint32_t end = tail().load(std::memory_order_acquire);
    const std::uint32_t n = end - collected_;
    if (n > head().load(std::memory_order_relaxed) - collected_) return;  // a wild write
    for (; collected_ != end; ++collected_) f(collected_, record(collected_)->answer);
  }
  /// Writer: the next record's number.
  [[nodiscard]] std::uint32_t next() noexcept { return head().load(std::memory_order_relaxed); }
  /// Writer: records that fit, as of the last collect().
  [[nodiscard]] std::uint32_t room() noexcept { return n_records_ - (next() - collected_); }
  [[nodiscard]] std::uint32_t n_records() const noexcept { return n_records_; }

  /// @param asks  the packet waits for an answer
  /// @return false, changing nothing, when the queue was full at the last collect()
  bool push(const PacketMeta& meta, std::uint16_t port, const std::uint8_t* bytes,
            std::uint32_t length, std::uint32_t table_version, bool asks = false) noexcept {
    const std::uint32_t at = next();
    if (at - collected_ >= n_records_) return false;
    auto* const record = this->record(at);
    record->meta = meta;
    record->port = port;
    const std::uint32_t fits = record_bytes_ - static_cast<std::uint32_t>(sizeof(CopyRecord));
    record->length = static_cast<std::uint16_t>(length < fits ? length : fits);
    record->table_version = table_version;
    record->answer = asks ? CopyRecord::kAsked : 0;
    if (record->length != 0) std::memcpy(record->bytes(), bytes, record->length);
    // Release: pairs with the acquire load in front(), so that a counted record is whole.
    head().store(at + 1, std::memory_order_release);
    return true;
  }

  /// The oldest record, null when the queue is empty. Valid until pop().
  [[nodiscard]] const CopyRecord* front() noexcept {
    const std::uint32_t at = tail().load(std::memory_order_relaxed);
    if (head().load(std::memory_order_acquire) == at) return nullptr;  // pairs with push()
    return record(at);
  }
  /// Answers the oldest record, if it asks. Before its pop().
  void answer(std::uint64_t result) noexcept { record(taken())->answer = result; }
  void pop() noexcept {
    // Release: pairs with the acquire load in collect().
    tail().store(tail().load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  /// Records that wait, at most as many as there are. Reader.
  [[nodiscard]] std::uint32_t size() noexcept {
    // Acquire: pairs with the release store in push(), so that counted records are whole.
    const std::uint32_t n = head().load(std::memory_order_acquire) - taken();
    return n < n_records_ ? n : n_records_;  // more: a wild write
  }
  [[nodiscard]] std::uint32_t max_length() const noexcept {
    return record_bytes_ - static_cast<std::uint32_t>(sizeof(CopyRecord));
  }
  /// What a third party can tell of the reader: how many records it has ever taken, and whether
  /// there are more.
  [[nodiscard]] std::uint32_t taken() noexcept { return tail().load(std::memory_order_relaxed); }
  [[nodiscard]] bool waits() noexcept { return head().load(std::memory_order_relaxed) != taken(); }
  /// For a slice's new owner, before it can be written to.
  void reset() noexcept {
    collected_ = 0;
    head().store(0, std::memory_order_relaxed);
    tail().store(0, std::memory_order_release);
  }

 private:
  std::atomic<std::uint32_t>& head() noexcept {
    return *reinterpret_cast<std::atomic<std::uint32_t>*>(memory_);
  }
  std::atomic<std::uint32_t>& tail() noexcept {
    return *reinterpret_cast<std::atomic<std::uint32_t>*>(memory_ + kFalseSharingRange);
  }
  CopyRecord* record(std::uint32_t at) noexcept {
    return reinterpret_cast<CopyRecord*>(memory_ + 2 * kFalseSharingRange +
                                         std::uint64_t{at & (n_records_ - 1)} * record_bytes_);
  }

  std::byte* memory_ = nullptr;
  std::uint32_t n_records_ = 1;
  std::uint32_t record_bytes_ = 0;
  std::uint32_t collected_ = 0;  ///< the writer's: records before it may be overwritten
};

}  // namespace hb
