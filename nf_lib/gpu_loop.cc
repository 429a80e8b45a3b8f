#include "nf_lib/gpu_loop.h"

#include <algorithm>

#include "nf_lib/fault_point.h"

namespace hb {

bool GpuLoop::turn() noexcept {
  // Acquire: pairs with the release store in replaced(). It is read before the queues are: a copy
  // that was there before the outcome was known is handed over before the outcome is told.
  const Outcome outcome = outcome_.load(std::memory_order_acquire);
  bool worked = false;
  for (CopyQueue& queue : queues_) worked |= take(queue);
  if (outcome == Outcome::kInForce || outcome == Outcome::kFailed) {
    tell_outcome(outcome);
    // Release: pairs with the acquire load in replaced().
    outcome_.store(Outcome::kNone, std::memory_order_release);
    outcome_.notify_one();
  }
  return worked;
}

/// Not until it is empty: one CPUSyncer that is always faster would keep the others waiting.
bool GpuLoop::take(CopyQueue& queue) noexcept {
  const std::uint32_t n = queue.size();
  for (std::uint32_t i = 0; i < n; ++i) {
    const CopyRecord* const record = queue.front();
    const std::uint32_t length = std::min<std::uint32_t>(record->length, queue.max_length());
    const std::span<const std::uint8_t> bytes(record->bytes(), length);
    if (record->answer != CopyRecord::kAsked) {
      nf_.on_copy(*record, bytes);
    } else {
      const GpuAnswer answer = nf_.on_question(*record, bytes);
      queue.answer(HB_RESULT(answer.verdict.kind(), answer.type ? HB_RESULT_NEW_TYPE : 0, 0, 0,
                             answer.type.value_or(0), answer.verdict.argument()));
    }
    fault_point("copy_handled");
    queue.pop();
    fault_point("copy_taken");
  }
  return n != 0;
}

void GpuLoop::tell_outcome(Outcome outcome) noexcept {
  nf_.on_replaced(outcome == Outcome::kInForce);
}

void GpuLoop::end() noexcept {
  for (CopyQueue& queue : queues_) take(queue);
  const Outcome outcome = outcome_.exchange(Outcome::kOver, std::memory_order_acq_rel);
  if (outcome == Outcome::kInForce || outcome == Outcome::kFailed) tell_outcome(outcome);
  outcome_.notify_one();
}

void GpuLoop::replaced(bool in_force) noexcept {
  const Outcome outcome = in_force ? Outcome::kInForce : Outcome::kFailed;
  Outcome now = Outcome::kNone;
  // Release: pairs with the acquire load in turn(), and the exchange in end().
  if (!outcome_.compare_exchange_strong(now, outcome, std::memory_order_acq_rel)) {
    tell_outcome(outcome);  // the run loop is over
    return;
  }
  outcome_.wait(outcome, std::memory_order_acquire);
}

}  // namespace hb
