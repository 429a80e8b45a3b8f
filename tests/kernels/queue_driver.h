// Plays the CPUSyncer for the persistent loop alone: publishes rounds of random slots and checks
// every answer against what the NF must say.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "gpu_host/catalog.h"
#include "nf_lib/region.h"

namespace hb::test {

/// A region for queues and some packets, without rings.
inline RegionLayout queue_layout(std::uint32_t n_work_groups, std::uint32_t work_group_size,
                                 std::uint32_t n_rounds, std::uint64_t page_bytes = 4096) {
  RegionDemand demand;
  demand.n_contexts = 1;
  demand.n_endpoints = 2;
  demand.ring_size = demand.fill_size = 8;
  demand.pool_size = 8;
  demand.n_work_groups = n_work_groups;
  demand.work_group_size = work_group_size;
  demand.n_rounds = n_rounds;
  demand.packet_bytes = 256 * 2048;
  demand.page_bytes = page_bytes;
  return plan_region(demand);
}

/// Packets of the region: letters in which some hold "ab". Any slot may name any of them.
class TestPackets {
 public:
  static constexpr std::uint32_t kCount = 256;
  static constexpr std::uint32_t kStride = 2048;

  explicit TestPackets(const RegionView& view) : view_(view), found_(kCount) {
    std::mt19937 random(7);
    for (std::uint32_t i = 0; i < kCount; ++i) {
      std::string text(14 + random() % 200, ' ');
      for (char& c : text) c = "abcdefghABCDEFGH"[random() % 16];
      offset_.push_back(192 + random() % 64);  // data need not be aligned
      length_.push_back(static_cast<std::uint32_t>(text.size()));
      std::memcpy(view.base() + view.layout().packets + i * kStride + offset_[i], text.data(),
                  text.size());
      std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
      found_[i] = std::string_view(text).substr(14).find("ab") != std::string_view::npos;
    }
  }
  [[nodiscard]] u64 slot(std::uint32_t i) const {
    return HB_SLOT((view_.layout().packets + std::uint64_t{i} * kStride) / 64, length_[i],
                   offset_[i]);
  }
  /// What the kernel must answer; only for slots made by slot().
  [[nodiscard]] u64 answer(u64 slot, std::uint32_t nf) const {
    if (slot == 0) return 0;
    const std::uint64_t i = (HB_SLOT_BASE(slot) - view_.layout().packets) / kStride;
    const bool copy = nf == HB_GPU_NF_NIDS && found_[i];
    return HB_RESULT_UNCHANGED(slot, copy ? HB_RESULT_COPY_TO_CPU : 0);
  }

 private:
  RegionView view_;
  std::vector<std::uint32_t> offset_, length_;
  std::vector<char> found_;
};

/// Drives the queues of one slice. One thread.
class QueueDriver {
 public:
  QueueDriver(const RegionView& view, const TestPackets& packets, std::uint32_t first,
              std::uint32_t n, std::uint32_t nf, std::uint32_t seed)
      : view_(view), packets_(packets), first_(first), nf_(nf), queues_(n), random_(seed) {
    for (std::uint32_t i = 0; i < n; ++i)
      queues_[i].published = queues_[i].checked = view.queue_control(first + i)->published.value;
  }

  /// Checks what is done and publishes up to `most` rounds more. @return rounds checked
  std::uint32_t step(std::uint64_t most) {
    std::uint32_t n_checked = 0;
    for (std::uint32_t i = 0; i < queues_.size(); ++i) {
      n_checked += check(i);
      Queue& queue = queues_[i];
      if (n_published_ < most && queue.published - queue.checked < view_.layout().n_rounds &&
          random_() % 4 != 0) {
        fill(i);
        ++n_published_;
      }
    }
    n_checked_ += n_checked;
    return n_checked;
  }

  [[nodiscard]] std::uint64_t n_checked() const { return n_checked_; }
  [[nodiscard]] std::uint64_t n_wrong() const { return n_wrong_; }

 private:
  struct Queue {
    std::uint32_t published = 0;
    std::uint32_t checked = 0;
  };

  [[nodiscard]] std::uint64_t index(std::uint32_t round) const {
    return std::uint64_t{round % view_.layout().n_rounds} * view_.layout().work_group_size;
  }
  void fill(std::uint32_t i) {
    u64* const slots = view_.slots(first_ + i) + index(queues_[i].published);
    u64* const results = view_.results(first_ + i) + index(queues_[i].published);
    for (std::uint32_t lane = 0; lane < view_.layout().work_group_size; ++lane) {
      slots[lane] = random_() % 8 == 0 ? 0 : packets_.slot(random_() % TestPackets::kCount);
      results[lane] = ~u64{0};
    }
    ++queues_[i].published;
    std::atomic_ref<u32>(view_.queue_control(first_ + i)->published.value)
        .store(queues_[i].published, std::memory_order_release);
  }
  std::uint32_t check(std::uint32_t i) {
    const std::uint32_t completed =
        std::atomic_ref<u32>(view_.queue_control(first_ + i)->completed.value)
            .load(std::memory_order_acquire);
    std::uint32_t n = 0;
    for (; queues_[i].checked != completed; ++queues_[i].checked, ++n) {
      const std::uint64_t at = index(queues_[i].checked);
      for (std::uint32_t lane = 0; lane < view_.layout().work_group_size; ++lane) {
        const u64 slot = view_.slots(first_ + i)[at + lane];
        n_wrong_ += view_.results(first_ + i)[at + lane] != packets_.answer(slot, nf_);
      }
    }
    return n;
  }

  RegionView view_;
  const TestPackets& packets_;
  std::uint32_t first_;
  std::uint32_t nf_;
  std::vector<Queue> queues_;
  std::mt19937 random_;
  std::uint64_t n_published_ = 0;
  std::uint64_t n_checked_ = 0;
  std::uint64_t n_wrong_ = 0;
};

}  // namespace hb::test
