// An NF that does with each packet what a test has written into it.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "nf_lib/nf.h"
#include "tests/unit/small_platform.h"

namespace hb::test {

/// What to do with a packet; its first byte says it.
enum class Plan : std::uint8_t { kNext, kPort0, kPort1, kPort2, kHold, kDrop };

inline void set_plan(rte_mbuf* mbuf, Plan plan) { *rte_pktmbuf_mtod(mbuf, Plan*) = plan; }

struct NfPlan {
  /// In this burst (from 1), before anything else, all held packets are released: to ports 0 and 1
  /// in turn; every `keep`th stays.
  std::uint32_t release_in_burst = 0;
  std::uint32_t keep = 0;
  bool in_two_calls = false;
  /// In this burst so many packets are originated, for ports 2 and 0 in turn.
  std::uint32_t originate_in_burst = 0;
  std::uint32_t n_originated = 0;
};

class PlannedNf final : public NetworkFunction {
 public:
  explicit PlannedNf(const NfPlan& plan = {}) : plan_(plan) { held_.reserve(kHeldSlots); }
  void use(NfContext& context) { context_ = &context; }

  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<Verdict> verdicts) noexcept override {
    ++n_bursts_;
    smallest_burst_ = std::min(smallest_burst_, burst.size());
    if (n_bursts_ == plan_.release_in_burst) release_all();
    if (n_bursts_ == plan_.originate_in_burst) originate();
    for (std::size_t i = 0; i < burst.size(); ++i) {
      const Plan plan = *rte_pktmbuf_mtod(burst[i], const Plan*);
      verdicts[i] = verdict_of(plan);
      if (plan == Plan::kHold && held_.size() < kHeldSlots) held_.push_back(burst[i]);
    }
  }

  [[nodiscard]] std::uint32_t n_bursts() const { return n_bursts_; }
  [[nodiscard]] std::size_t smallest_burst() const { return smallest_burst_; }
  [[nodiscard]] const std::vector<rte_mbuf*>& held() const { return held_; }

 private:
  static Verdict verdict_of(Plan plan) noexcept {
    switch (plan) {
      case Plan::kPort0:
      case Plan::kPort1:
      case Plan::kPort2:
        return Verdict::to_port(static_cast<std::uint32_t>(plan) - 1);
      case Plan::kHold:
        return Verdict::hold();
      case Plan::kDrop:
        return Verdict::drop(1);
      case Plan::kNext:
        break;
    }
    return Verdict::next();
  }
  void release_all() noexcept {
    std::array<Verdict, kHeldSlots> verdicts;
    for (std::size_t i = 0; i < held_.size(); ++i)
      verdicts[i] =
          plan_.keep != 0 && i % plan_.keep == 0 ? Verdict::hold() : Verdict::to_port(i % 2);
    const std::size_t half = plan_.in_two_calls ? held_.size() / 2 : held_.size();
    const std::span packets(held_);
    context_->release(packets.first(half), std::span(verdicts.data(), half));
    context_->release(packets.subspan(half),
                      std::span(verdicts.data() + half, held_.size() - half));
    held_.clear();
  }
  void originate() noexcept {
    std::array<rte_mbuf*, kMaxBurst> fresh;
    std::array<Verdict, kMaxBurst> verdicts;
    const std::uint32_t n = context_->originate(std::span(fresh.data(), plan_.n_originated));
    for (std::uint32_t i = 0; i < n; ++i) verdicts[i] = Verdict::to_port(i % 2 == 0 ? 2 : 0);
    context_->send_originated(std::span(verdicts.data(), n));
  }

  NfPlan plan_;
  NfContext* context_ = nullptr;
  std::uint32_t n_bursts_ = 0;
  std::size_t smallest_burst_ = kMaxBurst;
  std::vector<rte_mbuf*> held_;
};

}  // namespace hb::test
