// What of an SA outlives the process that works with it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "nf_lib/esp/replay_window.h"
#include "nf_lib/esp/sa.h"

namespace hb::ipsec {

/// One SA's surviving state; zero bytes are a free record. One instance at a time works with an SA.
struct alignas(128) SaState {
  std::atomic<std::uint64_t> id[2];
  /// The wall clock's nanoseconds when the record was made: the SA's age counts from there. Added
  /// to a sequence number it gives a GCM IV. Even without the block (the manager was restarted) no
  /// IV comes again, as a sequence number grows more slowly than that clock.
  std::atomic<std::uint64_t> created;
  std::atomic<std::uint64_t>
      first_use;                        ///< likewise, about when its first packet came; 0: none did
  std::atomic<std::uint64_t> reserved;  ///< sequence numbers that were handed out in chunks
  std::atomic<std::uint64_t> ready;     ///< 1: what the SA's file says of its past was taken over
  std::atomic<std::uint64_t> packets;   ///< sealed or opened, for limits
  std::atomic<std::uint64_t> bytes;     ///< of IP packets inside
  std::atomic<std::uint64_t> replayed;
  std::atomic<std::uint64_t> bad_icv;
  std::atomic<std::uint64_t> dropped;  ///< for any other reason, once the SA was known
  ReplayWindow window;
};

/// The table of all SAs that the service has ever worked with. Several instances may look for
/// records at the same time.
class SaStates {
 public:
  /// Room for four times the SAs of a file, so that rekeyed ones find room.
  static constexpr std::size_t kRecords = 4 * kMaxSas;
  static constexpr std::size_t kBytes = kRecords * sizeof(SaState);

  /// @param block  kBytes bytes, aligned to 128, zero at first
  explicit SaStates(std::span<std::byte> block)
      : states_(reinterpret_cast<SaState*>(block.data())) {}

  /// The record of an SA, a fresh one if it has none.
  /// @param now_ns  the wall clock
  /// @return null if the table is full
  SaState* find_or_add(const SaId& id, std::uint64_t now_ns) noexcept;

 private:
  SaState* states_;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace hb::ipsec
