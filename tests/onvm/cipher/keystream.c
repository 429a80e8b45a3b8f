#include "keystream.h"

/* Marsaglia's xorshift32. */
void keystream_apply(uint8_t *bytes, size_t n, uint32_t seed) {
  size_t i;
  for (i = 0; i < n; ++i) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    bytes[i] ^= (uint8_t)seed;
  }
}
