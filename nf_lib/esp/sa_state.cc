#include "nf_lib/esp/sa_state.h"

namespace hb::ipsec {

SaState* SaStates::find_or_add(const SaId& id, std::uint64_t now_ns) noexcept {
  for (std::size_t step = 0; step < kRecords; ++step) {
    SaState& state = states_[(id[0] + step) % kRecords];
    std::uint64_t found = 0;
    // Acquire and release: who finds the id finds what was stored before it. Two instances that
    // add the same SA at the same time meet here, and both go on with the one record.
    if (state.id[0].compare_exchange_strong(found, id[0], std::memory_order_acq_rel) ||
        found == id[0]) {
      std::uint64_t second = 0;
      const bool is_it =
          state.id[1].compare_exchange_strong(second, id[1], std::memory_order_acq_rel) ||
          second == id[1];
      if (!is_it) continue;
      std::uint64_t none = 0;
      state.created.compare_exchange_strong(none, now_ns, std::memory_order_acq_rel);
      return &state;
    }
  }
  return nullptr;
}

}  // namespace hb::ipsec
