// AES on one block by one work-item, with one T-table for each direction in local memory: on NVIDIA
// a copy of it in each bank, so that 32 work-items who look up 32 entries do so at once.
// Source: FIPS 197; the tables: Daemen, Rijmen, "AES Proposal: Rijndael", section 5.2.1.
#ifndef HB_KERNELS_AES_H
#define HB_KERNELS_AES_H

#include "line.h"

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define HB_AES_COPIES 32u
#define HB_AES_ENTRY_SHIFT 7u
#else
#define HB_AES_COPIES 1u
#define HB_AES_ENTRY_SHIFT 2u
#endif
HB_STATIC_ASSERT(1u << HB_AES_ENTRY_SHIFT == 4u * HB_AES_COPIES, aes_entries_of_all_copies);
/// Words that both T-tables take in local memory.
#define HB_AES_TABLE_WORDS (256u * HB_AES_COPIES)

/// Where the cipher tables lie in local memory.
typedef struct HbAesTables {
  LOCAL const u32* encrypt;  ///< from this work-item's copy on: entry i lies at i * HB_AES_COPIES
  LOCAL const u32* decrypt;  ///< likewise
  LOCAL const u32* inverse_sbox;
} HbAesTables;

/// Copies a T-table into local memory. By all work-items; the barrier behind it is the caller's.
DEVICE void hb_aes_copy_table(LOCAL u32* to, GLOBAL const u32* from, u32 lane, u32 n_lanes) {
  for (u32 i = lane; i < 256u; i += n_lanes) {
    const u32 entry = from[i];
    HB_UNROLL for (u32 copy = 0; copy < HB_AES_COPIES; ++copy)
        to[i * HB_AES_COPIES + (copy + lane) % HB_AES_COPIES] = entry;
  }
}

/// The entry of a column's byte; its place in the table takes one shift and one mask.
/// @param byte  0 for the highest
DEVICE u32 hb_aes_entry(LOCAL const u32* t, u32 column, u32 byte) {
  const u32 right = 24u - 8u * byte;
  const u32 shifted = right >= HB_AES_ENTRY_SHIFT ? column >> ((right - HB_AES_ENTRY_SHIFT) & 31u)
                                                  : column << ((HB_AES_ENTRY_SHIFT - right) & 31u);
  return *(LOCAL const u32*)((LOCAL const u8*)t + (shifted & (255u << HB_AES_ENTRY_SHIFT)));
}

/// Four words of round keys, which lie at a multiple of 16 bytes in the device's memory.
DEVICE HbLine hb_aes_keys(GLOBAL const u32* keys, u32 round) {
  return hb_line_of_words(keys + 4u * round);
}

DEVICE u32 hb_ror(u32 x, u32 n) { return (x >> n) | (x << (32u - n)); }

/// One column of a round: the T-table's entries of four bytes, each turned to its row.
DEVICE u32 hb_aes_column(LOCAL const u32* t, u32 a, u32 b, u32 c, u32 d, u32 key) {
  return hb_aes_entry(t, a, 0) ^ hb_ror(hb_aes_entry(t, b, 1), 8) ^
         hb_ror(hb_aes_entry(t, c, 2), 16) ^ hb_ror(hb_aes_entry(t, d, 3), 24) ^ key;
}

/// One column of the last round, which has no MixColumns; the S-box is a byte of the T-table.
DEVICE u32 hb_aes_last(LOCAL const u32* t, u32 a, u32 b, u32 c, u32 d, u32 key) {
  return (((hb_aes_entry(t, a, 0) << 16) & 0xff000000u) |
          ((hb_aes_entry(t, b, 1) << 8) & 0x00ff0000u) | (hb_aes_entry(t, c, 2) & 0x0000ff00u) |
          ((hb_aes_entry(t, d, 3) >> 8) & 0x000000ffu)) ^
         key;
}

