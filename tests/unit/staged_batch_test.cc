// Batches of the staged mode, over plain memory: the test is the device. Links hb_gpu_host, GTest.
#include "gpu_host/staged_batch.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "tests/unit/plain_platform.h"

namespace hb::test {
namespace {

/// Moves whenever it grows, and leaves ones where it lay: what still looks there sees them.
class MovingMemory final : public StagingMemory {
 public:
  explicit MovingMemory(unsigned& n_moves) : n_moves_(n_moves) {}
  [[nodiscard]] std::byte* data() override { return places_.back().data(); }
  [[nodiscard]] std::size_t size() const override {
    return places_.empty() ? 0 : places_.back().size();
  }
  Result<void> grow(std::size_t bytes) override {
    std::vector<std::byte> larger(bytes);
    if (!places_.empty()) {
      std::memcpy(larger.data(), places_.back().data(), size());
      const std::vector<std::uint32_t> ones(size() / sizeof(std::uint32_t), 1);
      std::memcpy(places_.back().data(), ones.data(), ones.size() * sizeof(std::uint32_t));
      ++n_moves_;
    }
    places_.push_back(std::move(larger));
    return {};
  }

 private:
  unsigned& n_moves_;
  std::vector<std::vector<std::byte>> places_;
};

TEST(StagedBatch, HoldsAllPublishedRoundsThoughItsMemoryMovesMeanwhile) {
  const PlainPlatform platform({.work_group_size = 256});
  const RegionView& view = platform.view.region;
  const RegionLayout& layout = view.layout();
  SliceSpec spec;
  spec.work_groups = {0, 1, 2, 3};
  spec.kernel = find_kernel("limit_write");
  constexpr std::uint16_t kBytes = 512;
  std::uint32_t n_packets = 0;
  for (const std::uint32_t group : spec.work_groups) {
    for (std::uint32_t slot = 0; slot < view.slots_per_queue(); ++slot, ++n_packets) {
      const rte_mbuf* const mbuf = platform.packet(n_packets % platform.n_packets());
      const auto base =
          static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(mbuf) - view.base());
      view.slots(group)[slot] = HB_SLOT(base / 64, kBytes, sizeof(rte_mbuf) + mbuf->data_off);
    }
    view.queue_control(group)->published.value = layout.n_rounds;
  }

  unsigned n_moves = 0;
  auto batch = StagedBatch::make(view, spec, std::make_unique<MovingMemory>(n_moves));
  ASSERT_TRUE(batch) << batch.error().line();
  const Result<void> gathered = batch->gather();
  ASSERT_TRUE(gathered) << gathered.error().line();
  EXPECT_GT(n_moves, 0u);
  const auto* const slots = reinterpret_cast<const u64*>(batch->data() + batch->slots());
  for (std::uint32_t i = 0; i < n_packets; ++i) EXPECT_EQ(HB_SLOT_LENGTH(slots[i]), kBytes) << i;
  const auto* const controls =
      reinterpret_cast<const HbQueueControl*>(batch->data() + batch->controls());
  for (std::size_t i = 0; i < spec.work_groups.size(); ++i) {
    EXPECT_EQ(controls[i].published.value, layout.n_rounds);
    EXPECT_EQ(controls[i].completed.value, 0u);
  }
}

}  // namespace
}  // namespace hb::test
