// Packets that an RX thread keeps back while the routes of their type change.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <vector>

namespace hb {

/// A bounded FIFO: one for all types, so that order within a flow holds whatever changes next. One
/// RX thread's; while RX is paused, or has ended, the control thread may look at it.
class HoldQueue {
 public:
  explicit HoldQueue(std::uint32_t capacity) : slots_(capacity) {}

  [[nodiscard]] bool empty() const noexcept { return n_ == 0; }
  [[nodiscard]] std::uint32_t size() const noexcept { return n_; }
  [[nodiscard]] std::uint32_t room() const noexcept {
    return static_cast<std::uint32_t>(slots_.size()) - n_;
  }

  /// Only while there is room.
  void push(rte_mbuf* mbuf) noexcept { slots_[(first_ + n_++) % slots_.size()] = mbuf; }
  /// The i-th packet from the front; i < size().
  [[nodiscard]] rte_mbuf* at(std::uint32_t i) const noexcept {
    return slots_[(first_ + i) % slots_.size()];
  }
  /// Removes the first n; n <= size().
  void pop(std::uint32_t n) noexcept {
    if (n == 0) return;
    first_ = (first_ + n) % slots_.size();
    n_ -= n;
  }

 private:
  std::vector<rte_mbuf*> slots_;
  std::uint64_t first_ = 0;
  std::uint32_t n_ = 0;
};

}  // namespace hb
