// platform.h's part for kernels that move packets: 16 bytes that are loaded and stored at once.
#ifndef HB_KERNELS_LINE_H
#define HB_KERNELS_LINE_H

#include "platform.h"

#if defined(__OPENCL_C_VERSION__)
#define HB_ALIGNED_16 __attribute__((aligned(16)))
#define HB_UNROLL
#elif defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define HB_ALIGNED_16 __align__(16)
#define HB_UNROLL _Pragma("unroll")
#else
#define HB_ALIGNED_16 alignas(16)
#define HB_UNROLL
#endif

/// 16 bytes, moved at once.
typedef struct HB_ALIGNED_16 HbLine {
  u32 a, b, c, d;
} HbLine;
HB_STATIC_ASSERT(sizeof(HbLine) == 16, line_size);

/// Four words that lie at a multiple of 16 bytes in the device's memory: on NVIDIA by one load.
/// Elsewhere that is the compiler's to do, and words of the host's need not be aligned.
DEVICE HbLine hb_line_of_words(GLOBAL const u32* words) {
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
  return *(GLOBAL const HbLine*)words;
#else
  HbLine line;
  line.a = words[0];
  line.b = words[1];
  line.c = words[2];
  line.d = words[3];
  return line;
#endif
}

#endif  // HB_KERNELS_LINE_H
