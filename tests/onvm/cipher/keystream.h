#ifndef KEYSTREAM_H
#define KEYSTREAM_H
#include <stddef.h>
#include <stdint.h>
/* Changes bytes[n] in place; twice with the same seed gives the original. */
void keystream_apply(uint8_t *bytes, size_t n, uint32_t seed);
#endif
