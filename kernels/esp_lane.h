// One work-item's ESP packet: what it is to become, where it lies, and what the group moves of it.
// kernels/esp_cipher.h has its way through the ciphers, kernels/ipsec.cl moves the rows.
//
// The sealed part is moved back by up to 15 bytes, to the next line: what comes out is whole lines,
// so that each of the packet's chunks is done once it has come in. (Bytes that come in lie
// anywhere: the work-item's shifts deal with that.)
#ifndef HB_KERNELS_ESP_LANE_H
#define HB_KERNELS_ESP_LANE_H

#include "aes.h"
#include "esp_headers.h"
#include "esp_table.h"
#include "movement.h"
#include "packet.h"
#include "sha.h"

/// A row holds a line of the chunk before, as it came in, then the chunk: a block that straddles
/// two chunks is worked on when its end has come.
#define HB_ESP_LEAD_BYTES HB_LINE16

/// Places count bytes from the boundary from which the packet's moves count lines.
typedef struct HbEspLane {
  HbPacket packet;
  GLOBAL const HbEspDeviceSa* sa;
  u64 sequence;
  u32 flags;    ///< the SA's
  u32 verdict;  ///< and what the answer says
  u32 drop;
  u32 is_moved;  ///< 0: the answer is known
  u32 opens;
  u32 ip_at;        ///< of the IP packet to be sealed in the frame, or of the outer header
  u32 inner_bytes;  ///< of the packet inside; opening, as its header states it, 0 if that can't be
  u32 frame_at;     ///< place of the frame as it comes in
  u32 is_far;       ///< opening: its headers are too long to come with the first chunk
  u32 in_at;        ///< place of the first block as it comes in,
  u32 out_at;       ///< and as it goes out: at a line
  u32 sealed_bytes;
  u32 next_block;   ///< of the sealed part
  u32 next_header;  ///< the inner packet's version: 4 or 41, opening 0 for none
  u32 late_drop;    ///< opening: why it is dropped though all else is right, or 0
  u32 padding;      ///< opening: how far the last bytes count up from 1: RFC 4303 section 2.4
  u32 trailer;      ///< opening: padding's length and next header
  u32 is_done;      ///< the ICV is computed
  u32 chain[4];     ///< CBC: the last block of the wire; GCM: GHASH, and the ICV in the end
  u32 iv[2];        ///< GCM
  HbHmac hmac;      ///< CBC
} HbEspLane;

/// Bytes between the Ethernet header and the sealed part.
DEVICE u32 hb_esp_front_bytes(GLOBAL const HbEspSa* wire) {
  return wire->outer_bytes + HB_ESP_HEADER_BYTES + wire->iv_bytes;
}

/// Where bytes of the packet's buffer lie.
/// @param from  of the buffer's bytes, the one at or above the boundary from which places count
/// @param at    another one
DEVICE u32 hb_esp_place(u64 mbuf, u32 from, u32 at) {
  return (u32)((mbuf + from) % HB_CHUNK_BYTES) + at - from;
}
DEVICE u32 hb_esp_line_below(u32 place) { return place / HB_LINE16; }
DEVICE u32 hb_esp_line_above(u32 place) { return (place + HB_LINE16 - 1u) / HB_LINE16; }

/// Takes an order to seal. Lengths that don't fit mark the packet as refused.
DEVICE void hb_esp_take_seal(HbEspLane* me, u64 mbuf, u32 inner_bytes, HbMove* move) {
  GLOBAL const HbEspSa* wire = &me->sa->wire;
  const u32 front = hb_esp_front_bytes(wire);
  const u32 frame_at = me->packet.offset;
  const u32 back = (0u - (frame_at + me->ip_at)) % HB_LINE16;
  me->inner_bytes = inner_bytes;
  me->sealed_bytes = hb_esp_sealed_bytes(wire, inner_bytes);
  if (me->ip_at > HB_ESP_MAX_IP_AT || me->ip_at < 14u || me->ip_at % 4u != 2u || inner_bytes < 20u)
    me->packet.refused = 1;
  if (!hb_cut_back(&me->packet, me->ip_at + inner_bytes)) return;
  if (!hb_grow_front(&me->packet, front)) return;
  if (!hb_grow_back(&me->packet, me->sealed_bytes - inner_bytes + wire->icv_bytes + back)) return;
  if (!hb_cut_front(&me->packet, back) || me->packet.refused != 0) return;
  // The lowest byte that is moved is the new frame's first, as `front` is above `back`.
  const u32 lowest = me->packet.offset;
  move->base = hb_move_base(mbuf + lowest);
  me->frame_at = hb_esp_place(mbuf, lowest, frame_at);
  me->in_at = me->frame_at + me->ip_at;
  me->out_at = me->in_at + back;
  move->fetch_first = hb_esp_line_below(me->frame_at);
  move->fetch_end = hb_esp_line_above(me->in_at + inner_bytes);
  move->store_first = hb_esp_line_below(me->out_at - front - me->ip_at);
  move->store_end = hb_esp_line_above(me->out_at + me->sealed_bytes + wire->icv_bytes);
  // The headers that the front is made from come with the first chunk.
  hb_move_in_chunks(move, move->store_first, hb_esp_line_above(me->in_at + 12u));
  me->is_moved = 1;
  me->verdict = HB_VERDICT_NEXT;
}