/// One round of each direction; the rows turn the other way in the inverse cipher.
DEVICE HbLine hb_aes_round(LOCAL const u32* t, HbLine in, HbLine key) {
  HbLine out;
  out.a = hb_aes_column(t, in.a, in.b, in.c, in.d, key.a);
  out.b = hb_aes_column(t, in.b, in.c, in.d, in.a, key.b);
  out.c = hb_aes_column(t, in.c, in.d, in.a, in.b, key.c);
  out.d = hb_aes_column(t, in.d, in.a, in.b, in.c, key.d);
  return out;
}
DEVICE HbLine hb_aes_inverse_round(LOCAL const u32* t, HbLine in, HbLine key) {
  HbLine out;
  out.a = hb_aes_column(t, in.a, in.d, in.c, in.b, key.a);
  out.b = hb_aes_column(t, in.b, in.a, in.d, in.c, key.b);
  out.c = hb_aes_column(t, in.c, in.b, in.a, in.d, key.c);
  out.d = hb_aes_column(t, in.d, in.c, in.b, in.a, key.d);
  return out;
}

DEVICE u32 hb_aes_inverse_byte(LOCAL const u32* sbox, u32 i) {
  return (sbox[i >> 2] >> ((i & 3u) * 8u)) & 255u;
}
DEVICE u32 hb_aes_inverse_last(LOCAL const u32* sbox, u32 a, u32 b, u32 c, u32 d) {
  return (hb_aes_inverse_byte(sbox, a >> 24) << 24) |
         (hb_aes_inverse_byte(sbox, (b >> 16) & 255u) << 16) |
         (hb_aes_inverse_byte(sbox, (c >> 8) & 255u) << 8) | hb_aes_inverse_byte(sbox, d & 255u);
}

DEVICE HbLine hb_aes_add(const u32* block, HbLine key) {
  key.a ^= block[0];
  key.b ^= block[1];
  key.c ^= block[2];
  key.d ^= block[3];
  return key;
}

/// Enciphers a block of four columns in place.
/// @param keys      4 * (n_rounds + 1) words, at a multiple of 16 bytes
/// @param n_rounds  even
DEVICE void hb_aes_encrypt(const HbAesTables* tables, GLOBAL const u32* keys, u32 n_rounds,
                           u32* block) {
  LOCAL const u32* t = tables->encrypt;
  HbLine x = hb_aes_round(t, hb_aes_add(block, hb_aes_keys(keys, 0)), hb_aes_keys(keys, 1));
  for (u32 round = 2; round < n_rounds; round += 2) {
    x = hb_aes_round(t, x, hb_aes_keys(keys, round));
    x = hb_aes_round(t, x, hb_aes_keys(keys, round + 1));
  }
  const HbLine key = hb_aes_keys(keys, n_rounds);
  block[0] = hb_aes_last(t, x.a, x.b, x.c, x.d, key.a);
  block[1] = hb_aes_last(t, x.b, x.c, x.d, x.a, key.b);
  block[2] = hb_aes_last(t, x.c, x.d, x.a, x.b, key.c);
  block[3] = hb_aes_last(t, x.d, x.a, x.b, x.c, key.d);
}

/// Deciphers a block in place, by the equivalent inverse cipher. Parameters likewise.
DEVICE void hb_aes_decrypt(const HbAesTables* tables, GLOBAL const u32* keys, u32 n_rounds,
                           u32* block) {
  LOCAL const u32* t = tables->decrypt;
  HbLine x = hb_aes_inverse_round(t, hb_aes_add(block, hb_aes_keys(keys, 0)), hb_aes_keys(keys, 1));
  for (u32 round = 2; round < n_rounds; round += 2) {
    x = hb_aes_inverse_round(t, x, hb_aes_keys(keys, round));
    x = hb_aes_inverse_round(t, x, hb_aes_keys(keys, round + 1));
  }
  const HbLine key = hb_aes_keys(keys, n_rounds);
  LOCAL const u32* sbox = tables->inverse_sbox;
  block[0] = hb_aes_inverse_last(sbox, x.a, x.d, x.c, x.b) ^ key.a;
  block[1] = hb_aes_inverse_last(sbox, x.b, x.a, x.d, x.c) ^ key.b;
  block[2] = hb_aes_inverse_last(sbox, x.c, x.b, x.a, x.d) ^ key.c;
  block[3] = hb_aes_inverse_last(sbox, x.d, x.c, x.b, x.a) ^ key.d;
}

#endif  // HB_KERNELS_AES_H
