// What this process knows of each of the platform's packets: OpenNetVM's meta, and which of its
// instances has the packet.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "nf_lib/mbuf_check.h"
#include "nf_lib/packet_meta.h"
#include "onvm_compat/include/onvm_common.h"

namespace hb::onvm {

/// Index of an instance in its process, from 1; 0 is none.
using Slot = std::uint8_t;

/// One entry for each packet of the pool. An entry belongs to the thread that has the packet, but
/// for holder(), which any thread may read.
class PacketTable {
 public:
  PacketTable() = default;
  explicit PacketTable(const PacketCheck& check)
      : check_(check), entries_(std::make_unique<Entry[]>(check.pool().size)) {}

  static constexpr std::uint32_t kNotAPacket = PacketCheck::kNotAPacket;
  [[nodiscard]] std::uint32_t number(const rte_mbuf* mbuf) const noexcept {
    return check_.number(mbuf);
  }
  [[nodiscard]] onvm_pkt_meta& meta(std::uint32_t number) noexcept { return entries_[number].meta; }

  void set_holder(std::uint32_t number, Slot slot) noexcept {
    // Release: pairs with holder(): who learns of the packet by that finds its entry filled in.
    entries_[number].holder.store(slot, std::memory_order_release);
  }
  [[nodiscard]] Slot holder(std::uint32_t number) const noexcept {
    return entries_[number].holder.load(std::memory_order_acquire);
  }
  /// An instance ends: none of its packets is here any more.
  void forget(Slot slot) noexcept {
    for (std::uint32_t i = 0; i < check_.pool().size; ++i)
      if (holder(i) == slot) set_holder(i, 0);
  }

  [[nodiscard]] const PacketCheck& check() const noexcept { return check_; }

 private:
  struct Entry {
    onvm_pkt_meta meta{};
    std::atomic<Slot> holder{0};
  };
  PacketCheck check_;
  std::unique_ptr<Entry[]> entries_;
};

/// chain_index, flags and src travel in the packet's carried word; it is 0 while no OpenNetVM NF
/// has sent the packet, as src is not 0 then.
inline std::uint32_t pack_carried(const onvm_pkt_meta& meta) noexcept {
  return static_cast<std::uint32_t>(meta.chain_index) |
         static_cast<std::uint32_t>(meta.flags) << 8 | static_cast<std::uint32_t>(meta.src) << 16;
}
inline void unpack_carried(std::uint32_t word, onvm_pkt_meta& meta) noexcept {
  meta.chain_index = static_cast<std::uint8_t>(word);
  meta.flags = static_cast<std::uint8_t>(word >> 8);
  meta.src = static_cast<std::uint16_t>(word >> 16);
}

}  // namespace hb::onvm
