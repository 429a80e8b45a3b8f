// The control area: plain versioned layouts in files under /run/hummingbird/<prefix>.
//   registry       written by the manager, mapped read-only by all others
//   routes         likewise
//   context-<n>-<generation>   one per context, written by its owner alone, read by the manager
// Everything a reader takes from a file that another process may write is checked before use.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "nf_lib/ledger.h"
#include "nf_lib/limits.h"
#include "nf_lib/region.h"

namespace hb {

inline constexpr std::uint64_t kRegistryMagic = 0x3152'4745'5242'4848;  // "HHBREGR1"
inline constexpr std::uint64_t kRoutesMagic = 0x3154'554f'5242'4848;
inline constexpr std::uint64_t kContextMagic = 0x3154'5843'5842'4848;
inline constexpr std::uint32_t kControlVersion = 5;

/// First bytes of every control file. A reader refuses another magic, version or hash.
struct ControlHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t layout_hash;  ///< layout_hash() of the writer's build
};

/// Where the packets are, to check a pointer from a ring: objects never cross a page.
struct PoolLayout {
  std::uint64_t first_bytes;   ///< offset of the first mbuf in its page
  std::uint32_t stride_bytes;  ///< from one mbuf to the next within a page
  std::uint32_t per_page;      ///< mbufs in a page
  std::uint32_t size;          ///< mbufs in all
  std::uint32_t data_room;     ///< bytes behind an mbuf's headroom
  std::uint32_t headroom;
  std::uint32_t mbuf_bytes;  ///< sizeof(rte_mbuf) + private area: where an mbuf's buffer starts
  std::uint32_t first_page;  ///< page of the packet part in which the first mbuf lies
};

enum class Compute : std::uint32_t { kCpu, kGpu };
enum class Isolation : std::uint32_t { kPrivate, kSecondary };

enum class InstanceState : std::uint32_t {
  kFree,
  kStarting,  ///< registered, loading its tables
  kRunning,
  kDraining,    ///< no longer routed to; finishing what is in its rings
  kRestarting,  ///< dead; its packets wait for a successor
  kStopped,
  kFailed
};

struct ServiceEntry {
  char name[kNameBytes];
  std::atomic<std::uint32_t> number;  ///< OpenNetVM's service id, 0: none
  std::uint32_t n_reasons;
  char reasons[kMaxNfReasons][kNameBytes];
};

struct alignas(kFalseSharingRange) InstanceEntry {
  std::atomic<InstanceState> state;
  std::uint32_t service;
  std::uint32_t number;  ///< 0 for a service's first instance
  Compute compute;
  Isolation isolation;
  std::uint32_t context;   ///< of the CPU NF, or of the GPU NF's control process
  std::uint32_t endpoint;  ///< of the CPU NF
  std::uint32_t slice;     ///< of the GPU NF
  std::int32_t pid;
  /// 1: leave the run loop at the next burst boundary. Manager writes (release).
  std::atomic<std::uint32_t> stop;
  /// Counts requests to let go of held packets. Manager writes (release).
  std::atomic<std::uint32_t> flush;
};

struct alignas(kFalseSharingRange) EndpointEntry {
  /// Bit c: context c may have packets here. Manager writes alone (release).
  std::atomic<std::uint64_t> producers[kMaxContexts / 64];
};

enum class ContextRole : std::uint32_t { kFree, kManager, kRx, kNf, kControl, kSyncer };

struct ContextEntry {
  std::atomic<ContextRole> role;
  std::uint32_t generation;  ///< names the context's file; never used twice in a manager's life
  std::int32_t pid;
  std::uint32_t instance;
  std::int32_t cpu;  ///< that its polling thread is to keep to; -1: none is left, or it naps
};

struct PortEntry {
  std::uint32_t used;
  std::uint32_t endpoint;  ///< its TX queue
  std::uint32_t lossless;
  std::uint8_t mac[6];
  std::uint16_t dpdk_port;
  char name[64];
};

