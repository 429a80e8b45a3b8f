// ipsec's kernel compiled for the host, between the hook's two halves, against the CPU twin: same
// bytes, same drop reasons. HB_TWIN_PACKETS packets for each test, kPackets unless set.
#include "tests/kernels/host_device.h"  // first: it decides how kernels/platform.h reads

#include <gtest/gtest.h>
#include <ucontext.h>

#include <cstdlib>

#include "tests/kernels/ipsec_twins.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kLanes = 16;
#if defined(__SANITIZE_THREAD__)
// Each barrier waits until 16 threads have had their turn.
constexpr std::uint64_t kPackets = 320;
#else
constexpr std::uint64_t kPackets = 10000;
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Sanitizers know threads.
template <typename Body>
void run_group(std::uint32_t n_lanes, Body body) {
  run_work_groups(1, n_lanes, body);
}
#else
/// One work-group on this thread: its work-items take turns, each until it comes to a barrier. A
/// hundred times as fast as threads that wait for one another.
class TurnTaking {
 public:
  explicit TurnTaking(std::uint32_t n_lanes) : stacks_(n_lanes), items_(n_lanes) {}

  template <typename Body>
  void run(Body& body) {
    body_ = [](void* b) { (*static_cast<Body*>(b))(); };
    argument_ = &body;
    n_left_ = static_cast<std::uint32_t>(items_.size());
    for (std::uint32_t lane = 0; lane < items_.size(); ++lane) prepare(lane);
    for (current_ = this; n_left_ != 0;)
      for (lane_ = 0; lane_ < items_.size() && n_left_ != 0; ++lane_) turn();
  }

 private:
  static constexpr std::size_t kStackBytes = 256 << 10;

  void prepare(std::uint32_t lane) {
    getcontext(&items_[lane]);
    stacks_[lane].resize(kStackBytes);
    items_[lane].uc_stack = {.ss_sp = stacks_[lane].data(), .ss_flags = 0, .ss_size = kStackBytes};
    items_[lane].uc_link = &scheduler_;
    makecontext(
        &items_[lane], [] { current_->enter(); }, 0);
  }

  /// All work-items come to the same barriers, so all end in the same pass.
  void turn() {
    hb_host_item = {.group_id = 0,
                    .local_id = lane_,
                    .local_size = static_cast<u32>(items_.size()),
                    .barrier = [](void*) { current_->yield(); },
                    .state = nullptr,
                    .local = local_.data()};
    swapcontext(&scheduler_, &items_[lane_]);
  }
  void yield() { swapcontext(&items_[lane_], &scheduler_); }
  void enter() {
    body_(argument_);
    --n_left_;
  }

  static inline TurnTaking* current_ = nullptr;
  ucontext_t scheduler_{};
  std::vector<std::vector<std::byte> > stacks_;
  std::vector<ucontext_t> items_;
  std::array<u32, kHostLocalWords> local_{};
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  std::uint32_t lane_ = 0;
  std::uint32_t n_left_ = 0;
};

template <typename Body>
void run_group(std::uint32_t n_lanes, Body body) {
  static TurnTaking group(n_lanes);
  group.run(body);
}
#endif

/// Runs one round of the kernel.
class HostDevice final : public EspDevice {
 public:
  void run(const RegionView& view, std::span<const std::byte> table) override {
    const RegionLayout& layout = view.layout();
    run_group(layout.work_group_size, [&] {
      HbRound round{};
      round.region = reinterpret_cast<u8*>(view.base());
      round.slots = view.slots(0);
      round.results = view.results(0);
      round.words = view.words(0);
      round.table = reinterpret_cast<const u8*>(table.data());
      round.scratch = hb_host_item.local;
      round.region_bytes = layout.total_bytes;
      round.packet_first = kEspBounds.first;
      round.packet_limit = kEspBounds.limit;
      round.grows_front = HB_ESP_MAX_FRONT;
      round.grows_back = HB_ESP_MAX_BACK;
      round.table_bytes = static_cast<u32>(table.size());
      round.lane = LOCAL_ID();
      round.n_lanes = LOCAL_SIZE();
      hb_round_ipsec(&round);
    });
  }
};

std::size_t n_packets() {
  const char* const wanted = std::getenv("HB_TWIN_PACKETS");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : kPackets;
}

TEST(IpsecTwins, AgreeOnRandomPackets) {
  HostDevice device;
  expect_twins_agree(device, kLanes, n_packets());
}

TEST(IpsecTwins, AgreeOnEveryLength) {
  HostDevice device;
  expect_twins_agree_on_every_length(device, kLanes);
}

TEST(IpsecTwins, AgreeOnWhatIsDamaged) {
  HostDevice device;
  expect_twins_agree_on_damage(device, kLanes, n_packets());
}

TEST(IpsecTwins, AgreeOnReplaysLimitsAndPolicies) {
  HostDevice device;
  expect_twins_agree_on_state(device, kLanes);
}

}  // namespace
}  // namespace hb::test
