// The litmus test's device side: answers another process' words while it runs, so that gpu_host
// knows what the device's memory really does instead of what it claims (docs/gpu.md).
#ifndef HB_KERNELS_LITMUS_CL
#define HB_KERNELS_LITMUS_CL

#include "layout.h"

/// Words each turn carries besides the turn's number; written and read plainly, so that the order
/// of plain and atomic accesses is tested too.
#define HB_LITMUS_WORDS 64u

/// The scratch area. One writer per line: request and question are the peer's, quit the host's.
typedef struct HbLitmus {
  HbWord request;  ///< the peer's turn, from 1 (release)
  HbWord answer;   ///< the last turn answered (release)
  HbWord quit;     ///< 1: end; host writes
  HbWord started;  ///< 1 once the kernel runs (release)
  u32 question[HB_LITMUS_WORDS];
  u32 reply[HB_LITMUS_WORDS];
} HbLitmus;
HB_STATIC_ASSERT(sizeof(HbLitmus) == 1024, litmus_size);

/// What the device makes of a question's word.
#define HB_LITMUS_REPLY(question, turn) ((question)*2654435761u + (turn))

#if !defined(HB_LITMUS_LAYOUT_ONLY)
/// Answers turns until told to quit, or until max_polls polls in a row found none: a kernel under
/// test always ends by itself. One work-group.
KERNEL void hb_litmus(GLOBAL u8* region, u64 litmus_offset, u32 max_polls) {
  LOCAL_WORDS(shared, 2);
  GLOBAL HbLitmus* litmus = (GLOBAL HbLitmus*)(region + litmus_offset);
  const u32 lane = LOCAL_ID();
  u32 turn = 0;
  if (lane == 0) ATOMIC_STORE_RELEASE(&litmus->started.value, 1u);
  for (;;) {
    if (lane == 0) {
      u32 request = ATOMIC_LOAD_RELAXED(&litmus->request.value);
      u32 polls = 0;
      u32 quit = 0;
      while (request == turn && quit == 0 && polls < max_polls) {
        quit = ATOMIC_LOAD_RELAXED(&litmus->quit.value);
        request = ATOMIC_LOAD_RELAXED(&litmus->request.value);
        ++polls;
      }
      // Acquire: pairs with the peer's release store of `request`, so the question is whole.
      ATOMIC_ACQUIRED(&litmus->request.value);
      shared[0] = request;
    }
    GROUP_BARRIER();
    const u32 request = shared[0];
    GROUP_BARRIER();
    if (request == turn) break;
    for (u32 i = lane; i < HB_LITMUS_WORDS; i += LOCAL_SIZE()) {
      litmus->reply[i] = HB_LITMUS_REPLY(litmus->question[i], request);
    }
    turn = request;
    GROUP_BARRIER();
    // Release: pairs with the peer's acquire load of `answer`, so that it sees the reply.
    if (lane == 0) ATOMIC_STORE_RELEASE(&litmus->answer.value, turn);
  }
}
#endif

#endif  // HB_KERNELS_LITMUS_CL
