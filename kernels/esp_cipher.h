// The way of a work-item's ESP packet through the ciphers, block by block, in the work-item's row
// of the group's tile.
#ifndef HB_KERNELS_ESP_CIPHER_H
#define HB_KERNELS_ESP_CIPHER_H

#include "esp_lane.h"
#include "ghash.h"

/// A chunk of the packet in its row: bytes [start, end) of the packet's places, behind the lead.
typedef struct HbEspChunk {
  LOCAL u32* row;
  u32 start;
  u32 end;
} HbEspChunk;

DEVICE u32 hb_swap32(u32 x) {
  return (x >> 24) | ((x >> 8) & 0xff00u) | ((x << 8) & 0xff0000u) | (x << 24);
}
DEVICE u32 hb_esp_in_row(const HbEspChunk* chunk, u32 place) {
  return place + HB_ESP_LEAD_BYTES - chunk->start;
}
/// Reads words at any place of the chunk or its lead, as numbers in network order. Behind the row's
/// end is local memory too: what is read there is not used.
DEVICE void hb_esp_read(const HbEspChunk* chunk, u32 place, u32 n, u32* to) {
  const u32 at = hb_esp_in_row(chunk, place);
  LOCAL const u32* words = chunk->row + at / 4u;
  const u32 shift = (at & 3u) * 8u;
  u32 low = words[0];
  for (u32 i = 0; i < n; ++i) {
    const u32 high = words[i + 1];
    to[i] = hb_swap32(shift == 0 ? low : (low >> shift) | (high << (32u - shift)));
    low = high;
  }
}
/// Writes a word at a multiple of four bytes, if it lies in the chunk.
DEVICE void hb_esp_write(const HbEspChunk* chunk, u32 place, u32 word) {
  if (place >= chunk->start && place < chunk->end)
    chunk->row[hb_esp_in_row(chunk, place) / 4u] = hb_swap32(word);
}

/// CBC's IV: the cipher of what never comes twice, under a key of its own (SP 800-38A appendix C).
DEVICE void hb_esp_make_iv(const HbEspLane* me, GLOBAL const HbEspTable* table,
                           const HbAesTables* aes, u32 index, u32* iv) {
  iv[0] = (u32)(me->sequence >> 32);
  iv[1] = (u32)me->sequence;
  iv[2] = me->sa->wire.spi;
  iv[3] = index;
  hb_aes_encrypt(aes, table->iv_keys, 10, iv);
}

/// Moves the Ethernet header from one place to another and gives it the type of an IP version. Its
/// length is two bytes above a multiple of four, so words begin two bytes before it.
/// @param far  the frame, if it is to be read from there: it is not in the chunk
DEVICE void hb_esp_move_ethernet(const HbEspLane* me, const HbEspChunk* chunk, u32 to, u32 is_4,
                                 GLOBAL const u8* far) {
  for (u32 at = 0; at < me->ip_at + 2u; at += 4u) {
    u32 word = 0;
    if (far == 0)
      hb_esp_read(chunk, me->frame_at + at - 2u, 1, &word);
    else
      word = at == 0 ? hb_be16(far) : hb_be32(far + at - 2u);
    if (at + 2u == me->ip_at) word = (word & 0xffff0000u) | (is_4 != 0 ? 0x0800u : 0x86ddu);
    hb_esp_write(chunk, to + at - 2u, word);
  }
}

