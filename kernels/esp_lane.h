// One work-item's ESP packet: what it is to become, and its way through the ciphers, block by
// block, in the work-item's row of the group's tile. kernels/ipsec.cl moves the rows.
#ifndef HB_KERNELS_ESP_LANE_H
#define HB_KERNELS_ESP_LANE_H

#include "aes.h"
#include "esp_headers.h"
#include "esp_table.h"
#include "ghash.h"
#include "movement.h"
#include "packet.h"
#include "sha.h"

/// A row holds a line of the chunk before, then the chunk: a block that straddles two chunks is
/// worked on when its end has come.
#define HB_ESP_LEAD_BYTES 16u

typedef struct HbEspLane {
  HbPacket packet;
  GLOBAL const HbEspDeviceSa* sa;
  u64 sequence;
  u64 moved;    ///< the slot of the bytes to be moved; 0: none, the answer is known
  u32 verdict;  ///< and what the answer says
  u32 drop;
  u32 opens;
  u32 ip_at;        ///< of the IP packet to be sealed in the frame, or of the outer header
  u32 inner_bytes;  ///< sealing: of that packet
  u32 esp_at;       ///< of the ESP header, from the first line moved
  u32 sealed_at;    ///< of the sealed part, likewise
  u32 sealed_bytes;
  u32 next_block;  ///< of the sealed part
  u32 next_header;
  u32 is_done;   ///< the ICV is computed
  u32 chain[4];  ///< CBC: the last block of the wire; GCM: GHASH
  u32 iv[2];     ///< GCM
  HbSha sha;
} HbEspLane;

/// Words of a row at any byte, as numbers in network order. n is at most 4.
DEVICE u32 hb_swap32(u32 x) {
  return (x >> 24) | ((x >> 8) & 0xff00u) | ((x << 8) & 0xff0000u) | (x << 24);
}
DEVICE void hb_row_read(LOCAL const u32* row, u32 at, u32 n, u32* to) {
  LOCAL const u32* words = row + at / 4;
  const u32 shift = (at & 3u) * 8u;
  for (u32 i = 0; i < n; ++i) {
    u32 word = words[i];
    if (shift != 0) word = (word >> shift) | (words[i + 1] << (32u - shift));
    to[i] = hb_swap32(word);
  }
}
DEVICE void hb_row_write(LOCAL u32* row, u32 at, u32 n, const u32* from) {
  LOCAL u32* words = row + at / 4;
  const u32 shift = (at & 3u) * 8u;
  if (shift == 0) {
    for (u32 i = 0; i < n; ++i) words[i] = hb_swap32(from[i]);
    return;
  }
  const u32 below = (1u << shift) - 1u;  // what the first word keeps, and the last one gets
  u32 carry = words[0] & below;
  for (u32 i = 0; i < n; ++i) {
    const u32 word = hb_swap32(from[i]);
    words[i] = carry | (word << shift);
    carry = word >> (32u - shift);
  }
  words[n] = (words[n] & ~below) | carry;
}

/// The slot of n bytes of a packet from `at` on.
DEVICE u64 hb_esp_moved(u64 slot, const HbPacket* packet, u32 at, u32 n) {
  return HB_SLOT((u32)slot, n, packet->offset + at);
}

/// Takes an order to seal. Lengths that don't fit mark the packet as refused.
DEVICE void hb_esp_take_seal(HbEspLane* me, u64 slot, u32 inner_bytes) {
  GLOBAL const HbEspSa* wire = &me->sa->wire;
  const u32 front = wire->outer_bytes + HB_ESP_HEADER_BYTES + wire->iv_bytes;
  me->inner_bytes = inner_bytes;
  me->sealed_bytes = hb_esp_sealed_bytes(wire, inner_bytes);
  if (me->ip_at > HB_ESP_MAX_IP_AT || me->ip_at < 14u || inner_bytes < 20u) me->packet.refused = 1;
  if (!hb_cut_back(&me->packet, me->ip_at + inner_bytes)) return;
  if (!hb_grow_front(&me->packet, front)) return;
  if (!hb_grow_back(&me->packet, me->sealed_bytes - inner_bytes + wire->icv_bytes)) return;
  if (me->packet.refused != 0) return;
  me->moved = hb_esp_moved(slot, &me->packet, 0, hb_length(&me->packet));
  const u32 skip = me->packet.offset % HB_LINE16;
  me->esp_at = skip + me->ip_at + wire->outer_bytes;
  me->sealed_at = skip + me->ip_at + front;
  me->verdict = HB_VERDICT_NEXT;
}

