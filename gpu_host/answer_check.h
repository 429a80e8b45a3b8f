// What a kernel or a control process says about a packet, checked before anything is done by it.
#pragma once

#include "kernels/layout.h"
#include "nf_lib/control_layout.h"

namespace hb {

/// Whether the verdict can be carried out: all fields of the HB_RESULT but length and data offset.
/// @param n_reasons  that the NF declared
/// @param flags      that may be set
inline bool answer_makes_sense(u64 result, const Registry& registry, std::uint32_t n_reasons,
                               std::uint32_t flags) noexcept {
  const std::uint32_t argument = HB_RESULT_ARGUMENT(result);
  switch (HB_RESULT_VERDICT(result)) {
    case HB_VERDICT_NEXT:
      break;
    case HB_VERDICT_DROP:
      if (argument >= n_reasons) return false;
      break;
    case HB_VERDICT_TO_SERVICE:
      if (argument >= kMaxServices) return false;
      break;
    case HB_VERDICT_TO_PORT:
      if (argument >= registry.n_ports) return false;
      break;
    default:
      return false;
  }
  if ((HB_RESULT_FLAGS(result) & ~flags) != 0) return false;
  // Acquire: pairs with the manager's release store once the names are there.
  return (HB_RESULT_FLAGS(result) & HB_RESULT_NEW_TYPE) == 0 ||
         HB_RESULT_TYPE(result) < registry.n_types.load(std::memory_order_acquire);
}

}  // namespace hb
