// The numbers of kernels/limit.cl's NFs, beside layout.h's.
#ifndef HB_KERNELS_LIMIT_H
#define HB_KERNELS_LIMIT_H

#define HB_GPU_NF_LIMIT_READ 16u   ///< reads every packet
#define HB_GPU_NF_LIMIT_WRITE 17u  ///< reads and writes every packet

#endif  // HB_KERNELS_LIMIT_H
