// forward on the device: passes every packet on, unread. The smallest NF, and the yardstick of what
// the slots alone cost.
#ifndef HB_KERNELS_FORWARD_CL
#define HB_KERNELS_FORWARD_CL

#include "layout.h"

/// One round of forward. Called by all work-items of the group; holds no barrier.
DEVICE void hb_round_forward(const HbRound* round) {
  const u64 slot = round->slots[round->lane];
  round->results[round->lane] = slot == 0 ? 0 : HB_RESULT_UNCHANGED(slot, 0);
}

#endif  // HB_KERNELS_FORWARD_CL
