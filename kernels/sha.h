// SHA-1 and SHA-256 of one message by one work-item, word by word. Source: FIPS 180-4.
#ifndef HB_KERNELS_SHA_H
#define HB_KERNELS_SHA_H

#include "line.h"

/// A hash under way. Messages of ESP are whole words.
typedef struct HbSha {
  u32 state[8];  ///< SHA-1 has five
  u32 block[16];
  u32 n_words;  ///< of the message so far
  u32 is_256;
} HbSha;

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

DEVICE void hb_sha_compress(HbSha* sha) {
  if (sha->is_256 != 0)
    hb_sha256_block(sha->state, sha->block);
  else
    hb_sha1_block(sha->state, sha->block);
}

DEVICE void hb_sha_word(HbSha* sha, u32 word) {
  sha->block[sha->n_words & 15u] = word;
  ++sha->n_words;
  if ((sha->n_words & 15u) == 0) hb_sha_compress(sha);
}

/// Begins an HMAC's half from the state behind its padded key: RFC 2104 section 4.
DEVICE void hb_hmac_begin(HbSha* sha, GLOBAL const u32* state, u32 is_256) {
  for (u32 i = 0; i < 8; ++i) sha->state[i] = state[i];
  sha->n_words = 0;
  sha->is_256 = is_256;
}

/// Ends that half: padding, and the length with the key's block.
DEVICE void hb_hmac_end(HbSha* sha) {
  const u32 bits = (16u + sha->n_words) * 32u;  // no packet has 2^32
  hb_sha_word(sha, 0x80000000u);
  while ((sha->n_words & 15u) != 14u) hb_sha_word(sha, 0);
  hb_sha_word(sha, 0);  // of a length of 64 bits
  hb_sha_word(sha, bits);
}

/// The tag: the outer half over the inner one's result.
/// @param tag  four words, of which HMAC-SHA1-96 uses three
DEVICE void hb_hmac_finish(HbSha* sha, GLOBAL const u32* outer, u32* tag) {
  u32 inner[8];
  hb_hmac_end(sha);
  const u32 n = sha->is_256 != 0 ? 8u : 5u;
  for (u32 i = 0; i < n; ++i) inner[i] = sha->state[i];
  hb_hmac_begin(sha, outer, sha->is_256);
  for (u32 i = 0; i < n; ++i) hb_sha_word(sha, inner[i]);
  hb_hmac_end(sha);
  for (u32 i = 0; i < 4; ++i) tag[i] = sha->state[i];
}

#endif  // HB_KERNELS_SHA_H
