// How a GPU NF reads and changes packets: by accessors that check every access against the slot.
// A work-item takes the packet of its lane, looks at it, and answers. docs/gpu-nf.md has an
// example.
//
// Byte numbers count from the packet's first byte (the Ethernet header). A read outside the packet
// gives 0, a write there is left out; both mark the packet, and hb_answer then drops it as
// HB_DROP_REFUSED_ACCESS says. So no packet, whatever it holds, leads an NF out of its buffer.
#ifndef HB_KERNELS_PACKET_H
#define HB_KERNELS_PACKET_H

#include "layout.h"

/// One packet, as one work-item has it. The fields are the accessors'.
typedef struct HbPacket {
  GLOBAL u8* mbuf;
  u32 offset;  ///< of the packet's first byte from the mbuf's start
  u32 length;
  u32 first;    ///< the lowest offset to which it may grow,
  u32 limit;    ///< and one past the highest
  u32 refused;  ///< 1 once an access was outside
} HbPacket;

/// Bytes that have been checked once, for loops over many of them: bytes[i] is right for i <
/// length.
typedef struct HbBytes {
  GLOBAL const u8* bytes;
  u32 length;
} HbBytes;

/// The packet in a lane's slot; usually of the work-item's own lane. Any work-item may look at any
/// lane's packet; only one of them may change it, and answers for it.
/// @param lane  below n_lanes
DEVICE HbPacket hb_packet(const HbRound* round, u32 lane) {
  const u64 slot = round->slots[lane];
  const u64 base = HB_SLOT_BASE(slot);
  HbPacket packet;
  packet.mbuf = round->region + base;
  packet.offset = HB_SLOT_DATA_OFFSET(slot);
  packet.length = HB_SLOT_LENGTH(slot);
  const u32 end = packet.offset + packet.length;
  packet.first = packet.offset - round->grows_front;
  packet.limit = end + round->grows_back;
  if (packet.offset < round->packet_first + round->grows_front) packet.first = round->packet_first;
  if (packet.limit > round->packet_limit) packet.limit = round->packet_limit;
  packet.refused = 0;
  // A slot that names no packet of the region, and the dummy's: nothing of it can be touched.
  if (slot == 0 || packet.offset < round->packet_first || end > round->packet_limit ||
      base + packet.limit > round->region_bytes) {
    packet.mbuf = round->region;
    packet.offset = packet.length = packet.first = packet.limit = 0;
    packet.refused = slot != 0;
  }
  return packet;
}

/// 0 for the dummy packet that fills a round up: there is nothing to do, and hb_answer knows.
DEVICE u32 hb_is_packet(const HbPacket* packet) { return packet->limit != 0; }
/// Bytes of the packet.
DEVICE u32 hb_length(const HbPacket* packet) { return packet->length; }

/// Whether bytes [at, at + n) are the packet's. Marks the packet if not.
DEVICE u32 hb_has(HbPacket* packet, u32 at, u32 n) {
  if (at <= packet->length && n <= packet->length - at) return 1;
  packet->refused = 1;
  return 0;
}

/// The packet's bytes from `at` on, for reading; none if it is shorter, which marks nothing.
DEVICE HbBytes hb_bytes(const HbPacket* packet, u32 at) {
  HbBytes bytes;
  bytes.bytes = packet->mbuf + packet->offset;
  bytes.length = 0;
  if (at < packet->length) {
    bytes.bytes += at;
    bytes.length = packet->length - at;
  }
  return bytes;
}

/// The i-th 32-bit word of the table, in its writer's byte order (little endian); 0 behind its end.
DEVICE u32 hb_table32(const HbRound* round, u32 i) {
  return i < round->table_bytes / 4 ? ((GLOBAL const u32*)round->table)[i] : 0;
}

