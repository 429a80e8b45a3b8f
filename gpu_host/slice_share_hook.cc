// What an NF's hook sees of a burst, before and after the device.
#include <algorithm>
#include <array>
#include <bit>

#include "gpu_host/slice_answers.h"
#include "gpu_host/slice_share.h"

namespace hb {

/// Lets the NF's hook have the last word on a burst that is about to leave.
void SliceShare::settle(const SyncerCommon& syncer, const WorkQueue& queue,
                        Answers& answers) noexcept {
  const std::uint32_t mbuf_bytes = syncer.view.check.pool().mbuf_bytes;
  const std::uint64_t which = answers.live & ~answers.bad;
  std::array<const std::uint8_t*, kMaxBurst> data;
  for (std::uint64_t rest = which; rest != 0; rest &= rest - 1) {
    const int i = std::countr_zero(rest);
    data[i] = reinterpret_cast<const std::uint8_t*>(answers.packets[i]) + mbuf_bytes +
              answers.data_off[i];
  }
  spec_.hook->after({.which = which,
                     .words = queue.words(),
                     .data = data.data(),
                     .lengths = answers.length.data(),
                     .verdicts = answers.verdicts.data()});
}

/// @param slots  of the packets: what was checked of their headers
void SliceShare::ask_hook(const SyncerCommon& syncer, rte_mbuf* const* packets, const u64* slots,
                          std::uint32_t n, HbSlotWords* words) noexcept {
  if (spec_.hook == nullptr) {
    std::fill_n(words, n, HbSlotWords{});  // the kernel refuses to answer
    return;
  }
  const PoolLayout& pool = syncer.view.check.pool();
  const std::uint32_t end = pool.mbuf_bytes + pool.headroom + pool.data_room;
  std::array<HookedPacket, kMaxBurst> hooked;
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint32_t at = HB_SLOT_DATA_OFFSET(slots[i]);
    const std::uint32_t length = HB_SLOT_LENGTH(slots[i]);
    hooked[i] = {reinterpret_cast<const std::uint8_t*>(packets[i]) + at, length,
                 at - pool.mbuf_bytes, end - at - length};
  }
  spec_.hook->before({hooked.data(), n}, words);
}

}  // namespace hb
