// GHASH by one work-item, four bits at a time, with a table of 16 multiples of the hash key.
// Source: NIST SP 800-38D section 6.4; Shoup, "On fast and provably secure message authentication
// based on universal hashing", 1996, for the tables.
#ifndef HB_KERNELS_GHASH_H
#define HB_KERNELS_GHASH_H

#include "line.h"

/// y becomes (y xor x) times the hash key; blocks are four words, the first bit the highest.
/// @param table   table[i] is the multiple by the polynomial whose bits are i's, highest first; at
/// a
///                multiple of 16 bytes in the device's memory
/// @param reduce  reduce[i]: what the four bits i, shifted out, add to the upper 16 bits
DEVICE void hb_ghash_block(GLOBAL const u32 (*table)[4], LOCAL const u32* reduce, u32* y,
                           const u32* x) {
  u32 a = 0, b = 0, c = 0, d = 0;
  u32 v[4];
  for (u32 i = 0; i < 4; ++i) v[i] = y[i] ^ x[i];
  for (u32 word = 4; word-- > 0;) {
    for (u32 shift = 0; shift < 32u; shift += 4u) {
      const u32 out = reduce[d & 15u];
      d = (d >> 4) | (c << 28);
      c = (c >> 4) | (b << 28);
      b = (b >> 4) | (a << 28);
      a = (a >> 4) ^ (out << 16);
      const HbLine multiple = hb_line_of_words(table[(v[word] >> shift) & 15u]);
      a ^= multiple.a;
      b ^= multiple.b;
      c ^= multiple.c;
      d ^= multiple.d;
    }
  }
  y[0] = a;
  y[1] = b;
  y[2] = c;
  y[3] = d;
}

#endif  // HB_KERNELS_GHASH_H
