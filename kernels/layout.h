// Layouts that the host and the device share: slots, results, work-group queues.
// Offsets and fixed-width words only: every field means the same in each process and on the device.
#ifndef HB_KERNELS_LAYOUT_H
#define HB_KERNELS_LAYOUT_H

#include "platform.h"

/// 128 bytes: x86 prefetches lines in pairs, NVIDIA's L2 lines are 128 bytes.
#define HB_LINE_BYTES 128

/// One 32-bit word alone on its line: each has one writer.
typedef struct HbWord {
  u32 value;
  u32 pad[31];
} HbWord;

/// What a work-group looks for while it waits: both words by one load, on a line that no other
/// work-group looks at. (Loads of one line of host memory by many multiprocessors go over the bus
/// one after another.)
typedef struct HbCall {
  u32 value;  ///< rounds handed to the device; CPUSyncer writes (release)
  u32 stop;   ///< 1: end at the next round boundary; the slice's host threads write
  u32 pad[30];
} HbCall;

/// Control block of one work-group's circular queue of R rounds by W slots.
/// All counts run free and wrap at 2^32; they are compared by equality and difference only.
typedef struct HbQueueControl {
  HbCall published;
  HbWord completed;  ///< rounds the device has done; lane 0 writes (release)
  HbWord filled;     ///< slots written, this queue's prod.tail; CPUSyncer writes (release)
  HbWord drained;    ///< slots taken back, this queue's cons.tail; CPUSyncer writes (release)
} HbQueueControl;

/// Control block of one slice: the work-groups of one GPU NF instance.
typedef struct HbSliceControl {
  HbWord leaving;  ///< 1: this bounded launch ends; a work-group that gave up waiting sets it, the
                   ///< host clears it before a launch
} HbSliceControl;

/// A slot names one packet. 0 is the dummy packet: the work-item has nothing to do.
///   bits  0..31  mbuf's offset from the region's base, in 64-byte units (256 GiB)
///   bits 32..47  packet length in bytes
///   bits 48..63  data offset from the mbuf's start in bytes (data need not be aligned)
#define HB_SLOT_BASE(slot) ((u64)((slot)&0xffffffffu) * 64u)
#define HB_SLOT_LENGTH(slot) ((u32)(((slot) >> 32) & 0xffffu))
#define HB_SLOT_DATA_OFFSET(slot) ((u32)(((slot) >> 48) & 0xffffu))
#define HB_SLOT(base_units, length, data_offset) \
  ((u64)(u32)(base_units) | ((u64)(u16)(length) << 32) | ((u64)(u16)(data_offset) << 48))

/// Words of an NF's own for each slot, written by the host before the round is published.
typedef struct HbSlotWords {
  u64 a, b;
} HbSlotWords;

/// What the device says about one slot. The CPUSyncer checks every field before use.
///   bits  0..7   verdict (HB_VERDICT_*)
///   bits  8..15  flags (HB_RESULT_*)
///   bits 16..31  new length in bytes
///   bits 32..47  new data offset from the mbuf's start in bytes
///   bits 48..55  new packet type, with HB_RESULT_NEW_TYPE
///   bits 56..63  argument of the verdict: the NF's drop reason, service index or port
#define HB_RESULT(verdict, flags, length, data_offset, type, argument)         \
  ((u64)(u8)(verdict) | ((u64)(u8)(flags) << 8) | ((u64)(u16)(length) << 16) | \
   ((u64)(u16)(data_offset) << 32) | ((u64)(u8)(type) << 48) | ((u64)(u8)(argument) << 56))
#define HB_RESULT_VERDICT(result) ((u32)((result)&0xffu))
#define HB_RESULT_FLAGS(result) ((u32)(((result) >> 8) & 0xffu))
#define HB_RESULT_LENGTH(result) ((u32)(((result) >> 16) & 0xffffu))
#define HB_RESULT_DATA_OFFSET(result) ((u32)(((result) >> 32) & 0xffffu))
#define HB_RESULT_TYPE(result) ((u32)(((result) >> 48) & 0xffu))
#define HB_RESULT_ARGUMENT(result) ((u32)(((result) >> 56) & 0xffu))

#define HB_VERDICT_NEXT 0u        ///< along the route
#define HB_VERDICT_DROP 1u        ///< drop; argument: index into the NF's drop reasons
#define HB_VERDICT_TO_SERVICE 2u  ///< argument: service index
#define HB_VERDICT_TO_PORT 3u     ///< argument: port

/// The reason for which kernels/packet.h drops a packet outside of which an access was tried. No NF
/// declares it, so the CPUSyncer counts the packet as bad_verdict.
#define HB_DROP_REFUSED_ACCESS 255u

