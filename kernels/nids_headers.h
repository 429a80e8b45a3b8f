// Which packets rules without a content may match: the part of the device's search that looks at
// headers, by the marks of nids_table.h.
#ifndef HB_KERNELS_NIDS_HEADERS_H
#define HB_KERNELS_NIDS_HEADERS_H

#include "movement.h"
#include "nids_table.h"
#include "packet.h"

/// A packet whose headers are read: from local memory where the group has moved them there, else
/// where the packet lies.
typedef struct HbNidsHead {
  HbPacket* packet;
  LOCAL const u8* moved;  ///< its first bytes, HB_NIDS_HEAD_BYTES or all; 0: none are there
} HbNidsHead;

/// The most bytes that are looked at: Ethernet, two tags, IPv4 with all options, TCP.
#define HB_NIDS_HEAD_BYTES (14u + 2u * 4u + 60u + 20u)
HB_STATIC_ASSERT(HB_LINE16 - 1u + HB_NIDS_HEAD_BYTES <= HB_CHUNK_BYTES, a_chunk_holds_all_headers);

/// Numbers in network byte order, within the packet's length.
DEVICE u32 hb_nids_load8(const HbNidsHead* head, u32 at) {
  return head->moved != 0 ? head->moved[at] : hb_load8(head->packet, at);
}
DEVICE u32 hb_nids_load16(const HbNidsHead* head, u32 at) {
  if (head->moved == 0) return hb_load16(head->packet, at);
  return ((u32)head->moved[at] << 8) | head->moved[at + 1];
}

DEVICE u32 hb_nids_bit(GLOBAL const u32* bits, u32 i) { return (bits[i >> 5] >> (i & 31)) & 1; }

/// 1 when a rule without a content may match a packet whose TCP, UDP or ICMP header starts at `at`.
DEVICE u32 hb_nids_l4_marked(const HbNidsHead* head, u32 at, u32 protocol, u32 icmp_protocol,
                             GLOBAL const HbNidsHeaders* marks) {
  const u32 length = hb_length(head->packet);
  if (protocol == icmp_protocol) return (marks->protocols & HB_NIDS_ICMP) != 0;
  if (at + 8 > length) return 0;
  const u32 source = hb_nids_load16(head, at);
  const u32 destination = hb_nids_load16(head, at + 2);
  if (protocol == 17) {
    return (marks->protocols & HB_NIDS_UDP) != 0 &&
           hb_nids_bit(marks->ports[HB_NIDS_UDP_SOURCE], source) &&
           hb_nids_bit(marks->ports[HB_NIDS_UDP_DESTINATION], destination);
  }
  if (protocol != 6 || at + 20 > length) return 0;
  return (marks->protocols & HB_NIDS_TCP) != 0 &&
         hb_nids_bit(marks->tcp_flags, hb_nids_load8(head, at + 13)) &&
         hb_nids_bit(marks->ports[HB_NIDS_TCP_SOURCE], source) &&
         hb_nids_bit(marks->ports[HB_NIDS_TCP_DESTINATION], destination);
}

/// 1 when a rule without a content may match the packet, by its headers: a superset of what
/// nf_lib/decode.h says. IPv6 with extension headers is left to the control process. Lengths are
/// looked at before each load: a short packet is no reason to drop it.
DEVICE u32 hb_nids_headers_marked(const HbNidsHead* head, GLOBAL const u8* table) {
  const u32 length = hb_length(head->packet);
  const u64 offset = ((GLOBAL const HbNidsTable*)table)->headers_offset;
  if (offset == 0 || length < 14) return 0;
  GLOBAL const HbNidsHeaders* marks = (GLOBAL const HbNidsHeaders*)(table + offset);
  u32 at = 12;
  u32 ethertype = hb_nids_load16(head, at);
  for (u32 tag = 0; tag < 2; ++tag) {
    if (ethertype != 0x8100 && ethertype != 0x88a8 && ethertype != 0x9100) break;
    if (at + 6 > length) return 0;
    at += 4;
    ethertype = hb_nids_load16(head, at);
  }
  at += 2;
  if (ethertype == 0x0800) {
    if (at + 20 > length) return 0;
    if ((hb_nids_load16(head, at + 6) & 0x3fff) != 0) return 0;  // a fragment: `ip` rules only
    return hb_nids_l4_marked(head, at + (hb_nids_load8(head, at) & 15u) * 4,
                             hb_nids_load8(head, at + 9), 1, marks);
  }
  if (ethertype == 0x86dd) {
    if (at + 40 > length) return 0;
    const u32 next = hb_nids_load8(head, at + 6);
    if (next == 6 || next == 17 || next == 58) {
      return hb_nids_l4_marked(head, at + 40, next, 58, marks);
    }
    return marks->protocols != 0;
  }
  return 0;
}

#endif  // HB_KERNELS_NIDS_HEADERS_H
