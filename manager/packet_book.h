// The manager's own truth about each packet of the pool: never read from the packet itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "nf_lib/limits.h"

namespace hb {

/// Where the manager last saw a packet.
enum class PacketState : std::uint8_t {
  kHome,    ///< in the pool, or with a port
  kRx,      ///< on its way, received from a port
  kFilled,  ///< in a fill ring, or on its way from there
  kWaits,   ///< received, in an RX thread's hold queue: no version has been stamped yet
};

/// What the book says of a packet.
struct alignas(2) BookEntry {
  PacketState state = PacketState::kHome;
  /// kRx: the route version that it was stamped with; kFilled: the context that it was made for.
  std::uint8_t version = 0;
  bool operator==(const BookEntry&) const = default;
};

/// Two bytes a packet, in the manager's private memory. A packet's entry is written by the thread
/// that has the packet: RX on receipt, TX or reclaim on return; rings order the two.
class PacketBook {
 public:
  explicit PacketBook(std::uint32_t n_packets)
      : n_(n_packets), entries_(std::make_unique<std::atomic<BookEntry>[]>(n_packets)) {}

  void set_out(std::uint32_t number, PacketState state, std::uint8_t version = 0) noexcept {
    entries_[number].store({state, version}, std::memory_order_relaxed);
  }
  /// Brings a packet's entry nearer, to be written. Any number will do.
  void prefetch(std::uint32_t number) const noexcept {
    __builtin_prefetch(&entries_[number < n_ ? number : 0], 1);
  }
  /// Takes a packet back.
  /// @return what it was; kHome means that it was returned twice and must not be freed again
  BookEntry take_home(std::uint32_t number) noexcept {
    const BookEntry entry = entries_[number].load(std::memory_order_relaxed);
    entries_[number].store({}, std::memory_order_relaxed);
    return entry;
  }
  [[nodiscard]] BookEntry entry(std::uint32_t number) const noexcept {
    return entries_[number].load(std::memory_order_relaxed);
  }
  [[nodiscard]] PacketState state(std::uint32_t number) const noexcept {
    return entry(number).state;
  }
  [[nodiscard]] std::uint32_t size() const noexcept { return n_; }

 private:
  static_assert(std::atomic<BookEntry>::is_always_lock_free);

  std::uint32_t n_;
  std::unique_ptr<std::atomic<BookEntry>[]> entries_;
};

}  // namespace hb
