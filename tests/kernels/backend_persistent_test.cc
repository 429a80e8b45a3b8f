// The persistent loop on the first device of every backend: one suite for all of them, skipped
// where a backend finds no device. No gtest_main, as the program runs itself again as litmus peer
// and program builder.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "gpu_host/backends.h"
#include "gpu_host/litmus.h"
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
class BackendPersistent : public ::testing::TestWithParam<const BackendEntry*> {
 protected:
  static void TearDownTestSuite() {
    backend_.reset();
    opened_ = nullptr;
  }

  void open() {
    backend_ = GetParam()->make();
    opened_ = GetParam();
    const auto devices = backend_->devices(options());
    why_not_ = devices ? "" : devices.error().line();
    if (!devices) return;
    const auto opened = backend_->open(options());
    why_not_ = opened ? "" : opened.error().line();
    ASSERT_TRUE(opened) << why_not_;
    std::printf("device '%s'\n", opened->name.c_str());
  }

  void SetUp() override {
    if (opened_ != GetParam()) open();
    if (!why_not_.empty()) GTEST_SKIP() << GetParam()->name << ": " << why_not_;
    path_ = "/dev/shm/hb-backend-test-" + std::to_string(getpid());
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
           Clock::now() - begin < std::chrono::seconds(300)) {
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

  static inline std::unique_ptr<Backend> backend_;
  static inline const BackendEntry* opened_ = nullptr;
  static inline std::string why_not_;
  std::string path_;
  RegionLayout layout_ = queue_layout(2 * kGroups, kLanes, kRounds);
  RegionView view_;
  TableVersions versions_{2 * kGroups};
};

TEST_P(BackendPersistent, EveryKernelPassesItsSelfTest) {
  for (const KernelEntry& kernel : kernel_catalog()) {
    const Result<void> ran = run_self_test(*backend_, kernel, kLanes);
    EXPECT_TRUE(ran) << ran.error().line();
  }
}

TEST_P(BackendPersistent, AModeIsFoundAndTheOthersSayWhyNot) {
  const auto report = backend_->map_region({path_, view_}, nullptr);
  ASSERT_TRUE(report) << report.error().line();
  std::printf("memory mode %s (%s)\n", to_string(report->mode), report->why.c_str());
  for (const MemoryMode mode : {MemoryMode::kSvmSystem, MemoryMode::kSvmAlias, MemoryMode::kHostPtr,
                                MemoryMode::kRegistered}) {
    const auto one = backend_->map_region({path_, view_}, &mode);
    std::printf("  %s: %s\n", to_string(mode), one ? "works" : one.error().what.c_str());
    if (!one) {
      EXPECT_FALSE(one.error().what.empty());
    }
  }
}

TEST_P(BackendPersistent, RegressionOf96000RoundsWithSeveralNfs) {
  const auto report = backend_->map_region({path_, view_}, nullptr);
  ASSERT_TRUE(report);
  // On a device that only stages, each launch takes some rounds: fewer will do.
  run_two_slices(report->mode == MemoryMode::kStaged ? 6000 : 48000);
}

TEST_P(BackendPersistent, StagedIsAModeLikeTheOthers) {
  const MemoryMode staged = MemoryMode::kStaged;
  ASSERT_TRUE(backend_->map_region({path_, view_}, &staged));
  run_two_slices(4000);
}

TEST_P(BackendPersistent, AnIdleLaunchEndsByItselfAndWorkWakesItAgain) {
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
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(10));
}

TEST_P(BackendPersistent, MoreWorkGroupsThanThreadsAreRefused) {
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

TEST_P(BackendPersistent, ATableIsUploadedAndASelfTestRunsBesideARunningSlice) {
  ASSERT_TRUE(backend_->map_region({path_, view_}, nullptr));
  const TestPackets packets(view_);
  QueueDriver driver(view_, packets, 0, kGroups, HB_GPU_NF_FORWARD, 21);
  auto runner = make_runner("forward", 0, 0);
  runner->start();
  std::atomic<bool> done = false;
  std::jthread traffic([&] {  // the slice never idles out
    while (!done.load(std::memory_order_relaxed)) {
      driver.step(~std::uint64_t{0});
      runner->doorbell().ring();
      std::this_thread::yield();
    }
  });
  const auto begin = Clock::now();
  std::vector<std::byte> large(8u << 20, std::byte{7});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(backend_->upload_table(large));  // and given back
  const Result<void> ran = run_self_test(*backend_, *find_kernel("nids"), kLanes);
  EXPECT_TRUE(ran) << ran.error().line();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(120)) << "it waited for the slice to end";
  const std::uint64_t before = driver.n_wrong();
  done.store(true, std::memory_order_relaxed);
  traffic.join();
  EXPECT_EQ(before, 0u);
  EXPECT_EQ(driver.n_wrong(), 0u);
}

TEST_P(BackendPersistent, CopiesHaveARate) {
  const auto rates = backend_->copy_rates(4u << 20, 4);
  ASSERT_TRUE(rates) << rates.error().line();
  EXPECT_GT(rates->in_gbps, 0.01);
  EXPECT_GT(rates->out_gbps, 0.01);
  std::printf("copies: in %.1f Gbps, out %.1f Gbps\n", rates->in_gbps, rates->out_gbps);
}

std::vector<const BackendEntry*> entries() {
  std::vector<const BackendEntry*> all;
  for (const BackendEntry& entry : all_backends()) all.push_back(&entry);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Each, BackendPersistent, ::testing::ValuesIn(entries()),
                         [](const auto& entry) { return std::string(entry.param->name); });

}  // namespace
}  // namespace hb::test

int main(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "--litmus-peer" && argc == 4)
    return hb::run_litmus_peer(argv[2], std::strtoull(argv[3], nullptr, 10));
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
