// The persistent loop on every OpenCL device found here: links hb_gpu_opencl, GTest; no gtest_main,
// as the program runs itself again as litmus peer and program builder.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "gpu_host/litmus.h"
#include "gpu_host/opencl/opencl_backend.h"
#include "gpu_host/self_test.h"
#include "gpu_host/slice_runner.h"
#include "tests/kernels/kernel_dir.h"
#include "tests/kernels/queue_driver.h"

namespace hb::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kGroups = 4;
constexpr std::uint32_t kLanes = 64;
constexpr std::uint32_t kRounds = 4;

BackendOptions options() {
  return {.device_idx = 0,
          .work_group_size = kLanes,
          .max_resident = 2 * 2 * kGroups + 2,
          .kernel_dir = kernel_dir(),
          .helper_program = "/proc/self/exe"};
}

/// One device for all tests of this file, as in gpu_host; and a region in a file of shared memory.
class OpenClPersistent : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    backend_ = make_opencl_backend().release();
    const auto devices = backend_->devices(options());
    why_not_ = devices ? "" : devices.error().line();
    if (!devices) return;
    const auto opened = backend_->open(options());
    ASSERT_TRUE(opened) << opened.error().line();
    std::printf("device '%s'\n", opened->name.c_str());
  }
  static void TearDownTestSuite() { delete backend_; }

  void SetUp() override {
    if (!why_not_.empty()) GTEST_SKIP() << why_not_;
    path_ = "/dev/shm/hb-opencl-test-" + std::to_string(getpid());
    FILE* const file = std::fopen(path_.c_str(), "w+");
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(ftruncate(fileno(file), static_cast<off_t>(layout_.total_bytes)), 0);
    void* const base =
        mmap(nullptr, layout_.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
    std::fclose(file);
    ASSERT_NE(base, MAP_FAILED);
    view_ = RegionView(static_cast<std::byte*>(base), layout_);
    view_.format();
  }
  void TearDown() override {
    if (view_.base() != nullptr) munmap(view_.base(), layout_.total_bytes);
    if (!path_.empty()) unlink(path_.c_str());
  }

  std::unique_ptr<SliceRunner> make_runner(const char* kernel, std::uint32_t slice,
                                           std::uint32_t first) {
    SliceSpec spec;
    spec.slice = slice;
    for (std::uint32_t i = 0; i < kGroups; ++i) spec.work_groups.push_back(first + i);
    spec.kernel = find_kernel(kernel);
    const auto table = backend_->upload_table(spec.kernel->self_test().table);
    EXPECT_TRUE(table);
    spec.table = *table;
    auto made = backend_->make_slice(spec);
    EXPECT_TRUE(made) << made.error().line();
    return std::make_unique<SliceRunner>(view_, spec, std::move(*made), versions_,
                                         [](const Error& error) { ADD_FAILURE() << error.line(); });
  }

  /// Two slices with different NFs at once, until each has answered n rounds.
  void run_two_slices(std::uint64_t n) {
    const TestPackets packets(view_);
    auto a = make_runner("forward", 0, 0);
    auto b = make_runner("nids", 1, kGroups);
    QueueDriver first(view_, packets, 0, kGroups, HB_GPU_NF_FORWARD, 11);
    QueueDriver second(view_, packets, kGroups, kGroups, HB_GPU_NF_NIDS, 12);
    a->start();
    b->start();
    const auto begin = Clock::now();
    while ((first.n_checked() < n || second.n_checked() < n) &&
           Clock::now() - begin < std::chrono::seconds(90)) {
      const std::uint32_t moved = first.step(n) + second.step(n);
      a->doorbell().ring();
      b->doorbell().ring();
      if (moved == 0) std::this_thread::yield();
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    EXPECT_EQ(first.n_checked(), n) << "stuck";
    EXPECT_EQ(second.n_checked(), n) << "stuck";
    EXPECT_EQ(first.n_wrong() + second.n_wrong(), 0u);
    std::printf("%.0f rounds of %u slots in %.2f s, %.2f Mpps, launches %lu + %lu\n", 2.0 * n,
                kLanes, seconds, 2e-6 * n * kLanes / seconds, a->n_launches(), b->n_launches());
  }

  static inline Backend* backend_ = nullptr;
  static inline std::string why_not_;
  std::string path_;
  RegionLayout layout_ = queue_layout(2 * kGroups, kLanes, kRounds);
  RegionView view_;
  TableVersions versions_{2 * kGroups};
};

TEST_F(OpenClPersistent, EveryKernelPassesItsSelfTest) {
  for (const KernelEntry& kernel : kernel_catalog()) {
    const Result<void> ran = run_self_test(*backend_, kernel, kLanes);
    EXPECT_TRUE(ran) << ran.error().line();
  }
}

TEST_F(OpenClPersistent, AModeIsFoundAndTheOthersSayWhyNot) {
  const auto report = backend_->map_region({path_, view_}, nullptr);
  ASSERT_TRUE(report) << report.error().line();
  std::printf("memory mode %s (%s)\n", to_string(report->mode), report->why.c_str());
  for (const MemoryMode mode :
       {MemoryMode::kSvmSystem, MemoryMode::kSvmAlias, MemoryMode::kHostPtr}) {
    const auto one = backend_->map_region({path_, view_}, &mode);
    std::printf("  %s: %s\n", to_string(mode), one ? "works" : one.error().what.c_str());
    if (!one) {
      EXPECT_FALSE(one.error().what.empty());
    }
  }
}

TEST_F(OpenClPersistent, RegressionOf96000RoundsWithSeveralNfs) {
  const auto report = backend_->map_region({path_, view_}, nullptr);
  ASSERT_TRUE(report);
  // On a device that only stages, each launch takes some rounds: fewer will do.
  run_two_slices(report->mode == MemoryMode::kStaged ? 6000 : 48000);
}

TEST_F(OpenClPersistent, StagedIsAModeLikeTheOthers) {
  const MemoryMode staged = MemoryMode::kStaged;
  ASSERT_TRUE(backend_->map_region({path_, view_}, &staged));
  run_two_slices(4000);
}

TEST_F(OpenClPersistent, AnIdleLaunchEndsByItselfAndWorkWakesItAgain) {
  const auto report = backend_->map_region({path_, view_}, nullptr);
  ASSERT_TRUE(report);
  const TestPackets packets(view_);
  auto runner = make_runner("forward", 0, 0);
  QueueDriver driver(view_, packets, 0, kGroups, HB_GPU_NF_FORWARD, 5);
  runner->start();
  double longest_ms = 0;
  for (std::uint64_t n = 1; n <= 50; ++n) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const auto begin = Clock::now();
    while (driver.n_checked() < n && Clock::now() - begin < std::chrono::seconds(5)) {
      driver.step(n);
      runner->doorbell().ring();
    }
    ASSERT_EQ(driver.n_checked(), n) << "a wake-up was lost";
    longest_ms = std::max(longest_ms,
                          std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  }
  std::printf("longest wake-up %.2f ms, %lu launches\n", longest_ms, runner->n_launches());
  const auto begin = Clock::now();
  runner->stop();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(OpenClPersistent, MoreWorkGroupsThanThreadsAreRefused) {
  ASSERT_TRUE(backend_->map_region({path_, view_}, nullptr));
  const auto table = backend_->upload_table({});
  ASSERT_TRUE(table);
  SliceSpec spec;
  spec.work_groups.resize(options().max_resident + 1);
  spec.kernel = find_kernel("forward");
  spec.table = *table;
  const auto slice = backend_->make_slice(spec);
  EXPECT_FALSE(slice);
}

}  // namespace
}  // namespace hb::test

int main(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "--litmus-peer" && argc == 4)
    return hb::run_litmus_peer(argv[2], std::strtoull(argv[3], nullptr, 10));
  if (first == "--build-program") {
    const hb::Result<void> built =
        hb::make_opencl_backend()->build_program(hb::test::options(), nullptr);
    if (!built) std::printf("%s\n", built.error().line().c_str());
    return built ? 0 : 1;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
