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
  for (std::uint64_t rest = answers.live & ~answers.bad; rest != 0; rest &= rest - 1) {
    const int i = std::countr_zero(rest);
    const rte_mbuf* const mbuf = answers.packets[i];
    const auto* const bytes =
        reinterpret_cast<const std::uint8_t*>(mbuf) + mbuf_bytes + mbuf->data_off;
    answers.verdicts[i] = spec_.hook->after(queue.words(static_cast<std::uint32_t>(i)),
                                            answers.verdicts[i], {bytes, mbuf->data_len});
  }
}

void SliceShare::ask_hook(const SyncerCommon& syncer, rte_mbuf* const* packets, std::uint32_t n,
                          HbSlotWords* words) noexcept {
  std::fill_n(words, n, HbSlotWords{});
  if (spec_.hook == nullptr) return;  // zeros: the kernel refuses to answer
  const PoolLayout& pool = syncer.view.check.pool();
  std::array<HookedPacket, kMaxBurst> hooked;
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint32_t headroom = packets[i]->data_off;
    const std::uint32_t length = packets[i]->data_len;
    hooked[i] = {reinterpret_cast<const std::uint8_t*>(packets[i]) + pool.mbuf_bytes + headroom,
                 length, headroom, pool.headroom + pool.data_room - headroom - length};
  }
  spec_.hook->before({hooked.data(), n}, words);
}

}  // namespace hb
