// The kernel dialect: OpenCL C that is also CUDA C++ (NVRTC) and host C++.
// Everything that differs between the three is here and nowhere else.
#ifndef HB_KERNELS_PLATFORM_H
#define HB_KERNELS_PLATFORM_H

#if defined(__OPENCL_C_VERSION__)

typedef uchar u8;
typedef ushort u16;
typedef uint u32;
typedef ulong u64;
#define GLOBAL __global
#define LOCAL __local
#define DEVICE static inline
#define KERNEL __kernel
#define HB_STATIC_ASSERT(condition, text) typedef char hb_static_assert_##text[(condition) ? 1 : -1]
// PoCL 3.1 does not know memory_scope_all_svm_devices; its device shares the host's coherence.
#ifndef HB_SVM_SCOPE
#define HB_SVM_SCOPE memory_scope_device
#endif
/// 1 where packets come faster when neighbouring work-items read neighbouring lines: on GPUs. The
/// host defines it as 0 for a CPU, whose work-items run one after another.
#ifndef HB_COALESCES
#define HB_COALESCES 1
#endif
/// Pairs with a release store of the same word by the host or by another work-group.
#define ATOMIC_LOAD_ACQUIRE(word) \
  atomic_load_explicit((volatile GLOBAL atomic_uint*)(word), memory_order_acquire, HB_SVM_SCOPE)
/// Orders nothing; for polls. ATOMIC_ACQUIRED(word) once one has seen what it waits for.
#define ATOMIC_LOAD_RELAXED(word) \
  atomic_load_explicit((volatile GLOBAL atomic_uint*)(word), memory_order_relaxed, HB_SVM_SCOPE)
/// Two words that lie side by side on an 8-byte boundary, the first in the low half. Relaxed.
#define ATOMIC_LOAD_PAIR(word) \
  ((u64)ATOMIC_LOAD_RELAXED(word) | ((u64)ATOMIC_LOAD_RELAXED((word) + 1) << 32))
/// Makes the last relaxed load of the word an acquire load: what it pairs with, that pairs with.
#define ATOMIC_ACQUIRED(word) ((void)ATOMIC_LOAD_ACQUIRE(word))
/// Pairs with an acquire load of the same word by the host or by another work-group.
#define ATOMIC_STORE_RELEASE(word, v)                                                    \
  atomic_store_explicit((volatile GLOBAL atomic_uint*)(word), (v), memory_order_release, \
                        HB_SVM_SCOPE)
/// All work-items of the group arrive; local and global writes before it are visible after it.
#define GROUP_BARRIER() barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
/// Words that the work-group shares. At a kernel's outermost scope only.
#define LOCAL_WORDS(name, n) LOCAL u32 name[n]
/// Words that the work-group shares as well: where a launch says how many (HB_EXTRA_LOCAL_BYTES)
/// those, elsewhere the given ones.
#define EXTRA_LOCAL_WORDS(name, given) LOCAL u32* const name = (given)
#define GROUP_ID() ((u32)get_group_id(0))
#define LOCAL_ID() ((u32)get_local_id(0))
#define LOCAL_SIZE() ((u32)get_local_size(0))

