// lonely: passes packets on, and there can be only one of it.
#include <algorithm>

#include "nf_lib/nf.h"

namespace {

class Lonely final : public hb::NetworkFunction {
 public:
  void process_burst(std::span<rte_mbuf* const> /*burst*/,
                     std::span<hb::Verdict> verdicts) noexcept override {
    std::ranges::fill(verdicts, hb::Verdict::next());
  }
};

}  // namespace

int main(int argc, char** argv) {
  return hb::nf_main<Lonely>(argc, argv,
                             {.name = "lonely",
                              .summary = "test only: a service of one instance",
                              .choice = hb::InstanceChoice::kSingle});
}
