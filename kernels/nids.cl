// nids on the device: finds the packets that some rule may match, one work-item per packet.
// A hit is a suspicion: a copy goes to the control process, which evaluates the rules exactly. The
// packet goes on unchanged, or waits for the answer if rules may drop it. A packet without a hit
// can match no rule. Source: Aho, Corasick: "Efficient string matching", CACM 18(6), 1975,
// algorithm 4 (the DFA).
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

DEVICE u32 hb_nids_bit(GLOBAL const u32* bits, u32 i) { return (bits[i >> 5] >> (i & 31)) & 1; }

/// 1 when a rule without a content may match a packet whose TCP, UDP or ICMP header starts at `at`.
DEVICE u32 hb_nids_l4_marked(HbPacket* packet, u32 at, u32 protocol, u32 icmp_protocol,
                             GLOBAL const HbNidsHeaders* marks) {
  const u32 length = hb_length(packet);
  if (protocol == icmp_protocol) return (marks->protocols & HB_NIDS_ICMP) != 0;
  if (at + 8 > length) return 0;
  const u32 source = hb_load16(packet, at);
  const u32 destination = hb_load16(packet, at + 2);
  if (protocol == 17) {
    return (marks->protocols & HB_NIDS_UDP) != 0 &&
           hb_nids_bit(marks->ports[HB_NIDS_UDP_SOURCE], source) &&
           hb_nids_bit(marks->ports[HB_NIDS_UDP_DESTINATION], destination);
  }
  if (protocol != 6 || at + 20 > length) return 0;
  return (marks->protocols & HB_NIDS_TCP) != 0 &&
         hb_nids_bit(marks->tcp_flags, hb_load8(packet, at + 13)) &&
         hb_nids_bit(marks->ports[HB_NIDS_TCP_SOURCE], source) &&
         hb_nids_bit(marks->ports[HB_NIDS_TCP_DESTINATION], destination);
}

/// 1 when a rule without a content may match the packet, by its headers: a superset of what
/// nf_lib/decode.h says. IPv6 with extension headers is left to the control process. Lengths are
/// looked at before each load: a short packet is no reason to drop it.
DEVICE u32 hb_nids_headers_marked(HbPacket* packet, GLOBAL const u8* table) {
  const u32 length = hb_length(packet);
  const u64 offset = ((GLOBAL const HbNidsTable*)table)->headers_offset;
  if (offset == 0 || length < 14) return 0;
  GLOBAL const HbNidsHeaders* marks = (GLOBAL const HbNidsHeaders*)(table + offset);
  u32 at = 12;
  u32 ethertype = hb_load16(packet, at);
  for (u32 tag = 0; tag < 2; ++tag) {
    if (ethertype != 0x8100 && ethertype != 0x88a8 && ethertype != 0x9100) break;
    if (at + 6 > length) return 0;
    at += 4;
    ethertype = hb_load16(packet, at);
  }
  at += 2;
  if (ethertype == 0x0800) {
    if (at + 20 > length) return 0;
    if ((hb_load16(packet, at + 6) & 0x3fff) != 0) return 0;  // a fragment: `ip` rules only
    return hb_nids_l4_marked(packet, at + (hb_load8(packet, at) & 15u) * 4,
                             hb_load8(packet, at + 9), 1, marks);
  }
  if (ethertype == 0x86dd) {
    if (at + 40 > length) return 0;
    const u32 next = hb_load8(packet, at + 6);
    if (next == 6 || next == 17 || next == 58) {
      return hb_nids_l4_marked(packet, at + 40, next, 58, marks);
    }
    return marks->protocols != 0;
  }
  return 0;
}

/// 1 when the control process must see the packet. A block that is no nids table (none was loaded)
/// says nothing about the packet, so all are seen.
DEVICE u32 hb_nids_suspect(HbPacket* packet, GLOBAL const u8* table) {
  GLOBAL const HbNidsTable* header = (GLOBAL const HbNidsTable*)table;
  if (header->magic != HB_NIDS_TABLE_MAGIC || header->version != HB_NIDS_TABLE_VERSION) return 1;
  if ((header->flags & HB_NIDS_COPY_ALL) != 0) return 1;
  if (hb_nids_headers_marked(packet, table)) return 1;
  const HbBytes payload = hb_bytes(packet, HB_NIDS_SCAN_OFFSET);
  return hb_nids_found(payload.bytes, payload.length, table);
}

/// 1 when hits wait for the control process' word.
DEVICE u32 hb_nids_asks(GLOBAL const u8* table) {
  GLOBAL const HbNidsTable* header = (GLOBAL const HbNidsTable*)table;
  return header->magic == HB_NIDS_TABLE_MAGIC && (header->flags & HB_NIDS_ASK) != 0;
}

/// One round of nids. Called by all work-items of the group; holds no barrier.
DEVICE void hb_round_nids(const HbRound* round) {
  HbPacket packet = hb_packet(round, round->lane);
  u32 flags = 0;
  if (hb_is_packet(&packet) && hb_nids_suspect(&packet, round->table))
    flags = hb_nids_asks(round->table) ? HB_RESULT_ASK_CPU : HB_RESULT_COPY_TO_CPU;
  hb_answer_full(round, round->lane, &packet, HB_VERDICT_NEXT, 0, flags, 0);
}

#endif  // HB_KERNELS_NIDS_CL