/// Takes an order to open.
DEVICE void hb_esp_take_open(HbEspLane* me, u64 slot, u32 esp_at, u32 esp_bytes) {
  GLOBAL const HbEspSa* wire = &me->sa->wire;
  const u32 around = HB_ESP_HEADER_BYTES + wire->iv_bytes + wire->icv_bytes;
  if (me->ip_at > HB_ESP_MAX_IP_AT || me->ip_at < 14u || esp_at < me->ip_at + 20u ||
      esp_bytes < around + wire->block_bytes || (esp_bytes - around) % wire->block_bytes != 0)
    me->packet.refused = 1;
  if (!hb_has(&me->packet, esp_at, esp_bytes) || me->packet.refused != 0) return;
  me->opens = 1;
  me->moved = hb_esp_moved(slot, &me->packet, esp_at, esp_bytes);
  me->esp_at = (me->packet.offset + esp_at) % HB_LINE16;
  me->sealed_at = me->esp_at + HB_ESP_HEADER_BYTES + wire->iv_bytes;
  me->sealed_bytes = esp_bytes - around;
  me->drop = HB_ESP_DROP_BAD_ICV;
  // What the end needs: where the frame's sealed part starts.
  me->inner_bytes = esp_at + HB_ESP_HEADER_BYTES + wire->iv_bytes;
}