/// Writes what comes in front of the sealed part: Ethernet header, outer header, SPI, sequence
/// number, IV. The first chunk is there.
/// @param inner  the packet's first three words
/// @param head   gets SPI, sequence number and IV
DEVICE void hb_esp_write_front(const HbRound* round, HbEspLane* me, const HbEspChunk* chunk,
                               const u32* inner, const HbAesTables* aes, u32* head) {
  GLOBAL const HbEspDeviceSa* sa = me->sa;
  GLOBAL const HbEspSa* wire = &sa->wire;
  const u32 is_4 = inner[0] >> 28 == 4u;
  const u32 tos = (inner[0] >> (is_4 ? 16u : 20u)) & 0xffu;
  me->next_header = is_4 ? 4u : 41u;
  hb_esp_move_ethernet(me, chunk, me->out_at - hb_esp_front_bytes(wire) - me->ip_at,
                       wire->outer_bytes == 20, 0);
  u32 outer[10];
  hb_esp_outer_words(outer, wire, tos, is_4 ? (inner[1] >> 8) & 0x40u : 0x40u,
                     hb_esp_bytes(wire, me->sealed_bytes), (u32)me->sequence & 0xffffu);
  const u32 outer_at = me->out_at - hb_esp_front_bytes(wire);
  HB_UNROLL for (u32 i = 0; i < 10u; ++i) if (4u * i < wire->outer_bytes)
      hb_esp_write(chunk, outer_at + 4u * i, outer[i]);
  head[0] = wire->spi;
  head[1] = (u32)me->sequence;
  if ((me->flags & HB_ESP_GCM) != 0) {
    const u64 iv = sa->iv_base + me->sequence;
    head[2] = (u32)(iv >> 32);
    head[3] = (u32)iv;
    head[4] = head[5] = 0;
  } else {
    hb_esp_make_iv(me, (GLOBAL const HbEspTable*)round->table, aes,
                   HB_ESP_ORDER_INDEX(round->words[round->lane].b), head + 2);
  }
  HB_UNROLL for (u32 i = 0; i < 6u; ++i) if (4u * i < HB_ESP_HEADER_BYTES + wire->iv_bytes)
      hb_esp_write(chunk, outer_at + wire->outer_bytes + 4u * i, head[i]);
}

/// Begins the packet's hash with what lies in front of the sealed part.
/// @param head  SPI, sequence number, IV: six words, of which GCM uses four
DEVICE void hb_esp_begin(HbEspLane* me, const u32* head, LOCAL const u32* reduce) {
  GLOBAL const HbEspDeviceSa* sa = me->sa;
  if ((me->flags & HB_ESP_GCM) == 0) {
    hb_hmac_begin(&me->hmac, sa->hmac_inner, head);
    hb_hmac_four(&me->hmac, (me->flags & HB_ESP_SHA256) != 0, head + 2);
    HB_UNROLL for (u32 i = 0; i < 4; ++i) me->chain[i] = head[2 + i];
    return;
  }
  // RFC 4106 section 5: with ESN all 64 bits of the sequence number are authenticated.
  const u32 is_esn = (me->flags & HB_ESP_ESN) != 0;
  u32 aad[4];
  aad[0] = head[0];
  aad[1] = is_esn ? (u32)(me->sequence >> 32) : head[1];
  aad[2] = is_esn ? head[1] : 0;
  aad[3] = 0;
  HB_UNROLL for (u32 i = 0; i < 4; ++i) me->chain[i] = 0;
  hb_ghash_block(sa->ghash, reduce, me->chain, aad);
  me->iv[0] = head[2];
  me->iv[1] = head[3];
}

/// Takes one from the TTL or hop limit in the packet's first block.
DEVICE void hb_esp_decrement(const HbEspLane* me, u32* block) {
  if (me->next_header == 41u) {
    block[1] -= 1u;
    return;
  }
  const u32 before = block[2] >> 16;
  block[2] =
      ((before - 0x100u) << 16) | hb_patched_checksum(block[2] & 0xffffu, before, before - 0x100u);
}

/// Padding 1, 2, 3, ..., its length and the next header, as far as they are in this block.
/// @param at  of the block in the sealed part
DEVICE void hb_esp_pad(const HbEspLane* me, u32 at, u32* block) {
  HB_UNROLL for (u32 i = 0; i < 16u; ++i) {
    const u32 place = at + i;
    if (place < me->inner_bytes || place >= me->sealed_bytes) continue;
    u32 value = place - me->inner_bytes + 1;
    if (place == me->sealed_bytes - 2) value = me->sealed_bytes - 2 - me->inner_bytes;
    if (place == me->sealed_bytes - 1) value = me->next_header;
    const u32 shift = 24u - (i & 3u) * 8u;
    block[i / 4] = (block[i / 4] & ~(255u << shift)) | (value << shift);
  }
}

