// SHA-1 and SHA-256 of one message by one work-item, word by word. Source: FIPS 180-4.
#ifndef HB_KERNELS_SHA_H
#define HB_KERNELS_SHA_H

#include "line.h"

DEVICE u32 hb_rol(u32 x, u32 n) { return (x << n) | (x >> (32u - n)); }

/// SHA-256's constant of a round: the cube roots of the first 64 primes.
DEVICE u32 hb_sha256_constant(u32 t) {
  const u32 k[64] = {0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u,
                     0x923f82a4u, 0xab1c5ed5u, 0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u,
                     0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u, 0xe49b69c1u, 0xefbe4786u,
                     0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
                     0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u,
                     0x06ca6351u, 0x14292967u, 0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u,
                     0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, 0xa2bfe8a1u, 0xa81a664bu,
                     0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
                     0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au,
                     0x5b9cca4fu, 0x682e6ff3u, 0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u,
                     0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u};
  return k[t];
}

DEVICE void hb_sha1_block(u32* h, u32* w) {
  u32 a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
  HB_UNROLL for (u32 t = 0; t < 80; ++t) {
    if (t >= 16)
      w[t & 15u] = hb_rol(w[(t + 13) & 15u] ^ w[(t + 8) & 15u] ^ w[(t + 2) & 15u] ^ w[t & 15u], 1);
    u32 f, k;
    if (t < 20) {
      f = (b & c) | (~b & d);
      k = 0x5a827999u;
    } else if (t < 40) {
      f = b ^ c ^ d;
      k = 0x6ed9eba1u;
    } else if (t < 60) {
      f = (b & c) | (b & d) | (c & d);
      k = 0x8f1bbcdcu;
    } else {
      f = b ^ c ^ d;
      k = 0xca62c1d6u;
    }
    const u32 next = hb_rol(a, 5) + f + e + k + w[t & 15u];
    e = d;
    d = c;
    c = hb_rol(b, 30);
    b = a;
    a = next;
  }
  h[0] += a;
  h[1] += b;
  h[2] += c;
  h[3] += d;
  h[4] += e;
}

DEVICE u32 hb_sha_ror(u32 x, u32 n) { return (x >> n) | (x << (32u - n)); }

DEVICE void hb_sha256_block(u32* h, u32* w) {
  u32 s[8];
  for (u32 i = 0; i < 8; ++i) s[i] = h[i];
  HB_UNROLL for (u32 t = 0; t < 64; ++t) {
    if (t >= 16) {
      const u32 x = w[(t + 1) & 15u], y = w[(t + 14) & 15u];
      w[t & 15u] += (hb_sha_ror(x, 7) ^ hb_sha_ror(x, 18) ^ (x >> 3)) + w[(t + 9) & 15u] +
                    (hb_sha_ror(y, 17) ^ hb_sha_ror(y, 19) ^ (y >> 10));
    }
    const u32 one = s[7] + (hb_sha_ror(s[4], 6) ^ hb_sha_ror(s[4], 11) ^ hb_sha_ror(s[4], 25)) +
                    ((s[4] & s[5]) ^ (~s[4] & s[6])) + hb_sha256_constant(t) + w[t & 15u];
    const u32 two = (hb_sha_ror(s[0], 2) ^ hb_sha_ror(s[0], 13) ^ hb_sha_ror(s[0], 22)) +
                    ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    s[7] = s[6];
    s[6] = s[5];
    s[5] = s[4];
    s[4] = s[3] + one;
    s[3] = s[2];
    s[2] = s[1];
    s[1] = s[0];
    s[0] = one + two;
  }
  for (u32 i = 0; i < 8; ++i) h[i] += s[i];
}

/// @param state  eight words; SHA-1 has five
/// @param w      16 words, used up
DEVICE void hb_sha_compress(u32 is_256, u32* state, u32* w) {
  if (is_256 != 0)
    hb_sha256_block(state, w);
  else
    hb_sha1_block(state, w);
}

/// HMAC (RFC 2104) of a message that comes in fours of words, the first of them behind two words
/// more: of an ESP packet's header, IV and CBC blocks. All indices are known when it is compiled,
/// so that it stays in registers.
typedef struct HbHmac {
  u32 state[8];
  u32 last[18];  ///< the message's last words; those that are not hashed yet are at the end
  u32 n_fours;
} HbHmac;

/// @param inner  the state behind the padded key
/// @param two    the message's first words
DEVICE void hb_hmac_begin(HbHmac* hmac, GLOBAL const u32* inner, const u32* two) {
  HB_UNROLL for (u32 i = 0; i < 8; ++i) hmac->state[i] = inner[i];
  hmac->last[16] = two[0];
  hmac->last[17] = two[1];
  hmac->n_fours = 0;
}

DEVICE void hb_hmac_shift(HbHmac* hmac) {
  HB_UNROLL for (u32 i = 0; i < 14; ++i) hmac->last[i] = hmac->last[i + 4];
}

DEVICE void hb_hmac_four(HbHmac* hmac, u32 is_256, const u32* four) {
  hb_hmac_shift(hmac);
  HB_UNROLL for (u32 i = 0; i < 4; ++i) hmac->last[14 + i] = four[i];
  if ((++hmac->n_fours & 3u) != 0) return;
  u32 w[16];
  HB_UNROLL for (u32 i = 0; i < 16; ++i) w[i] = hmac->last[i];
  hb_sha_compress(is_256, hmac->state, w);
}

/// The tag.
/// @param outer    the state behind the other padded key
/// @param has_end  1: the message has a word more,
/// @param end      this one
/// @param tag      four words, of which HMAC-SHA1-96 uses three
DEVICE void hb_hmac_finish(HbHmac* hmac, u32 is_256, GLOBAL const u32* outer, u32 has_end, u32 end,
                           u32* tag) {
  const u32 bits = (16u + 2u + 4u * hmac->n_fours + has_end) * 32u;  // with the key; below 2^32
  const u32 n_left = 2u + 4u * (hmac->n_fours & 3u);
  const u32 n_state = is_256 != 0 ? 8u : 5u;
  const u32 mark = n_left + has_end;
  for (u32 n = n_left; n < 14u; n += 4u) hb_hmac_shift(hmac);  // they start at last[4] now
  // Padding and length (FIPS 180-4 section 5.1) fit into the rest's block, or need one more; the
  // last block is the outer hash's. One loop, as the hash's code is long.
  for (u32 step = 0; step < 3u; ++step) {
    u32 w[16];
    if (step == 1u && mark < 14u) continue;
    HB_UNROLL for (u32 i = 0; i < 16u; ++i) {
      w[i] = 0;
      if (step == 0) {
        if (i < 14u && i < n_left) w[i] = hmac->last[(i + 4u) % 18u];
        if (i == n_left && has_end != 0) w[i] = end;
        if (i == mark) w[i] = 0x80000000u;
      } else if (step == 2u) {
        if (i < n_state) w[i] = hmac->state[i & 7u];
        if (i == n_state) w[i] = 0x80000000u;
      }
    }
    if (step == 2u) {
      HB_UNROLL for (u32 i = 0; i < 8u; ++i) hmac->state[i] = outer[i];
      w[15] = (16u + n_state) * 32u;
    } else if (step == 1u || mark < 14u) {
      w[15] = bits;
    }
    hb_sha_compress(is_256, hmac->state, w);
  }
  HB_UNROLL for (u32 i = 0; i < 4u; ++i) tag[i] = hmac->state[i];
}

#endif  // HB_KERNELS_SHA_H
