// The kernels as CUDA C++: compiled by NVRTC where it can be loaded; no GPU needed.
#include <gtest/gtest.h>

#include "gpu_host/cuda/driver_api.h"
#include "gpu_host/cuda/nvrtc.h"
#include "tests/kernels/kernel_dir.h"

namespace hb::test {
namespace {

class KernelsUnderNvrtc : public ::testing::Test {
 protected:
  KernelsUnderNvrtc() : nvrtc_(cuda::Nvrtc::load()) {}
  void SetUp() override {
    if (!nvrtc_) GTEST_SKIP() << nvrtc_.error().line();
  }
  Result<cuda::Nvrtc> nvrtc_;
};

TEST_F(KernelsUnderNvrtc, ThePersistentProgramBecomesMachineCode) {
  const auto source = load_kernel_source(kernel_dir(), "persistent.cl");
  ASSERT_TRUE(source) << source.error().line();
  for (const int arch : {75, 80, 90}) {  // Turing is the first with acquire loads
    const auto code = nvrtc_->compile(*source, arch);
    ASSERT_TRUE(code) << code.error().line();
    EXPECT_EQ(code->substr(0, 4),
              "\x7f"
              "ELF");
    EXPECT_NE(code->find("hb_persistent"), std::string::npos);
    EXPECT_NE(code->find("hb_litmus"), std::string::npos);
  }
}

TEST_F(KernelsUnderNvrtc, ADeviceNewerThanTheCompilerGetsPtx) {
  const auto source = load_kernel_source(kernel_dir(), "persistent.cl");
  ASSERT_TRUE(source);
  const auto code = nvrtc_->compile(*source, 999);
  ASSERT_TRUE(code) << code.error().line();
  EXPECT_NE(code->find(".visible .entry hb_persistent"), std::string::npos);
}

TEST_F(KernelsUnderNvrtc, AnErrorNamesFileAndLine) {
  const auto code = nvrtc_->compile("#line 7 \"broken.cl\"\nnonsense;\n", 90);
  ASSERT_FALSE(code);
  EXPECT_NE(code.error().what.find("broken.cl(7)"), std::string::npos) << code.error().what;
}

TEST(CudaDriver, IsThereOrSaysWhatIsMissing) {
  const auto api = cuda::load_driver();
  if (api) return;
  EXPECT_FALSE(api.error().what.empty());
  EXPECT_NE(api.error().fix.find("--gpu"), std::string::npos) << api.error().line();
}

}  // namespace
}  // namespace hb::test
