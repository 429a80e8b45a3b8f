// lock_holder: dies at its first packet with a lock of DPDK's taken, as --eal secondary lets it.
#include <rte_eal_memconfig.h>
#include <signal.h>

#include <algorithm>

#include "nf_lib/nf.h"

namespace {

class LockHolder final : public hb::NetworkFunction {
 public:
  void process_burst(std::span<rte_mbuf* const> /*burst*/,
                     std::span<hb::Verdict> verdicts) noexcept override {
    std::ranges::fill(verdicts, hb::Verdict::next());
    rte_mcfg_tailq_write_lock();
    raise(SIGKILL);
  }
};

}  // namespace

int main(int argc, char** argv) {
  return hb::nf_main<LockHolder>(
      argc, argv,
      {.name = "lock_holder", .summary = "test only: dies with DPDK's list of tables locked"});
}