/// The block of GCM's key stream with that number (RFC 4106 section 4; 1 is the tag's).
DEVICE void hb_esp_counter(const HbEspLane* me, const HbAesTables* aes, u32 number, u32* block) {
  block[0] = me->sa->salt;
  block[1] = me->iv[0];
  block[2] = me->iv[1];
  block[3] = number;
  hb_aes_encrypt(aes, me->sa->encrypt_keys, me->sa->n_rounds, block);
}

/// One block of the sealed part, in place.
/// @param n  its words; GCM's last block may have fewer than four
DEVICE void hb_esp_block(HbEspLane* me, u32* block, u32 n, const HbAesTables* aes,
                         LOCAL const u32* reduce) {
  GLOBAL const HbEspDeviceSa* sa = me->sa;
  if ((me->flags & HB_ESP_GCM) != 0) {
    u32 stream[4];
    hb_esp_counter(me, aes, me->next_block + 2, stream);
    HB_UNROLL for (u32 i = 0; i < 4; ++i) {
      if (i >= n) block[i] = stream[i] = 0;
      stream[i] ^= block[i];
    }
    hb_ghash_block(sa->ghash, reduce, me->chain, me->opens != 0 ? block : stream);
    HB_UNROLL for (u32 i = 0; i < 4; ++i) block[i] = stream[i];
    return;
  }
  u32 sealed[4];
  if (me->opens != 0) {
    HB_UNROLL for (u32 i = 0; i < 4; ++i) sealed[i] = block[i];
    hb_aes_decrypt(aes, sa->decrypt_keys, sa->n_rounds, block);
    HB_UNROLL for (u32 i = 0; i < 4; ++i) block[i] ^= me->chain[i];
  } else {
    HB_UNROLL for (u32 i = 0; i < 4; ++i) block[i] ^= me->chain[i];
    hb_aes_encrypt(aes, sa->encrypt_keys, sa->n_rounds, block);
    HB_UNROLL for (u32 i = 0; i < 4; ++i) sealed[i] = block[i];
  }
  HB_UNROLL for (u32 i = 0; i < 4; ++i) me->chain[i] = sealed[i];
  hb_hmac_four(&me->hmac, (me->flags & HB_ESP_SHA256) != 0, sealed);
}

/// What the first plain block of an opened packet says: version, length, and with the outer header
/// TOS bits and TTL; writes the Ethernet header in front of it. The first chunk is there.
DEVICE void hb_esp_open_first(HbEspLane* me, const HbEspChunk* chunk, u32* block) {
  GLOBAL const u8* frame =
      me->packet.mbuf + me->packet.offset - (me->out_at - me->ip_at) + me->frame_at;
  u32 outer = 0;
  if (me->is_far == 0)
    hb_esp_read(chunk, me->frame_at + me->ip_at, 1, &outer);
  else
    outer = hb_be32(frame + me->ip_at);
  const u32 version = block[0] >> 28;
  const u32 is_4 = version == 4u;
  me->next_header = is_4 ? 4u : version == 6u ? 41u : 0;
  me->inner_bytes = hb_esp_stated_bytes(block);
  const u32 outer_tos = (outer >> (outer >> 28 == 4u ? 16u : 20u)) & 0xffu;
  const u32 tos = (block[0] >> (is_4 ? 16u : 20u)) & 0xffu;
  const u32 merged = hb_esp_merged_tos(tos, outer_tos, me->flags);
  if (merged == HB_ESP_TOS_DROP) {
    me->late_drop = HB_ESP_DROP_CONGESTION;
  } else if (is_4) {
    const u32 before = block[0] >> 16;
    const u32 after = (before & 0xff00u) | merged;
    if (after != before)
      block[2] = (block[2] & 0xffff0000u) | hb_patched_checksum(block[2] & 0xffffu, before, after);
    block[0] = (after << 16) | (block[0] & 0xffffu);
  } else {
    block[0] = (block[0] & 0xf00fffffu) | (merged << 20);
  }
  if ((me->flags & HB_ESP_DECREMENT) != 0) {
    const u32 ttl = is_4 ? block[2] >> 24 : block[1] & 0xffu;
    if (ttl > 1u)
      hb_esp_decrement(me, block);
    else if (me->late_drop == 0)
      me->late_drop = HB_ESP_DROP_TTL_EXPIRED;
  }
  hb_esp_move_ethernet(me, chunk, me->out_at - me->ip_at, is_4, me->is_far != 0 ? frame : 0);
}

