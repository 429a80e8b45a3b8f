// What a user's kernel declares about itself.
#include "nf_lib/kernel_file.h"

#include <gtest/gtest.h>

namespace hb::test {
namespace {

TEST(KernelFile, ReadsItsDeclarations) {
  const auto kernel = parse_kernel_file(
      "k.cl",
      "//! writes_packets\ncode //! not one\n//! grows_front 20\n//! grows_back 4096\n"
      "//! drop_reasons one two_2\n//! drop_reasons three\nvoid gpu_nf_round()\n");
  ASSERT_TRUE(kernel) << kernel.error().line();
  EXPECT_TRUE(kernel->writes_packets);
  EXPECT_EQ(kernel->grows_front, 20u);
  EXPECT_EQ(kernel->grows_back, 4096u);
  EXPECT_EQ(kernel->drop_reasons, (std::vector<std::string>{"one", "two_2", "three"}));
  EXPECT_FALSE(parse_kernel_file("k.cl", "gpu_nf_round")->writes_packets);
}

TEST(KernelFile, NamesTheLineThatMakesNoSense) {
  for (const char* const bad :
       {"//!", "//! nonsense", "//! writes_packets yes", "//! grows_front", "//! grows_front -1",
        "//! grows_front 4097", "//! drop_reasons a b a", "//! grows_back 1x", "//! drop_reasons",
        "//! drop_reasons a-b", "//! drop_reasons a2345678901234567890123456789012"}) {
    const auto kernel = parse_kernel_file("k.cl", std::string("\n\n") + bad + "\n");
    ASSERT_FALSE(kernel) << bad;
    EXPECT_NE(kernel.error().what.find("k.cl:3"), std::string::npos) << kernel.error().what;
  }
}

TEST(KernelFile, IsTextWithARoundFunction) {
  using namespace std::string_literals;
  for (const std::string& bad : {""s, "//! writes_packets\n"s, "gpu_nf_round\0"s})
    EXPECT_FALSE(parse_kernel_file("k.cl", bad)) << bad;
}

}  // namespace
}  // namespace hb::test