struct Registry {
  ControlHeader header;
  RegionLayout region;
  PoolLayout pool;
  std::int32_t packet_meta_offset;
  std::int32_t carried_word_offset;
  std::int32_t rx_timestamp_offset;
  std::int32_t manager_pid;
  std::uint32_t busy_polling;  ///< --idle busy
  std::uint32_t lossless;      ///< a file port is open: queues beside the path wait
  std::uint32_t n_ports, n_syncers;
  /// Entries of `types`; grows when a reload names new ones. Manager writes (release).
  std::atomic<std::uint32_t> n_types;
  std::atomic<std::uint32_t> ready;  ///< 1 once everything above is final (release)
  /// 1: the platform ends. Manager writes (relaxed: nothing is read because of it).
  std::atomic<std::uint32_t> ending;
  char region_path[256];
  char types[kMaxTypes][kNameBytes];
  ServiceEntry services[kMaxServices];
  PortEntry ports[kMaxPorts];
  ContextEntry contexts[kMaxContexts];
  InstanceEntry instances[kMaxInstances];
  EndpointEntry endpoints[kMaxEndpoints];
  /// Whose ring is full when one of an endpoint's is: a service, kMaxServices for nobody's.
  std::atomic<std::uint8_t> endpoint_service[kMaxEndpoints];
};

/// What to do next with a packet: kind in bits 12..15, index in bits 0..11.
enum class HopKind : std::uint8_t {
  kUnrouted = 0,
  kService,   ///< index: service
  kPort,      ///< index: port
  kPeerPort,  ///< the port paired with the packet's input port
  kDrop,
  kMissing  ///< index: service that is not running
};
using Hop = std::uint16_t;
constexpr Hop make_hop(HopKind kind, std::uint32_t index) {
  return static_cast<Hop>((static_cast<std::uint32_t>(kind) << 12) | (index & 0xfffu));
}
constexpr HopKind hop_kind(Hop hop) { return static_cast<HopKind>(hop >> 12); }
constexpr std::uint32_t hop_index(Hop hop) { return hop & 0xfffu; }

/// How packets are spread over a service's instances, or over the CPUSyncers of a GPU NF.
enum class InstanceChoice : std::uint8_t { kFlowHash, kSymmetricFlowHash, kOwnKey, kSingle };

struct ServiceTargets {
  std::uint16_t n;  ///< 0: not running
  InstanceChoice choice;
  std::uint8_t key_bytes;    ///< kOwnKey: how many bytes, at most 16,
  std::uint16_t key_offset;  ///< at this offset of the IP payload, spread the packets
  std::uint16_t endpoint[kMaxTargets];
};

/// The row of a route table for packets that come from a port.
inline constexpr std::uint32_t kRxRow = kMaxServices;

struct RouteTable {
  Hop next[kMaxTypes][kMaxServices + 1];
  ServiceTargets targets[kMaxServices];
  std::uint16_t port_endpoint[kMaxPorts];
  std::uint16_t peer_port[kMaxPorts];
};

/// Route versions are 0..kRouteVersions-1, and then 0 again: an even number of them, so that two
/// neighbours never share a table.
inline constexpr std::uint32_t kRouteVersions = 254;
/// Stamped instead of a version on packets that NFs originate: the current table judges them,
/// whichever that is, wherever they are.
inline constexpr std::uint8_t kJudgedByCurrent = 255;

struct RouteTables {
  ControlHeader header;
  /// The version that RX stamps now; table[version & 1] judges it. Manager writes (release).
  alignas(kFalseSharingRange) std::atomic<std::uint32_t> current;
  alignas(kFalseSharingRange) RouteTable table[2];
};