/// Follows the padding, of which only the end says how long it is: at most 255 bytes.
/// @param at  of the plain block in the sealed part
/// @param n   its words
DEVICE void hb_esp_open_padding(HbEspLane* me, u32 at, u32 n, const u32* block) {
  if (at + 16u + 257u < me->sealed_bytes) return;
  HB_UNROLL for (u32 i = 0; i < 16u; ++i) {
    if (at + i + 2u >= me->sealed_bytes) continue;
    const u32 byte = (block[i / 4] >> (24u - (i & 3u) * 8u)) & 0xffu;
    me->padding = byte == me->padding + 1u ? byte : byte == 1u ? 1u : 0;
  }
  HB_UNROLL for (u32 i = 0; i < 4u; ++i) if (i + 1u == n) me->trailer = block[i] & 0xffffu;
}

/// What becomes of a packet whose ICV was right: all of it has been seen.
DEVICE void hb_esp_end_open(HbEspLane* me) {
  const u32 padding = me->trailer >> 8;
  const u32 next_header = me->trailer & 0xffu;
  me->drop = HB_ESP_DROP_BAD_PADDING;
  if (padding + 2u > me->sealed_bytes || (padding != 0 && padding != me->padding)) return;
  me->drop = HB_ESP_DROP_DUMMY;
  if (next_header == 59u) return;
  me->drop = HB_ESP_DROP_BAD_INNER;  // a length that is longer than what is there, too
  if (me->inner_bytes == 0 || me->inner_bytes > me->sealed_bytes - 2u - padding ||
      next_header != me->next_header)
    return;
  me->drop = me->late_drop;
  if (me->late_drop != 0) return;
  me->verdict = HB_VERDICT_NEXT;
  hb_cut_back(&me->packet, me->ip_at + me->inner_bytes);
}

/// Computes the ICV into me->chain.
DEVICE void hb_esp_icv(HbEspLane* me, const HbAesTables* aes, LOCAL const u32* reduce) {
  GLOBAL const HbEspDeviceSa* sa = me->sa;
  const u32 is_esn = (me->flags & HB_ESP_ESN) != 0;
  u32 other[4];
  me->is_done = 1;
  if ((me->flags & HB_ESP_GCM) == 0) {
    // RFC 4303 section 2.2.1: the high half is hashed behind the sealed part, and not sent.
    hb_hmac_finish(&me->hmac, (me->flags & HB_ESP_SHA256) != 0, sa->hmac_outer, is_esn,
                   (u32)(me->sequence >> 32), me->chain);
    return;
  }
  other[0] = other[2] = 0;
  other[1] = is_esn ? 96u : 64u;
  other[3] = me->sealed_bytes * 8u;
  hb_ghash_block(sa->ghash, reduce, me->chain, other);
  hb_esp_counter(me, aes, 1, other);
  HB_UNROLL for (u32 i = 0; i < 4; ++i) me->chain[i] ^= other[i];
}

