// forward: passes every packet on unchanged, on the CPU or (--gpu) on the device.
// The example to copy: a new NF is a folder with a file like this and a line in nfs/CMakeLists.txt.
#include <algorithm>

#include "nf_lib/nf.h"

namespace {

class Forward final : public hb::NetworkFunction {
 public:
  void process_burst(std::span<rte_mbuf* const> /*burst*/,
                     std::span<hb::Verdict> verdicts) noexcept override {
    std::ranges::fill(verdicts, hb::Verdict::next());
  }
};

class ForwardOnGpu final : public hb::GpuNetworkFunction {
 public:
  [[nodiscard]] std::string kernel() const override { return "forward"; }
};

}  // namespace

int main(int argc, char** argv) {
  return hb::nf_main<Forward, ForwardOnGpu>(argc, argv,
                                            {.name = "forward",
                                             .summary = "passes every packet on unchanged",
                                             .idempotent = true,
                                             .sets_types = hb::NameList{},
                                             .names_services = hb::NameList{}});
}