#define HB_RESULT_NEW_TYPE 1u     ///< the packet's type becomes the given one
#define HB_RESULT_COPY_TO_CPU 2u  ///< hand a copy of the packet to the NF's control process
#define HB_RESULT_ASK_CPU \
  4u  ///< likewise, and the packet waits: the control process says what becomes
      ///< of it. Later packets of its flow wait behind it

/// The answer that changes nothing: same bytes, along the route.
#define HB_RESULT_UNCHANGED(slot, flags) \
  HB_RESULT(HB_VERDICT_NEXT, flags, HB_SLOT_LENGTH(slot), HB_SLOT_DATA_OFFSET(slot), 0, 0)

/// What a launch of the persistent loop runs, and where: one read-only block. The numbers of its
/// work-groups follow as u32[n_work_groups]; group i of the launch serves work_groups[i]'s queue.
/// Offsets count bytes from the region's base.
typedef struct HbLaunch {
  u64 queue_controls;  ///< HbQueueControl[]
  u64 slots;           ///< u64[][n_rounds][lanes]
  u64 results;         ///< same shape
  u64 words;           ///< HbSlotWords, same shape; of use to NFs that have them
  u64 slice_control;   ///< HbSliceControl
  u64 region_bytes;
  u32 nf;            ///< HB_GPU_NF_*
  u32 n_rounds;      ///< rounds of a queue, a power of two
  u32 idle_polls;    ///< empty polls after which a work-group gives up and the launch ends;
                     ///< 0: never; HB_IDLE_POLLS_NONE: at the first, and each by itself
  u32 max_rounds;    ///< rounds after which a work-group ends the launch; 0: never
  u32 packet_first;  ///< where a packet's buffer starts, in bytes from its mbuf,
  u32 packet_limit;  ///< and where it ends
  u32 grows_front;   ///< bytes by which the NF may grow a packet at its front,
  u32 grows_back;    ///< and at its back
  u32 n_work_groups;
  u32 table_bytes;
  u32 reserved[10];
} HbLaunch;

/// Words of local memory that a work-group's NF has for itself during a round; of those that come
/// with the platform some need more.
#define HB_SCRATCH_WORDS 2048u
#define HB_GROUP_WORDS 11344u
/// Bytes of local memory that an NF's work-groups have beside those on NVIDIA, where a launch says
/// how many.
#define HB_EXTRA_LOCAL_BYTES(nf) ((nf) == HB_GPU_NF_IPSEC ? 65536u : 0u)

/// What a collective round function gets. Every work-item of the group has the same values but for
/// `lane`. One slot and one result per lane. kernels/packet.h has the accessors: an NF uses those,
/// and lane, n_lanes, table and scratch.
typedef struct HbRound {
  GLOBAL u8* region;                ///< the SVM region's base
  GLOBAL const u64* slots;          ///< slots[n_lanes]
  GLOBAL u64* results;              ///< results[n_lanes]; each lane writes its own
  GLOBAL const HbSlotWords* words;  ///< words[n_lanes], of NFs that have them
  GLOBAL const u8* table;  ///< the NF's read-only table, at least 64 bytes, 64-byte aligned
  LOCAL u32* scratch;      ///< scratch[HB_SCRATCH_WORDS], the group's own, of any content at first
  u64 region_bytes;
  u32 packet_first, packet_limit;  ///< as in HbLaunch
  u32 grows_front, grows_back;
  u32 table_bytes;  ///< that the table has; reading behind them is hb_table32's to refuse
  u32 lane;
  u32 n_lanes;
} HbRound;

/// As idle_polls of a launch: a work-group that finds its queue empty ends at once.
#define HB_IDLE_POLLS_NONE 0xffffffffu

/// Which NF a launch runs. The numbers index kernels/persistent.cl's switch and the host's catalog.
#define HB_GPU_NF_FORWARD 0u
#define HB_GPU_NF_NIDS 1u
#define HB_GPU_NF_LITMUS 2u  ///< answers words instead of packets; used at start only
#define HB_GPU_NF_IPSEC 3u
#define HB_GPU_NF_USER 255u  ///< the one NF of a program made from a user's file

HB_STATIC_ASSERT(sizeof(HbWord) == HB_LINE_BYTES, word_is_one_line);
HB_STATIC_ASSERT(sizeof(HbCall) == HB_LINE_BYTES, call_is_one_line);
HB_STATIC_ASSERT(sizeof(HbQueueControl) == 4 * HB_LINE_BYTES, queue_control_size);
HB_STATIC_ASSERT(sizeof(HbLaunch) == HB_LINE_BYTES, launch_size);
HB_STATIC_ASSERT(sizeof(HbSlotWords) == 16, slot_words_size);
HB_STATIC_ASSERT(sizeof(HbSliceControl) == HB_LINE_BYTES, slice_control_size);

#endif  // HB_KERNELS_LAYOUT_H