/// The four words behind the first n of a block and those that follow it.
/// @param following  is replaced by them
DEVICE void hb_esp_behind(const u32* block, u32 n, u32* following) {
  HB_UNROLL for (u32 k = 3; k > 0; --k) {
    if (k < n) continue;
    following[3] = following[2];
    following[2] = following[1];
    following[1] = following[0];
    following[0] = block[k];
  }
}

/// All blocks that have their end in this chunk. One that comes in is read before the one ahead of
/// it goes out, since that lies further back.
/// @param block  the next one as it comes in; behind the last the ICV, when it returns
DEVICE void hb_esp_blocks(HbEspLane* me, const HbEspChunk* chunk, u32* block,
                          const HbAesTables* aes, LOCAL const u32* reduce) {
  for (; 16u * me->next_block < me->sealed_bytes; ++me->next_block) {
    const u32 at = 16u * me->next_block;
    if (me->out_at + at >= chunk->end) return;
    const u32 n = me->sealed_bytes - at < 16u ? (me->sealed_bytes - at) / 4u : 4u;
    u32 following[4];
    hb_esp_read(chunk, me->in_at + at + 16u, 4, following);
    hb_esp_behind(block, n, following);
    if (me->opens == 0) {
      if (at == 0 && (me->flags & HB_ESP_DECREMENT) != 0) hb_esp_decrement(me, block);
      if (at + 16u > me->inner_bytes) hb_esp_pad(me, at, block);
    }
    hb_esp_block(me, block, n, aes, reduce);
    if (me->opens != 0) {
      hb_esp_open_padding(me, at, n, block);
      if (at == 0) hb_esp_open_first(me, chunk, block);
    }
    LOCAL u32* out = chunk->row + hb_esp_in_row(chunk, me->out_at + at) / 4u;
    HB_UNROLL for (u32 i = 0; i < 4; ++i) {
      out[i] = hb_swap32(block[i]);
      block[i] = following[i];
    }
  }
}

/// All of the packet that has its end in this chunk.
DEVICE void hb_esp_chunk(const HbRound* round, HbEspLane* me, const HbEspChunk* chunk, u32 is_first,
                         const HbAesTables* aes, LOCAL const u32* reduce) {
  const u32 n_icv = me->sa->wire.icv_bytes / 4u;
  if (me->is_done == 0) {
    u32 block[4];
    const u32 at = 16u * me->next_block;
    hb_esp_read(chunk, me->in_at + (at < me->sealed_bytes ? at : me->sealed_bytes), 4, block);
    if (is_first != 0) {
      u32 head[6];
      if (me->opens == 0)
        hb_esp_write_front(round, me, chunk, block, aes, head);
      else
        hb_esp_read(chunk, me->in_at - HB_ESP_HEADER_BYTES - me->sa->wire.iv_bytes, 6, head);
      hb_esp_begin(me, head, reduce);
    }
    hb_esp_blocks(me, chunk, block, aes, reduce);
    if (16u * me->next_block < me->sealed_bytes) return;
    // Opening, `block` is the ICV that came, once all of it is there.
    if (me->opens != 0 && me->in_at + me->sealed_bytes + 4u * n_icv > chunk->end) return;
    hb_esp_icv(me, aes, reduce);
    u32 differs = 0;  // every word is looked at, whatever differs
    HB_UNROLL for (u32 i = 0; i < 4; ++i) differs |= i < n_icv ? me->chain[i] ^ block[i] : 0;
    if (me->opens != 0 && differs == 0) hb_esp_end_open(me);
  }
  if (me->opens != 0) return;
  // GCM's ICV may lie in two chunks.
  const u32 icv_at = me->out_at + me->sealed_bytes;
  HB_UNROLL for (u32 i = 0; i < 4; ++i) if (i < n_icv)
      hb_esp_write(chunk, icv_at + 4u * i, me->chain[i]);
}

#endif  // HB_KERNELS_ESP_CIPHER_H