/// Numbers in network byte order.
DEVICE u32 hb_load8(HbPacket* packet, u32 at) {
  return hb_has(packet, at, 1) ? packet->mbuf[packet->offset + at] : 0;
}
DEVICE u32 hb_load16(HbPacket* packet, u32 at) {
  if (!hb_has(packet, at, 2)) return 0;
  GLOBAL const u8* b = packet->mbuf + packet->offset + at;
  return ((u32)b[0] << 8) | b[1];
}
DEVICE u32 hb_load32(HbPacket* packet, u32 at) {
  if (!hb_has(packet, at, 4)) return 0;
  GLOBAL const u8* b = packet->mbuf + packet->offset + at;
  return ((u32)b[0] << 24) | ((u32)b[1] << 16) | ((u32)b[2] << 8) | b[3];
}
DEVICE void hb_store8(HbPacket* packet, u32 at, u32 value) {
  if (hb_has(packet, at, 1)) packet->mbuf[packet->offset + at] = (u8)value;
}
DEVICE void hb_store16(HbPacket* packet, u32 at, u32 value) {
  if (!hb_has(packet, at, 2)) return;
  GLOBAL u8* b = packet->mbuf + packet->offset + at;
  b[0] = (u8)(value >> 8);
  b[1] = (u8)value;
}
DEVICE void hb_store32(HbPacket* packet, u32 at, u32 value) {
  if (!hb_has(packet, at, 4)) return;
  GLOBAL u8* b = packet->mbuf + packet->offset + at;
  b[0] = (u8)(value >> 24);
  b[1] = (u8)(value >> 16);
  b[2] = (u8)(value >> 8);
  b[3] = (u8)value;
}

/// Adds n bytes of any content in front: byte 0 is then the first of them. Up to the NF's
/// grows_front in all, and no more than the buffer's headroom.
/// @return 0, changing nothing but the mark, if there is no room
DEVICE u32 hb_grow_front(HbPacket* packet, u32 n) {
  if (n > packet->offset - packet->first) {
    packet->refused = 1;
    return 0;
  }
  packet->offset -= n;
  packet->length += n;
  return 1;
}
/// The same at the end, up to the NF's grows_back and the buffer's tailroom.
DEVICE u32 hb_grow_back(HbPacket* packet, u32 n) {
  if (n > packet->limit - packet->offset - packet->length) {
    packet->refused = 1;
    return 0;
  }
  packet->length += n;
  return 1;
}
/// Takes the packet's first n bytes away; 0 and the mark if it has fewer.
DEVICE u32 hb_cut_front(HbPacket* packet, u32 n) {
  if (!hb_has(packet, 0, n)) return 0;
  packet->offset += n;
  packet->length -= n;
  return 1;
}
/// Leaves its first n bytes only; 0 and the mark if it has fewer.
DEVICE u32 hb_cut_back(HbPacket* packet, u32 n) {
  if (!hb_has(packet, 0, n)) return 0;
  packet->length = n;
  return 1;
}

/// Answers for a lane: exactly once in each round, by one work-item, for dummies too.
/// @param verdict   HB_VERDICT_*; `argument` is its argument: a drop reason, service or port
/// @param flags     HB_RESULT_*; with HB_RESULT_NEW_TYPE, `type` becomes the packet's
DEVICE void hb_answer_full(const HbRound* round, u32 lane, const HbPacket* packet, u32 verdict,
                           u32 argument, u32 flags, u32 type) {
  u64 result = 0;
  if (packet->refused != 0)
    result = HB_RESULT(HB_VERDICT_DROP, 0, 0, 0, 0, HB_DROP_REFUSED_ACCESS);
  else if (packet->limit != 0)
    result = HB_RESULT(verdict, flags, packet->length, packet->offset, type, argument);
  round->results[lane] = result;
}
/// Along the route, or with HB_VERDICT_DROP and a reason's number dropped.
DEVICE void hb_answer(const HbRound* round, u32 lane, const HbPacket* packet, u32 verdict,
                      u32 argument) {
  hb_answer_full(round, lane, packet, verdict, argument, 0, 0);
}

#endif  // HB_KERNELS_PACKET_H
