// nids on the device: finds the packets that some rule may match, one work-item per packet.
// A hit is a suspicion: the packet goes on unchanged, and a copy goes to the control process, which
// evaluates the rules exactly. A packet without a hit can match no rule.
// Source: Aho, Corasick: "Efficient string matching", CACM 18(6), 1975, algorithm 4 (the DFA).
#ifndef HB_KERNELS_NIDS_CL
#define HB_KERNELS_NIDS_CL

#include "layout.h"
#include "nids_table.h"
#include "packet.h"

/// 1 when a pattern of the table lies in bytes[0 .. length-1], upper and lower case being equal.
/// table: checked by nids_table_valid, 64-byte aligned.
DEVICE u32 hb_nids_found(GLOBAL const u8* bytes, u32 length, GLOBAL const u8* table) {
  GLOBAL const HbNidsTable* header = (GLOBAL const HbNidsTable*)table;
  GLOBAL const u8* columns = header->columns;
  u32 state = 0;
  if ((header->flags & HB_NIDS_WIDE) != 0) {
    GLOBAL const u32* next = (GLOBAL const u32*)(table + header->transitions_offset);
    for (u32 i = 0; i < length; ++i) {
      state = next[state + columns[bytes[i]]];
      if (state == HB_NIDS_FOUND_32) return 1;
    }
  } else {
    GLOBAL const u16* next = (GLOBAL const u16*)(table + header->transitions_offset);
    const u32 n_columns = header->n_columns;
    for (u32 i = 0; i < length; ++i) {
      state = next[state * n_columns + columns[bytes[i]]];
      if (state == HB_NIDS_FOUND_16) return 1;
    }
  }
  return 0;
}

/// 1 when the control process must see the packet. A block that is no nids table (none was loaded)
/// says nothing about the packet, so all are seen.
DEVICE u32 hb_nids_suspect(const HbPacket* packet, GLOBAL const u8* table) {
  GLOBAL const HbNidsTable* header = (GLOBAL const HbNidsTable*)table;
  if (header->magic != HB_NIDS_TABLE_MAGIC || header->version != HB_NIDS_TABLE_VERSION) return 1;
  if ((header->flags & HB_NIDS_COPY_ALL) != 0) return 1;
  const HbBytes payload = hb_bytes(packet, HB_NIDS_SCAN_OFFSET);
  return hb_nids_found(payload.bytes, payload.length, table);
}

/// One round of nids. Called by all work-items of the group; holds no barrier.
DEVICE void hb_round_nids(const HbRound* round) {
  const HbPacket packet = hb_packet(round, round->lane);
  u32 flags = 0;
  if (hb_is_packet(&packet) && hb_nids_suspect(&packet, round->table))
    flags = HB_RESULT_COPY_TO_CPU;
  hb_answer_full(round, round->lane, &packet, HB_VERDICT_NEXT, 0, flags, 0);
}

#endif  // HB_KERNELS_NIDS_CL