#elif defined(__CUDACC__) || defined(__CUDACC_RTC__)

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
#define GLOBAL
#define LOCAL
#define DEVICE static __device__ inline
#define HB_COALESCES 1
#define KERNEL extern "C" __global__
#define HB_STATIC_ASSERT(condition, text) static_assert(condition, #text)
static __device__ inline u32 hb_load_acquire(const volatile u32* word) {
  u32 v;
  asm volatile("ld.acquire.sys.u32 %0, [%1];" : "=r"(v) : "l"(word) : "memory");
  return v;
}
static __device__ inline u32 hb_load_relaxed(const volatile u32* word) {
  u32 v;
  asm volatile("ld.relaxed.sys.u32 %0, [%1];" : "=r"(v) : "l"(word));
  return v;
}
static __device__ inline u64 hb_load_pair(const volatile u32* words) {
  u64 v;
  asm volatile("ld.relaxed.sys.u64 %0, [%1];" : "=l"(v) : "l"(words));
  return v;
}
static __device__ inline void hb_store_release(volatile u32* word, u32 v) {
  asm volatile("st.release.sys.u32 [%0], %1;" ::"l"(word), "r"(v) : "memory");
}
#define ATOMIC_LOAD_ACQUIRE(word) hb_load_acquire(word)
#define ATOMIC_LOAD_RELAXED(word) hb_load_relaxed(word)
#define ATOMIC_LOAD_PAIR(word) hb_load_pair(word)
#define ATOMIC_ACQUIRED(word) asm volatile("fence.acq_rel.sys;" ::: "memory")
#define ATOMIC_STORE_RELEASE(word, v) hb_store_release((word), (v))
// No fence of its own: a release store after it covers what all work-items wrote before it, as
// PTX's causality order goes through barriers. A fence here would cost each of them a trip to the
// host.
#define GROUP_BARRIER() __syncthreads()
#define LOCAL_WORDS(name, n) __shared__ u32 name[n]
#define EXTRA_LOCAL_WORDS(name, given) extern __shared__ u32 name[]
#define GROUP_ID() ((u32)blockIdx.x)
#define LOCAL_ID() ((u32)threadIdx.x)
#define LOCAL_SIZE() ((u32)blockDim.x)

#else  // host C++: unit tests run the kernels as threads, one work-group each

#include <atomic>
#include <cstdint>
typedef std::uint8_t u8;
typedef std::uint16_t u16;
typedef std::uint32_t u32;
typedef std::uint64_t u64;
#define GLOBAL
#define LOCAL
#define DEVICE static inline
#define HB_COALESCES 0
#define HB_STATIC_ASSERT(condition, text) static_assert(condition, #text)
#ifdef HB_KERNEL_ON_HOST  // defined by a translation unit that compiles a kernel, not just a layout
#define KERNEL [[maybe_unused]] static
/// One work-item's place in its work-group; barrier() is called by all work-items alike.
struct HbHostItem {
  u32 group_id;
  u32 local_id;
  u32 local_size;
  void (*barrier)(void* state);
  void* state;
  u32* local;  ///< the group's local memory, kHostLocalWords words
};
inline constexpr u32 kHostLocalWords = 11360;
inline thread_local HbHostItem hb_host_item{};
#define ATOMIC_LOAD_ACQUIRE(word) \
  std::atomic_ref<u32>(*const_cast<u32*>(word)).load(std::memory_order_acquire)
#define ATOMIC_LOAD_RELAXED(word) \
  std::atomic_ref<u32>(*const_cast<u32*>(word)).load(std::memory_order_relaxed)
#define ATOMIC_LOAD_PAIR(word) \
  ((u64)ATOMIC_LOAD_RELAXED(word) | ((u64)ATOMIC_LOAD_RELAXED((word) + 1) << 32))
#define ATOMIC_ACQUIRED(word) ((void)ATOMIC_LOAD_ACQUIRE(word))
#define ATOMIC_STORE_RELEASE(word, v) \
  std::atomic_ref<u32>(*const_cast<u32*>(word)).store((v), std::memory_order_release)
#define GROUP_BARRIER() hb_host_item.barrier(hb_host_item.state)
#define LOCAL_WORDS(name, n)             \
  static_assert((n) <= kHostLocalWords); \
  u32* const name = hb_host_item.local
#define EXTRA_LOCAL_WORDS(name, given) u32* const name = (given)
#define GROUP_ID() (hb_host_item.group_id)
#define LOCAL_ID() (hb_host_item.local_id)
#define LOCAL_SIZE() (hb_host_item.local_size)
#endif

#endif
#endif  // HB_KERNELS_PLATFORM_H
