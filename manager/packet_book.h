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
};

/// One byte a packet, in the manager's private memory. A packet's byte is written by the thread
/// that has the packet: RX on receipt, TX or reclaim on return; rings order the two.
class PacketBook {
 public:
  explicit PacketBook(std::uint32_t n_packets)
      : n_(n_packets), states_(std::make_unique<std::atomic<PacketState>[]>(n_packets)) {}

  void set_out(std::uint32_t number, PacketState state) noexcept {
    states_[number].store(state, std::memory_order_relaxed);
  }
  /// Takes a packet back.
  /// @return what it was; kHome means that it was returned twice and must not be freed again
  PacketState take_home(std::uint32_t number) noexcept {
    const PacketState state = states_[number].load(std::memory_order_relaxed);
    states_[number].store(PacketState::kHome, std::memory_order_relaxed);
    return state;
  }
  [[nodiscard]] PacketState state(std::uint32_t number) const noexcept {
    return states_[number].load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint32_t size() const noexcept { return n_; }

 private:
  std::uint32_t n_;
  std::unique_ptr<std::atomic<PacketState>[]> states_;
};

}  // namespace hb
