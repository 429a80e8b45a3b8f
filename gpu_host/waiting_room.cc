#include "gpu_host/waiting_room.h"

namespace hb {

WaitingRoom::WaitingRoom(const RegionView& region, EndpointId endpoint, ContextId own,
                         std::uint32_t n_records)
    : ring_(region.ring(endpoint, own)),
      id_(region.ring_id(endpoint, own)),
      endpoint_(endpoint),
      mask_(region.planned_size(id_) - 1),
      next_(ring_->prod.tail),
      entries_(region.planned_size(id_)),
      asked_at_(n_records),
      n_waiting_(kBuckets) {
  n_waiting_[bucket_of(0)] = n_waiting(ring_, mask_ + 1);
}

std::uint32_t WaitingRoom::n_free(std::uint32_t most, bool answers_come) noexcept {
  if (ring_ == nullptr) return 0;
  const std::uint32_t there = next_ - ring_->cons.tail;
  std::uint32_t n = 0;
  for (; n < most && n < there; ++n) {
    Entry& entry = entries_[(ring_->cons.tail + n) & mask_];
    if (entry.state != State::kAsked) continue;
    if (answers_come) break;
    entry.state = State::kUnjudged;
  }
  return n;
}

void WaitingRoom::leave(std::uint32_t n) noexcept {
  for (std::uint32_t i = 0; i < n; ++i) {
    Entry& entry = entries_[(ring_->cons.tail + i) & mask_];
    --n_waiting_[bucket_of(entry.flow_hash)];
    entry = Entry{};
  }
}

}  // namespace hb
