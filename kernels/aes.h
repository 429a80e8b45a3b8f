// AES on one block by one work-item, with one T-table for each direction in local memory.
// Source: FIPS 197; the tables: Daemen, Rijmen, "AES Proposal: Rijndael", section 5.2.1.
#ifndef HB_KERNELS_AES_H
#define HB_KERNELS_AES_H

#include "platform.h"

/// Where the cipher tables lie in local memory: HbEspCipherTables' parts.
typedef struct HbAesTables {
  LOCAL const u32* encrypt;
  LOCAL const u32* decrypt;
  LOCAL const u32* inverse_sbox;
} HbAesTables;

DEVICE u32 hb_ror(u32 x, u32 n) { return (x >> n) | (x << (32u - n)); }

/// One column of a round: the T-table's entries of four bytes, each turned to its row.
DEVICE u32 hb_aes_column(LOCAL const u32* t, u32 a, u32 b, u32 c, u32 d) {
  return t[a >> 24] ^ hb_ror(t[(b >> 16) & 255u], 8) ^ hb_ror(t[(c >> 8) & 255u], 16) ^
         hb_ror(t[d & 255u], 24);
}

/// One column of the last round, which has no MixColumns; the S-box is a byte of the T-table.
DEVICE u32 hb_aes_last(LOCAL const u32* t, u32 a, u32 b, u32 c, u32 d) {
  return ((t[a >> 24] << 16) & 0xff000000u) | ((t[(b >> 16) & 255u] << 8) & 0x00ff0000u) |
         (t[(c >> 8) & 255u] & 0x0000ff00u) | ((t[d & 255u] >> 8) & 0x000000ffu);
}

DEVICE u32 hb_aes_inverse_byte(LOCAL const u32* sbox, u32 i) {
  return (sbox[i >> 2] >> ((i & 3u) * 8u)) & 255u;
}
DEVICE u32 hb_aes_inverse_last(LOCAL const u32* sbox, u32 a, u32 b, u32 c, u32 d) {
  return (hb_aes_inverse_byte(sbox, a >> 24) << 24) |
         (hb_aes_inverse_byte(sbox, (b >> 16) & 255u) << 16) |
         (hb_aes_inverse_byte(sbox, (c >> 8) & 255u) << 8) | hb_aes_inverse_byte(sbox, d & 255u);
}

/// Enciphers a block of four columns in place.
/// @param keys  4 * (n_rounds + 1) words
DEVICE void hb_aes_encrypt(const HbAesTables* tables, GLOBAL const u32* keys, u32 n_rounds,
                           u32* block) {
  LOCAL const u32* t = tables->encrypt;
  u32 a = block[0] ^ keys[0], b = block[1] ^ keys[1], c = block[2] ^ keys[2],
      d = block[3] ^ keys[3];
  for (u32 round = 1; round < n_rounds; ++round) {
    keys += 4;
    const u32 w = hb_aes_column(t, a, b, c, d) ^ keys[0];
    const u32 x = hb_aes_column(t, b, c, d, a) ^ keys[1];
    const u32 y = hb_aes_column(t, c, d, a, b) ^ keys[2];
    d = hb_aes_column(t, d, a, b, c) ^ keys[3];
    a = w;
    b = x;
    c = y;
  }
  block[0] = hb_aes_last(t, a, b, c, d) ^ keys[4];
  block[1] = hb_aes_last(t, b, c, d, a) ^ keys[5];
  block[2] = hb_aes_last(t, c, d, a, b) ^ keys[6];
  block[3] = hb_aes_last(t, d, a, b, c) ^ keys[7];
}

/// Deciphers a block in place, by the equivalent inverse cipher.
DEVICE void hb_aes_decrypt(const HbAesTables* tables, GLOBAL const u32* keys, u32 n_rounds,
                           u32* block) {
  LOCAL const u32* t = tables->decrypt;
  u32 a = block[0] ^ keys[0], b = block[1] ^ keys[1], c = block[2] ^ keys[2],
      d = block[3] ^ keys[3];
  for (u32 round = 1; round < n_rounds; ++round) {
    keys += 4;
    const u32 w = hb_aes_column(t, a, d, c, b) ^ keys[0];
    const u32 x = hb_aes_column(t, b, a, d, c) ^ keys[1];
    const u32 y = hb_aes_column(t, c, b, a, d) ^ keys[2];
    d = hb_aes_column(t, d, c, b, a) ^ keys[3];
    a = w;
    b = x;
    c = y;
  }
  LOCAL const u32* sbox = tables->inverse_sbox;
  block[0] = hb_aes_inverse_last(sbox, a, d, c, b) ^ keys[4];
  block[1] = hb_aes_inverse_last(sbox, b, a, d, c) ^ keys[5];
  block[2] = hb_aes_inverse_last(sbox, c, b, a, d) ^ keys[6];
  block[3] = hb_aes_inverse_last(sbox, d, c, b, a) ^ keys[7];
}

#endif  // HB_KERNELS_AES_H
