// ipsec's kernel compiled for the host, between the hook's two halves, against the CPU twin: same
// bytes, same drop reasons. HB_TWIN_PACKETS packets for each test, kPackets unless set.
#include "tests/kernels/host_device.h"  // first: it decides how kernels/platform.h reads

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/kernels/ipsec_twins.h"
#include "tests/kernels/run_group.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kLanes = 16;
#if defined(__SANITIZE_THREAD__)
// Each barrier waits until 16 threads have had their turn.
constexpr std::uint64_t kPackets = 320;
#else
constexpr std::uint64_t kPackets = 10000;
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
