// What the device and its bus can do at most: NFs that only move packets. hb_doctor measures with
// them, over the same queues and rounds as any NF; every figure is compared with what they reach.
#ifndef HB_KERNELS_LIMIT_CL
#define HB_KERNELS_LIMIT_CL

#include "limit.h"
#include "movement.h"
#include "packet.h"

/// One round: reads every line that lies wholly in a packet, a team of work-items to each packet;
/// with `write` it inverts their bits and writes them back. The answer's type, which is not in
/// force, holds something of all that was read, so that no compiler leaves the reads out.
DEVICE void hb_round_limit(const HbRound* round, u32 write) {
  const u32 team_lanes = round->n_lanes < HB_TEAM_LANES ? round->n_lanes : HB_TEAM_LANES;
  const u32 n_teams = round->n_lanes / team_lanes;
  const u32 own = round->lane % team_lanes;
  u32 seen = 0;
  for (u32 i = round->lane / team_lanes; i < round->n_lanes; i += n_teams) {
    const u64 slot = round->slots[i];
    const HbWindow window = hb_window(round, slot);
    const u32 first = window.skip != 0;
    const u32 end = (window.skip + HB_SLOT_LENGTH(slot)) / HB_LINE16;
    if (window.n_lines == 0) continue;
    for (u32 at = first + own; at < end; at += team_lanes) {
      HbLine line = window.lines[at];
      seen ^= line.a ^ line.b ^ line.c ^ line.d;
      if (write != 0) {
        line.a = ~line.a;
        line.b = ~line.b;
        line.c = ~line.c;
        line.d = ~line.d;
        window.lines[at] = line;
      }
    }
  }
  seen ^= seen >> 16;
  seen ^= seen >> 8;
  const HbPacket packet = hb_packet(round, round->lane);
  hb_answer_full(round, round->lane, &packet, HB_VERDICT_NEXT, 0, 0, seen & 0xffu);
}

#endif  // HB_KERNELS_LIMIT_CL
