// ipsec's twins where the kernel runs on the first device of every backend, staged. No gtest_main,
// as the program runs itself again as program builder. HB_TWIN_PACKETS packets, 10,000 unless set.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "gpu_host/backends.h"
#include "tests/kernels/ipsec_twins.h"
#include "tests/kernels/kernel_dir.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kLanes = 64;

BackendOptions options() {
  return {.device_idx = 0,
          .work_group_size = kLanes,
          .max_resident = 4,
          .kernel_dir = kernel_dir(),
          .helper_program = "/proc/self/exe"};
}

class StagedDevice final : public EspDevice {
 public:
  explicit StagedDevice(Backend& backend) : backend_(backend) {}
  void run(const RegionView& view, std::span<const std::byte> table) override {
    auto uploaded = backend_.upload_table(table);
    ASSERT_TRUE(uploaded) << uploaded.error().line();
    auto slice =
        backend_.make_staged_slice(view, {.slice = 0,
                                          .work_groups = {0},
                                          .kernel = find_kernel("ipsec"),
                                          .program = nullptr,
                                          .table = *uploaded,
                                          .table_bytes = static_cast<std::uint32_t>(table.size()),
                                          .bounds = kEspBounds});
    ASSERT_TRUE(slice) << slice.error().line();
    view.queue_control(0)->published.value = 1;
    const Result<void> ran = (*slice)->run();
    ASSERT_TRUE(ran) << ran.error().line();
    ASSERT_EQ(view.queue_control(0)->completed.value, 1u);
  }

 private:
  Backend& backend_;
};

class BackendIpsec : public ::testing::TestWithParam<const BackendEntry*> {
 protected:
  void SetUp() override {
    backend_ = GetParam()->make();
    const auto devices = backend_->devices(options());
    if (!devices) GTEST_SKIP() << GetParam()->name << ": " << devices.error().line();
    const auto opened = backend_->open(options());
    ASSERT_TRUE(opened) << opened.error().line();
    device_ = std::make_unique<StagedDevice>(*backend_);
  }
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<StagedDevice> device_;
};

std::size_t n_packets() {
  const char* const wanted = std::getenv("HB_TWIN_PACKETS");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 10000;
}

TEST_P(BackendIpsec, AgreesOnRandomPackets) { expect_twins_agree(*device_, kLanes, n_packets()); }

TEST_P(BackendIpsec, AgreesOnDamageLengthsAndState) {
  expect_twins_agree_on_damage(*device_, kLanes, n_packets());
  expect_twins_agree_on_every_length(*device_, kLanes);
  expect_twins_agree_on_state(*device_, kLanes);
}

std::vector<const BackendEntry*> entries() {
  std::vector<const BackendEntry*> all;
  for (const BackendEntry& entry : all_backends()) all.push_back(&entry);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Each, BackendIpsec, ::testing::ValuesIn(entries()),
                         [](const auto& entry) { return std::string(entry.param->name); });

}  // namespace
}  // namespace hb::test

int main(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "--build-program" && argc > 3 && std::string_view(argv[2]) == "--backend") {
    const auto backends = hb::parse_backend(argv[3]);
    if (!backends) return 1;
    const auto built = backends->front().make()->build_program(hb::test::options(), nullptr);
    if (!built) std::printf("%s\n", built.error().line().c_str());
    return built ? 0 : 1;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
