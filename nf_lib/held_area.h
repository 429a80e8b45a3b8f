// Packets that a context keeps for longer than a burst. Held is what a slot points to.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "nf_lib/control_layout.h"
#include "nf_lib/fault_point.h"
#include "nf_lib/mbuf_check.h"

namespace hb {

/// The owner's view of its held area. One thread, the context's own. Sized at construction.
class HeldArea {
 public:
  HeldArea() = default;
  HeldArea(ContextPage* page, const PacketCheck& check)
      : page_(page), check_(check), slot_of_(check.pool().size, kNone) {
    free_.reserve(kHeldSlots);
    for (std::uint32_t slot = kHeldSlots; slot-- > 0;)
      free_.push_back(static_cast<std::uint16_t>(slot));
  }

  [[nodiscard]] bool full() const noexcept { return free_.empty(); }
  [[nodiscard]] std::uint32_t size() const noexcept {
    return kHeldSlots - static_cast<std::uint32_t>(free_.size());
  }

  /// Writes the packet into a free slot, while it still is in the burst's window. From this store
  /// on the packet is held, wherever else it may be found. Only when !full().
  void hold(rte_mbuf* mbuf) noexcept {
    const std::uint16_t slot = free_.back();
    free_.pop_back();
    slot_of_[check_.number(mbuf)] = slot;
    // Release: pairs with the recovery's acquire load; the slot is read before the window is.
    page_->held[slot].store(reinterpret_cast<std::uint64_t>(mbuf), std::memory_order_release);
    fault_point("held");
  }

  static constexpr std::uint16_t kNone = 0xffff;
  /// Begins the release of a packet, which can't be named a second time then. Its slot points to it
  /// until clear().
  /// @return its slot, or kNone if it is not held
  [[nodiscard]] std::uint16_t begin_release(const rte_mbuf* mbuf) noexcept {
    const std::uint32_t number = check_.number(mbuf);
    return number == PacketCheck::kNotAPacket ? kNone : std::exchange(slot_of_[number], kNone);
  }
  /// Empties a slot, once its packet has been published.
  void clear(std::uint16_t slot) noexcept {
    page_->held[slot].store(0, std::memory_order_release);  // pairs as in hold()
    fault_point("held_cleared");
    free_.push_back(slot);
  }

  /// Calls f(mbuf) for every held packet; f must not hold or clear.
  template <typename F>
  void for_each(F&& f) const {
    for (const auto& slot : page_->held) {
      if (const std::uint64_t held = slot.load(std::memory_order_relaxed); held != 0)
        f(reinterpret_cast<rte_mbuf*>(held));
    }
  }

 private:
  ContextPage* page_ = nullptr;
  PacketCheck check_;
  std::vector<std::uint16_t> slot_of_;
  std::vector<std::uint16_t> free_;
};

}  // namespace hb