/// Takes an order to open.
DEVICE void hb_esp_take_open(HbEspLane* me, u64 mbuf, u32 esp_at, u32 esp_bytes, HbMove* move) {
  GLOBAL const HbEspSa* wire = &me->sa->wire;
  const u32 head = HB_ESP_HEADER_BYTES + wire->iv_bytes;
  const u32 around = head + wire->icv_bytes;
  if (me->ip_at > HB_ESP_MAX_IP_AT || me->ip_at < 14u || me->ip_at % 4u != 2u ||
      esp_at < me->ip_at + 20u || esp_bytes < around + wire->block_bytes ||
      (esp_bytes - around) % wire->block_bytes != 0)
    me->packet.refused = 1;
  if (!hb_has(&me->packet, esp_at, esp_bytes) || me->packet.refused != 0) return;
  me->sealed_bytes = esp_bytes - around;
  move->base = hb_move_base(mbuf + me->packet.offset);
  me->frame_at = hb_esp_place(mbuf, me->packet.offset, me->packet.offset);
  me->in_at = me->frame_at + esp_at + head;
  me->out_at = hb_esp_line_above(me->in_at) * HB_LINE16;
  // The new frame: what is sealed, behind an Ethernet header.
  if (!hb_cut_front(&me->packet, me->out_at - me->ip_at - me->frame_at)) return;
  const u32 end = me->ip_at + me->sealed_bytes;
  if (end > me->packet.length && !hb_grow_back(&me->packet, end - me->packet.length)) return;
  // Its first block goes out with the first chunk, and so does what the front is made from, if that
  // is not too long: by VLAN tags before IPv6, or by IPv4's options.
  const u32 need = me->out_at / HB_LINE16 + 1u;
  move->store_first = hb_esp_line_below(me->out_at - me->ip_at);
  move->store_end = hb_esp_line_above(me->out_at + me->sealed_bytes);
  move->fetch_first = hb_esp_line_below(me->frame_at);
  me->is_far = need - move->fetch_first > HB_CHUNK_LINES;
  if (me->is_far != 0) move->fetch_first = hb_esp_line_below(me->in_at - head);
  move->fetch_end = hb_esp_line_above(me->in_at + me->sealed_bytes + wire->icv_bytes);
  hb_move_in_chunks(
      move, move->fetch_first < move->store_first ? move->fetch_first : move->store_first, need);
  me->opens = 1;
  me->is_moved = 1;
  me->drop = HB_ESP_DROP_BAD_ICV;
}

/// Reads what the host has decided about this work-item's slot.
/// @param move  gets what is to be moved of the packet
DEVICE void hb_esp_take(const HbRound* round, HbEspLane* me, HbMove* move) {
  GLOBAL const HbEspTable* table = (GLOBAL const HbEspTable*)round->table;
  const u32 n_sas = table->magic == HB_ESP_TABLE_MAGIC ? table->n_sas : 0;
  const u64 order = round->words[round->lane].b;
  const u32 action = HB_ESP_ORDER_ACTION(order);
  const u32 index = HB_ESP_ORDER_INDEX(order);
  *move = hb_no_move();
  me->packet = hb_packet(round, round->lane);
  me->sa = (GLOBAL const HbEspDeviceSa*)(round->table + sizeof(HbEspTable)) +
           (index < n_sas ? index : 0);
  me->sequence = round->words[round->lane].a;
  me->ip_at = HB_ESP_ORDER_IP_AT(order);
  me->verdict = HB_VERDICT_DROP;
  me->drop = index;
  me->flags = me->is_moved = me->opens = me->next_block = me->is_done = 0;
  me->is_far = me->late_drop = me->padding = 0;
  if (!hb_is_packet(&me->packet) || action == HB_ESP_ACTION_DROP) return;
  if (action == HB_ESP_ACTION_PASS) {
    me->verdict = HB_VERDICT_NEXT;
    return;
  }
  if (index >= n_sas) {
    me->packet.refused = 1;
    return;
  }
  me->flags = me->sa->wire.flags;
  const u64 mbuf = HB_SLOT_BASE(round->slots[round->lane]);
  if (action == HB_ESP_ACTION_SEAL)
    hb_esp_take_seal(me, mbuf, HB_ESP_ORDER_BYTES(order), move);
  else if (action == HB_ESP_ACTION_OPEN)
    hb_esp_take_open(me, mbuf, HB_ESP_ORDER_ESP_AT(order), HB_ESP_ORDER_BYTES(order), move);
  else
    me->packet.refused = 1;
}

#endif  // HB_KERNELS_ESP_LANE_H
