// The persistent loop: each work-group takes rounds of packets from its own queue in the SVM region
// and answers them, until it is told to quit or has waited long enough. docs/gpu.md describes the
// slots and the words on both sides. One program holds the code of every GPU NF that comes with the
// platform; with HB_USER_KERNEL it holds the one of a user's file instead (docs/gpu-nf.md).
#ifndef HB_KERNELS_PERSISTENT_CL
#define HB_KERNELS_PERSISTENT_CL

#include "layout.h"
#include "packet.h"

#ifdef HB_USER_KERNEL
#define HB_LOCAL_WORDS HB_SCRATCH_WORDS
#include "user.cl"
#else
#define HB_LOCAL_WORDS HB_GROUP_WORDS
#include "forward.cl"
#include "ipsec.cl"
#include "limit.cl"
#include "litmus.cl"
#include "nids.cl"
#endif

/// One round of the NF that this launch runs. Called by all work-items alike, as `nf` is the same
/// for all of them: an NF's round may hold barriers.
DEVICE void hb_round(u32 nf, const HbRound* round) {
#ifdef HB_USER_KERNEL
  (void)nf;
  gpu_nf_round(round);
#else
  switch (nf) {
    case HB_GPU_NF_NIDS:
      hb_round_nids(round);
      break;
    case HB_GPU_NF_IPSEC:
      hb_round_ipsec(round);
      break;
    case HB_GPU_NF_LIMIT_READ:
      hb_round_limit(round, 0);
      break;
    case HB_GPU_NF_LIMIT_WRITE:
      hb_round_limit(round, 1);
      break;
    default:
      hb_round_forward(round);
      break;
  }
#endif
}

/// Waits for a round after `done`. Lane 0 alone.
/// @param fresh    1 while this launch has done no round: then `leaving` doesn't end it before one,
///                 so that every launch gets on even where work-groups run one after another
/// @param bounded  1 when work-groups end a launch by themselves: then all look at one word, which
///                 a discrete GPU must be spared
/// @return 1 when a round is published and to be run, 0 when the work-group is to leave
DEVICE u32 hb_await_round(GLOBAL HbQueueControl* queue, GLOBAL HbSliceControl* slice, u32 done,
                          u32 fresh, u32 bounded, u32 idle_polls) {
  u32 idle = 0;
  for (;;) {
    const u64 call = ATOMIC_LOAD_PAIR(&queue->published.value);
    const u32 leaving = bounded != 0 ? ATOMIC_LOAD_RELAXED(&slice->leaving.value) : 0;
    if ((u32)(call >> 32) != 0) return 0;  // stop
    if ((u32)call != done) {
      if (idle_polls != HB_IDLE_POLLS_NONE && leaving != 0 && fresh == 0) return 0;
      // Acquire: pairs with the CPUSyncer's release store, so that this round's slots are whole.
      ATOMIC_ACQUIRED(&queue->published.value);
      return 1;
    }
    if (idle_polls == HB_IDLE_POLLS_NONE) return 0;
    if (leaving != 0) return 0;
    if (idle_polls != 0 && ++idle >= idle_polls) {
      ATOMIC_STORE_RELEASE(&slice->leaving.value, 1u);  // the other work-groups leave with this one
      return 0;
    }
  }
}

/// Runs rounds of the queues that the launch names, one for each work-group. Starts with the round
/// after `completed` as it finds it, so that a new launch goes on where the last one left.
/// @param region  the SVM region's base; the launch's offsets count from there
/// @param launch  HbLaunch and the list behind it
/// @param table   the NF's read-only table
KERNEL void hb_persistent(GLOBAL u8* region, GLOBAL const u8* launch_block,
                          GLOBAL const u8* table) {
  LOCAL_WORDS(shared, 1 + HB_LOCAL_WORDS);
  GLOBAL const HbLaunch* launch = (GLOBAL const HbLaunch*)launch_block;
  const u64 work_group = ((GLOBAL const u32*)(launch_block + sizeof(HbLaunch)))[GROUP_ID()];
  const u32 nf = launch->nf;
  const u32 n_rounds = launch->n_rounds;
  const u32 idle_polls = launch->idle_polls;
  const u32 max_rounds = launch->max_rounds;
  const u32 bounded = idle_polls != 0 || max_rounds != 0;
  const u64 slots_offset = launch->slots;
  const u64 results_offset = launch->results;
  GLOBAL HbQueueControl* queue =
      (GLOBAL HbQueueControl*)(region + launch->queue_controls) + work_group;
  GLOBAL HbSliceControl* slice = (GLOBAL HbSliceControl*)(region + launch->slice_control);
  // Acquire: pairs with the release store below, by the launch before this one.
  const u32 first = ATOMIC_LOAD_ACQUIRE(&queue->completed.value);
  u32 done = first;
  HbRound round;
  round.region = region;
  round.region_bytes = launch->region_bytes;
  round.packet_first = launch->packet_first;
  round.packet_limit = launch->packet_limit;
  round.grows_front = launch->grows_front;
  round.grows_back = launch->grows_back;
  round.table = table;
  round.table_bytes = launch->table_bytes;
  round.scratch = shared + 1;
  round.lane = LOCAL_ID();
  round.n_lanes = LOCAL_SIZE();
  // One way out, taken by all work-items alike: PoCL miscompiles loops without a reachable exit.
  for (;;) {
    if (round.lane == 0) {
      shared[0] = hb_await_round(queue, slice, done, done == first, bounded, idle_polls);
    }
    GROUP_BARRIER();
    const u32 go = shared[0];
    GROUP_BARRIER();
    if (go == 0) break;
    const u64 at = (work_group * n_rounds + (done & (n_rounds - 1))) * round.n_lanes;
    round.slots = (GLOBAL const u64*)(region + slots_offset) + at;
    round.results = (GLOBAL u64*)(region + results_offset) + at;
    round.words = (GLOBAL const HbSlotWords*)(region + launch->words) + at;
    hb_round(nf, &round);
    ++done;
    GROUP_BARRIER();  // every lane's results and packets, before lane 0 says that they are there
    if (round.lane == 0) {
      // Release: pairs with the CPUSyncer's acquire load of `completed`.
      ATOMIC_STORE_RELEASE(&queue->completed.value, done);
      if (max_rounds != 0 && done - first >= max_rounds) {
        ATOMIC_STORE_RELEASE(&slice->leaving.value, 1u);
      }
    }
  }
}

#endif  // HB_KERNELS_PERSISTENT_CL
