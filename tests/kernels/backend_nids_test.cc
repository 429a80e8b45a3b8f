// nids on the first device of every backend, staged, against the kernel as host C++: as the program
// suits the device, and with the packets moved by the group even where the device is a CPU. No
// gtest_main, as the program runs itself again as program builder.
#include "tests/kernels/nids_rounds.h"  // first: it decides how kernels/platform.h reads

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gpu_host/backends.h"
#include "tests/kernels/kernel_dir.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kLanes = 64;

BackendOptions options(const std::string& kernels) {
  return {.device_idx = 0,
          .work_group_size = kLanes,
          .max_resident = 4,
          .kernel_dir = kernels,
          .helper_program = "/proc/self/exe"};
}

/// A copy of the kernels whose program takes any device for one on which groups read together.
class TogetherKernels {
 public:
  TogetherKernels() {
    std::filesystem::copy(kernel_dir(), dir_);
    const std::string file = dir_ + "/persistent.cl";
    std::ifstream in(file);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    std::ofstream(file) << "#undef HB_COALESCES\n" << text;
  }
  TogetherKernels(const TogetherKernels&) = delete;
  TogetherKernels& operator=(const TogetherKernels&) = delete;
  ~TogetherKernels() { std::filesystem::remove_all(dir_); }
  [[nodiscard]] const std::string& dir() const { return dir_; }

 private:
  std::string dir_ =
      std::filesystem::temp_directory_path() / ("hb-nids-test-" + std::to_string(getpid()));
};

void expect_agreement(const BackendEntry& entry, const std::string& kernels) {
  const auto backend = entry.make();
  const auto devices = backend->devices(options(kernels));
  if (!devices) GTEST_SKIP() << entry.name << ": " << devices.error().line();
  const auto opened = backend->open(options(kernels));
  ASSERT_TRUE(opened) << opened.error().line();
  NidsRounds rounds(kLanes, 9);
  std::uint64_t n_hits = 0;
  for (const NidsTestTable& table : nids_test_tables()) {
    auto uploaded = backend->upload_table(table.bytes);
    ASSERT_TRUE(uploaded) << uploaded.error().line();
    auto slice = backend->make_staged_slice(
        rounds.view(), {.slice = 0,
                        .work_groups = {0},
                        .kernel = find_kernel("nids"),
                        .program = nullptr,
                        .table = *uploaded,
                        .table_bytes = static_cast<std::uint32_t>(table.bytes.size()),
                        .bounds = {kNidsFirst, kNidsLimit}});
    ASSERT_TRUE(slice) << slice.error().line();
    const std::vector<NidsLine> lines = nids_aligned(table.bytes);
    const auto* const data = reinterpret_cast<const u8*>(lines.data());
    for (int i = 0; i < 30; ++i) {
      rounds.fill(false);
      const std::vector<u64> wanted = rounds.alone(data, table.bytes.size());
      ++rounds.view().queue_control(0)->published.value;
      const Result<void> ran = (*slice)->run();
      ASSERT_TRUE(ran) << ran.error().line();
      const auto& control = *rounds.view().queue_control(0);
      ASSERT_EQ(control.completed.value, control.published.value);
      const std::vector<u64> got = rounds.take_results();
      for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
        ASSERT_EQ(got[lane], wanted[lane]) << table.name << ", round " << i << ", slot " << std::hex
                                           << rounds.view().slots(0)[lane];
        n_hits += HB_RESULT_FLAGS(got[lane]) != 0;
      }
    }
  }
  EXPECT_GT(n_hits, 1000u);
}

class BackendNids : public ::testing::TestWithParam<const BackendEntry*> {};

TEST_P(BackendNids, AgreesWithTheHost) { expect_agreement(*GetParam(), kernel_dir()); }

TEST_P(BackendNids, AgreesWithTheHostWhereTheGroupMovesThePackets) {
  const TogetherKernels kernels;
  expect_agreement(*GetParam(), kernels.dir());
}

std::vector<const BackendEntry*> entries() {
  std::vector<const BackendEntry*> all;
  for (const BackendEntry& entry : all_backends()) all.push_back(&entry);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Each, BackendNids, ::testing::ValuesIn(entries()),
                         [](const auto& entry) { return std::string(entry.param->name); });

}  // namespace
}  // namespace hb::test

int main(int argc, char** argv) {
  const std::vector<std::string_view> args(argv, argv + argc);
  if (args.size() > 3 && args[1] == "--build-program" && args[2] == "--backend") {
    const auto backends = hb::parse_backend(argv[3]);
    const auto kernels = std::ranges::find(args, "--kernels");
    if (!backends || args.end() - kernels < 2) return 1;
    const auto options = hb::test::options(std::string(kernels[1]));
    const auto built = backends->front().make()->build_program(options, nullptr);
    if (!built) std::printf("%s\n", built.error().line().c_str());
    return built ? 0 : 1;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
