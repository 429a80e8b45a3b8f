// static_nat: gives IPv4 packets another source address, by a table. docs/gpu-nf.md walks through it.
//! writes_packets
//! drop_reasons blocked

#include "packet.h"

// The table (make_table.py writes it): word 0 is the number of entries, then two words for each:
// the address to look for, and the one to put in its place; 0 there drops the packet.
#define MOST_ENTRIES 512u
#define DROP_BLOCKED 0u  // the first of the drop_reasons above

#define IPV4 14u  // where the IPv4 header starts, behind the Ethernet header
#define IP_PROTOCOL_TCP 6u
#define IP_PROTOCOL_UDP 17u

/// An Internet checksum after 32 bits that it covers have changed. RFC 1624 section 3, equation 3.
DEVICE u32 csum_update32(u32 csum, u32 before, u32 after) {
  u32 sum = (~csum & 0xffffu) + (~before & 0xffffu) + ((~before >> 16) & 0xffffu) +
            (after & 0xffffu) + (after >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  return ~sum & 0xffffu;
}

/// Writes the new source address and corrects the checksums that cover it.
DEVICE void rewrite(HbPacket* packet, u32 before, u32 after) {
  const u32 l4 = IPV4 + (hb_load8(packet, IPV4) & 15u) * 4u;
  const u32 protocol = hb_load8(packet, IPV4 + 9u);
  const u32 fragment_offset = hb_load16(packet, IPV4 + 6u) & 0x1fffu;
  hb_store32(packet, IPV4 + 12u, after);
  hb_store16(packet, IPV4 + 10u, csum_update32(hb_load16(packet, IPV4 + 10u), before, after));
  if (fragment_offset != 0) return;  // the transport header is in another packet
  if (protocol == IP_PROTOCOL_TCP && hb_length(packet) >= l4 + 18u)
    hb_store16(packet, l4 + 16u, csum_update32(hb_load16(packet, l4 + 16u), before, after));
  if (protocol == IP_PROTOCOL_UDP && hb_length(packet) >= l4 + 8u) {
    const u32 csum = hb_load16(packet, l4 + 6u);
    if (csum == 0) return;  // RFC 768: there is none
    const u32 updated = csum_update32(csum, before, after);
    hb_store16(packet, l4 + 6u, updated == 0 ? 0xffffu : updated);
  }
}

/// One round. All work-items of the group call it together, each with a packet of its own.
DEVICE void gpu_nf_round(const HbRound* round) {
  // The group brings the table into local memory together: much nearer on a GPU.
  u32 n = hb_table32(round, 0);
  if (n > MOST_ENTRIES) n = MOST_ENTRIES;
  for (u32 i = round->lane; i < 2u * n; i += round->n_lanes)
    round->scratch[i] = hb_table32(round, 1u + i);
  GROUP_BARRIER();

  HbPacket packet = hb_packet(round, round->lane);
  u32 verdict = HB_VERDICT_NEXT;
  if (hb_length(&packet) >= IPV4 + 20u && hb_load16(&packet, 12u) == 0x0800u) {
    const u32 source = hb_load32(&packet, IPV4 + 12u);
    for (u32 i = 0; i < n; ++i) {
      if (round->scratch[2u * i] != source) continue;
      if (round->scratch[2u * i + 1u] == 0)
        verdict = HB_VERDICT_DROP;
      else
        rewrite(&packet, source, round->scratch[2u * i + 1u]);
      break;
    }
  }
  hb_answer(round, round->lane, &packet, verdict, DROP_BLOCKED);
}