/// Reads what the host has decided about this work-item's slot.
DEVICE void hb_esp_take(const HbRound* round, HbEspLane* me) {
  GLOBAL const HbEspTable* table = (GLOBAL const HbEspTable*)round->table;
  const u32 n_sas = table->magic == HB_ESP_TABLE_MAGIC ? table->n_sas : 0;
  const u64 order = round->words[round->lane].b;
  const u32 action = HB_ESP_ORDER_ACTION(order);
  const u32 index = HB_ESP_ORDER_INDEX(order);
  me->packet = hb_packet(round, round->lane);
  me->sa = (GLOBAL const HbEspDeviceSa*)(round->table + sizeof(HbEspTable)) +
           (index < n_sas ? index : 0);
  me->sequence = round->words[round->lane].a;
  me->ip_at = HB_ESP_ORDER_IP_AT(order);
  me->moved = 0;
  me->verdict = HB_VERDICT_DROP;
  me->drop = index;
  me->opens = me->next_block = me->is_done = 0;
  if (!hb_is_packet(&me->packet) || action == HB_ESP_ACTION_DROP) return;
  if (action == HB_ESP_ACTION_PASS) {
    me->verdict = HB_VERDICT_NEXT;
    return;
  }
  const u64 slot = round->slots[round->lane];
  if (index >= n_sas)
    me->packet.refused = 1;
  else if (action == HB_ESP_ACTION_SEAL)
    hb_esp_take_seal(me, slot, HB_ESP_ORDER_BYTES(order));
  else if (action == HB_ESP_ACTION_OPEN)
    hb_esp_take_open(me, slot, HB_ESP_ORDER_ESP_AT(order), HB_ESP_ORDER_BYTES(order));
  else
    me->packet.refused = 1;
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

/// Writes what comes in front of the sealed part into the row of the first chunk: the Ethernet
/// header moves to the front, the outer header, SPI, sequence number and IV follow it.
DEVICE void hb_esp_write_front(const HbRound* round, HbEspLane* me, LOCAL u32* row,
                               const HbAesTables* aes) {
  GLOBAL const HbEspDeviceSa* sa = me->sa;
  GLOBAL const HbEspSa* wire = &sa->wire;
  LOCAL u8* bytes = (LOCAL u8*)row + HB_ESP_LEAD_BYTES;
  LOCAL u8* inner = bytes + me->sealed_at;
  const u32 esp_bytes = hb_esp_bytes(wire, me->sealed_bytes);
  const u32 is_4 = (inner[0] >> 4) == 4;
  const u32 tos = is_4 ? (u32)inner[1] : (((u32)inner[0] << 4) | (inner[1] >> 4)) & 0xffu;
  me->next_header = is_4 ? 4u : 41u;
  if ((wire->flags & HB_ESP_DECREMENT) != 0) {
    if (is_4) {
      const u32 before = ((u32)inner[8] << 8) | inner[9];
      const u32 sum =
          hb_patched_checksum(((u32)inner[10] << 8) | inner[11], before, before - 0x100u);
      inner[8] -= 1;
      inner[10] = (u8)(sum >> 8);
      inner[11] = (u8)sum;
    } else {
      inner[7] -= 1;
    }
  }
  const u32 start = me->esp_at - wire->outer_bytes - me->ip_at;
  for (u32 i = 0; i < me->ip_at; ++i) bytes[start + i] = inner[(int)i - (int)me->ip_at];
  LOCAL u8* ethertype = bytes + start + me->ip_at - 2;
  ethertype[0] = wire->outer_bytes == 20 ? 0x08 : 0x86;
  ethertype[1] = wire->outer_bytes == 20 ? 0x00 : 0xdd;
  u32 words[10];
  const u32 outer_at = HB_ESP_LEAD_BYTES + me->esp_at - wire->outer_bytes;
  hb_esp_outer_words(words, wire, tos, is_4 ? inner[6] & 0x40u : 0x40u, esp_bytes,
                     (u32)me->sequence & 0xffffu);
  for (u32 i = 0; i < wire->outer_bytes; i += 4) hb_row_write(row, outer_at + i, 1, words + i / 4);
  words[0] = wire->spi;
  words[1] = (u32)me->sequence;
  if ((wire->flags & HB_ESP_GCM) != 0) {
    const u64 iv = sa->iv_base + me->sequence;
    words[2] = (u32)(iv >> 32);
    words[3] = (u32)iv;
  } else {
    hb_esp_make_iv(me, (GLOBAL const HbEspTable*)round->table, aes,
                   HB_ESP_ORDER_INDEX(round->words[round->lane].b), words + 2);
  }
  const u32 n = (HB_ESP_HEADER_BYTES + wire->iv_bytes) / 4;
  for (u32 i = 0; i < n; ++i)
    hb_row_write(row, HB_ESP_LEAD_BYTES + me->esp_at + 4 * i, 1, words + i);
}

/// Begins the packet's hash with what lies in front of the sealed part; the first chunk is there.
DEVICE void hb_esp_begin(HbEspLane* me, LOCAL const u32* row, LOCAL const u32* reduce) {
  GLOBAL const HbEspDeviceSa* sa = me->sa;
  u32 head[6];
  for (u32 i = 0; i < 2 + sa->wire.iv_bytes / 4; ++i)
    hb_row_read(row, HB_ESP_LEAD_BYTES + me->esp_at + 4 * i, 1, head + i);
  if ((sa->wire.flags & HB_ESP_GCM) == 0) {
    hb_hmac_begin(&me->sha, sa->hmac_inner, (sa->wire.flags & HB_ESP_SHA256) != 0);
    for (u32 i = 0; i < 6; ++i) hb_sha_word(&me->sha, head[i]);
    for (u32 i = 0; i < 4; ++i) me->chain[i] = head[2 + i];
    return;
  }
  // RFC 4106 section 5: with ESN all 64 bits of the sequence number are authenticated.
  const u32 is_esn = (sa->wire.flags & HB_ESP_ESN) != 0;
  u32 aad[4];
  aad[0] = head[0];
  aad[1] = is_esn ? (u32)(me->sequence >> 32) : head[1];
  aad[2] = is_esn ? head[1] : 0;
  aad[3] = 0;
  for (u32 i = 0; i < 4; ++i) me->chain[i] = 0;
  hb_ghash_block(sa->ghash, reduce, me->chain, aad);
  me->iv[0] = head[2];
  me->iv[1] = head[3];
}

/// Padding 1, 2, 3, ..., its length and the next header, as far as they are in this block.
/// @param at  of the block in the sealed part
DEVICE void hb_esp_pad(const HbEspLane* me, u32 at, u32* block) {
  for (u32 i = 0; i < 16u; ++i) {
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

/// One block of the sealed part, of n words.
DEVICE void hb_esp_block(HbEspLane* me, LOCAL u32* row, u32 row_at, u32 n, const HbAesTables* aes,
                         LOCAL const u32* reduce) {
  GLOBAL const HbEspDeviceSa* sa = me->sa;
  u32 block[4], stream[4];
  block[0] = block[1] = block[2] = block[3] = 0;
  hb_row_read(row, row_at, n, block);
  const u32 at = 16u * me->next_block;
  if (me->opens == 0 && at + 16u > me->inner_bytes) hb_esp_pad(me, at, block);
  if ((sa->wire.flags & HB_ESP_GCM) != 0) {
    hb_esp_counter(me, aes, me->next_block + 2, stream);
    if (me->opens != 0) hb_ghash_block(sa->ghash, reduce, me->chain, block);
    for (u32 i = 0; i < n; ++i) block[i] ^= stream[i];
    if (me->opens == 0) hb_ghash_block(sa->ghash, reduce, me->chain, block);
  } else if (me->opens != 0) {
    for (u32 i = 0; i < 4; ++i) {
      hb_sha_word(&me->sha, block[i]);
      stream[i] = block[i];
    }
    hb_aes_decrypt(aes, sa->decrypt_keys, sa->n_rounds, block);
    for (u32 i = 0; i < 4; ++i) {
      block[i] ^= me->chain[i];
      me->chain[i] = stream[i];
    }
  } else {
    for (u32 i = 0; i < 4; ++i) block[i] ^= me->chain[i];
    hb_aes_encrypt(aes, sa->encrypt_keys, sa->n_rounds, block);
    for (u32 i = 0; i < 4; ++i) {
      hb_sha_word(&me->sha, block[i]);
      me->chain[i] = block[i];
    }
  }
  hb_row_write(row, row_at, n, block);
}

/// Computes the ICV; sealing, writes it, opening, compares it with the one that came.
DEVICE void hb_esp_icv(HbEspLane* me, LOCAL u32* row, u32 row_at, const HbAesTables* aes,
                       LOCAL const u32* reduce) {
  GLOBAL const HbEspDeviceSa* sa = me->sa;
  const u32 is_esn = (sa->wire.flags & HB_ESP_ESN) != 0;
  const u32 n = sa->wire.icv_bytes / 4;
  u32 tag[4], other[4];
  if ((sa->wire.flags & HB_ESP_GCM) != 0) {
    other[0] = other[2] = 0;
    other[1] = is_esn ? 96u : 64u;
    other[3] = me->sealed_bytes * 8u;
    hb_ghash_block(sa->ghash, reduce, me->chain, other);
    hb_esp_counter(me, aes, 1, tag);
    for (u32 i = 0; i < 4; ++i) tag[i] ^= me->chain[i];
  } else {
    // RFC 4303 section 2.2.1: the high half is hashed behind the sealed part, and not sent.
    if (is_esn) hb_sha_word(&me->sha, (u32)(me->sequence >> 32));
    hb_hmac_finish(&me->sha, sa->hmac_outer, tag);
  }
  me->is_done = 1;
  if (me->opens == 0) {
    hb_row_write(row, row_at, n, tag);
    return;
  }
  // Every word is looked at, whatever differs.
  u32 differs = 0;
  hb_row_read(row, row_at, n, other);
  for (u32 i = 0; i < n; ++i) differs |= tag[i] ^ other[i];
  if (differs == 0) me->verdict = HB_VERDICT_NEXT;
}

/// All of the packet that has its end in this chunk.
DEVICE void hb_esp_chunk(const HbRound* round, HbEspLane* me, LOCAL u32* row, u32 chunk,
                         const HbAesTables* aes, LOCAL const u32* reduce) {
  if (me->moved == 0 || me->is_done != 0) return;
  if (chunk == 0) {
    if (me->opens == 0) hb_esp_write_front(round, me, row, aes);
    hb_esp_begin(me, row, reduce);
  }
  const u32 end = (chunk + 1) * HB_CHUNK_BYTES;
  const u32 before =
      chunk * HB_CHUNK_BYTES - HB_ESP_LEAD_BYTES;  // wraps below 0, as what it is taken from
  for (; 16u * me->next_block < me->sealed_bytes; ++me->next_block) {
    const u32 left = me->sealed_bytes - 16u * me->next_block;
    const u32 at = me->sealed_at + 16u * me->next_block;
    const u32 n = left < 16u ? left : 16u;
    if (at + n > end) return;
    hb_esp_block(me, row, at - before, n / 4, aes, reduce);
  }
  const u32 icv_at = me->sealed_at + me->sealed_bytes;
  if (icv_at + me->sa->wire.icv_bytes <= end) hb_esp_icv(me, row, icv_at - before, aes, reduce);
}

#endif  // HB_KERNELS_ESP_LANE_H