/// Durations in TSC cycles, four buckets to an octave: 128 cycles and less, to 2^31 and more.
inline constexpr std::uint32_t kLatencyBuckets = 96;
constexpr std::uint32_t latency_bucket(std::uint64_t cycles) noexcept {
  if (cycles < 128) return 0;
  const auto octave = static_cast<std::uint32_t>(std::bit_width(cycles)) - 1;  // at least 7
  const std::uint32_t bucket =
      (octave - 7) * 4 + static_cast<std::uint32_t>((cycles >> (octave - 2)) & 3);
  return bucket < kLatencyBuckets ? bucket : kLatencyBuckets - 1;
}
/// The shortest duration of a bucket, in cycles.
constexpr std::uint64_t latency_of_bucket(std::uint32_t bucket) noexcept {
  return (std::uint64_t{4} + bucket % 4) << (bucket / 4 + 5);
}
static_assert(latency_bucket(latency_of_bucket(41)) == 41 &&
              latency_bucket(latency_of_bucket(42) - 1) == 41);

/// What a context counts by itself; everything else is read off the rings' indices.
struct ContextCounters {
  std::atomic<std::uint64_t> bad_pointers;        ///< ring entries that named no packet
  std::atomic<std::uint64_t> nf[kMaxNfCounters];  ///< what NfDescription::counters names
  /// By slice, for CPUSyncers: packets passed on, dropped by the NF, copies made, copies not made.
  std::atomic<std::uint64_t> slice_tx[kMaxSlices];
  std::atomic<std::uint64_t> slice_drops[kMaxSlices];
  std::atomic<std::uint64_t> slice_copies[kMaxSlices];
  std::atomic<std::uint64_t> slice_unevaluated[kMaxSlices];
  /// Rounds taken back, and the packets that were in them.
  std::atomic<std::uint64_t> slice_rounds[kMaxSlices];
  std::atomic<std::uint64_t> slice_filled[kMaxSlices];
  /// Rounds by the time from publish to taking back, in latency_bucket()s.
  std::atomic<std::uint64_t> slice_latency[kMaxSlices][kLatencyBuckets];
};

struct ContextPage {
  ControlHeader header;
  alignas(kFalseSharingRange) Ledger ledger;
  /// Odd inside a burst, even outside. Owner writes (release); the heartbeat.
  alignas(kFalseSharingRange) std::atomic<std::uint64_t> bursts;
  /// The last InstanceEntry::flush that has been carried out. Owner writes (release).
  std::atomic<std::uint32_t> flushed;
  /// The kernel's number of the thread that serves the rings, 0 for the process' main thread. Owner
  /// writes (relaxed).
  std::atomic<std::int32_t> loop_thread;
  /// Moves on while the owner waits for somebody to take its output: with `bursts` a second
  /// heartbeat. Owner writes (relaxed).
  std::atomic<std::uint64_t> output_waits;
  alignas(kFalseSharingRange) ContextCounters counters;
  /// Addresses of held packets' mbufs; 0 is a free slot.
  alignas(kFalseSharingRange) std::atomic<std::uint64_t> held[kHeldSlots];
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<InstanceState>::is_always_lock_free);

/// A hash of every size and bound of the shared layouts and of the DPDK version.
constexpr std::uint32_t layout_hash() {
  std::uint64_t hash = 0xcbf29ce484222325;
  const std::uint64_t parts[] = {kControlVersion,     sizeof(Registry), sizeof(RouteTables),
                                 sizeof(ContextPage), sizeof(rte_ring), sizeof(HbQueueControl),
                                 kMaxBurst,           kMaxContexts,     kMaxEndpoints,
                                 kMaxServices,        kMaxTypes,        kHeldSlots,
                                 kMaxInstances,       kRegionBase,      RTE_VER_YEAR,
                                 RTE_VER_MONTH,       RTE_VER_MINOR};
  for (const std::uint64_t part : parts) {
    for (int shift = 0; shift < 64; shift += 8)
      hash = (hash ^ ((part >> shift) & 0xff)) * 0x100000001b3;
  }
  return static_cast<std::uint32_t>(hash ^ (hash >> 32));
}

}  // namespace hb
