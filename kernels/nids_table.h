// The Aho-Corasick automaton of the GPU nids: one read-only block, built by the control process
// (nfs/nids/aho_corasick.h), checked by gpu_host before it is loaded, walked by kernels/nids.cl.
//
// The block is the header, 256 column numbers (one for each byte value), then the transitions:
// n_states rows of n_columns entries, each 16 or 32 bits wide. Row 0 is the start. The last row is
// "found", which nothing leads out of: who walks need not ask after each byte. Bytes that no
// pattern holds share column 0, and 'A'..'Z' share the columns of 'a'..'z': the automaton finds a
// superset of what the rules want, and the evaluator on the CPU says which rules match.
// Bytes may share a column for want of room as well, which widens the superset.
#ifndef HB_KERNELS_NIDS_TABLE_H
#define HB_KERNELS_NIDS_TABLE_H

#include "platform.h"

#define HB_NIDS_TABLE_MAGIC 0x5344494eu  ///< "NIDS", little endian
#define HB_NIDS_TABLE_VERSION 4u

#define HB_NIDS_COPY_ALL 1u  ///< an `ip` rule matches without any content: every packet is copied
#define HB_NIDS_WIDE \
  2u                    ///< entries are 32 bits: the next row's first entry, row * n_columns.
                        ///< Otherwise 16 bits: the next row's number
#define HB_NIDS_ASK 4u  ///< some rule drops packets or changes their type: hits wait for the answer
#define HB_NIDS_FLAGS (HB_NIDS_COPY_ALL | HB_NIDS_WIDE | HB_NIDS_ASK)

/// Offsets count bytes from the header's start. All words are little endian.
typedef struct HbNidsTable {
  u32 magic;
  u32 version;
  u64 total_bytes;         ///< header, column map and transitions
  u64 transitions_offset;  ///< 64-byte aligned
  u32 flags;
  u32 n_columns;  ///< 1..256
  u32 n_states;   ///< rows, the last one included; at least 2
  u32 n_patterns;
  u64 headers_offset;  ///< of the HbNidsHeaders, 64-byte aligned; 0: there are none
  u32 reserved[4];
  u8 columns[256];  ///< columns[byte] < n_columns
} HbNidsTable;

HB_STATIC_ASSERT(sizeof(HbNidsTable) == 64 + 256, nids_table_header_size);

/// Which packets some rule without a content may match: such a packet's protocol, both ports and
/// TCP flags are all marked. A superset, as of several rules the marks are joined.
typedef struct HbNidsHeaders {
  u32 protocols;  ///< HB_NIDS_TCP and so on
  u32 reserved[7];
  u32 tcp_flags[8];    ///< a bit for each value of TCP's flags byte
  u32 ports[4][2048];  ///< a bit for each port; by HB_NIDS_TCP_SOURCE and so on
} HbNidsHeaders;

#define HB_NIDS_TCP 1u
#define HB_NIDS_UDP 2u
#define HB_NIDS_ICMP 4u  ///< ICMP over IPv4, ICMPv6 over IPv6
#define HB_NIDS_TCP_SOURCE 0u
#define HB_NIDS_TCP_DESTINATION 1u
#define HB_NIDS_UDP_SOURCE 2u
#define HB_NIDS_UDP_DESTINATION 3u

HB_STATIC_ASSERT(sizeof(HbNidsHeaders) == 64 + 4 * 8192, nids_headers_size);

/// Packets are searched from here on: behind the Ethernet header nothing is skipped, because every
/// payload that the evaluator searches starts later.
#define HB_NIDS_SCAN_OFFSET 14u

#if !defined(__OPENCL_C_VERSION__) && !defined(__CUDACC__) && !defined(__CUDACC_RTC__)
#include <cstring>

/// True when the device can walk the table with no packet able to lead it out of the block: every
/// size, offset, column and transition is checked. Host only; any thread; table of any alignment.
/// @param table  size bytes
inline bool nids_table_valid(const u8* table, u64 size) noexcept {
  HbNidsTable header;
  if (table == nullptr || size < sizeof header) return false;
  std::memcpy(&header, table, sizeof header);
  if (header.magic != HB_NIDS_TABLE_MAGIC || header.version != HB_NIDS_TABLE_VERSION) return false;
  if ((header.flags & ~HB_NIDS_FLAGS) != 0 || header.total_bytes != size) return false;
  if (header.n_columns < 1 || header.n_columns > 256 || header.n_states < 2) return false;
  const bool wide = (header.flags & HB_NIDS_WIDE) != 0;
  const u64 n_entries = static_cast<u64>(header.n_states) * header.n_columns;  // below 2^40
  const u64 entry_bytes = wide ? 4 : 2;
  if (header.transitions_offset < sizeof header || header.transitions_offset % 64 != 0)
    return false;
  if (header.transitions_offset > size) return false;
  if (header.headers_offset != 0 &&
      (header.headers_offset < sizeof header || header.headers_offset % 64 != 0 ||
       header.headers_offset > header.transitions_offset ||
       header.transitions_offset - header.headers_offset < sizeof(HbNidsHeaders))) {
    return false;
  }
  if (size - header.transitions_offset != n_entries * entry_bytes) return false;
  if (n_entries > (wide ? u64{1} << 32 : (u64{1} << 16) * header.n_columns)) return false;
  for (u32 column : header.columns) {
    if (column >= header.n_columns) return false;
  }
  const u8* transitions = table + header.transitions_offset;
  for (u64 i = 0; i < n_entries; ++i) {
    u32 entry = 0;
    std::memcpy(&entry, transitions + i * entry_bytes, entry_bytes);
    if (wide && entry % header.n_columns != 0) return false;
    const u32 row = wide ? entry / header.n_columns : entry;
    if (row >= header.n_states) return false;
    if (i >= n_entries - header.n_columns && row != header.n_states - 1) return false;
  }
  return true;
}
#endif

#endif  // HB_KERNELS_NIDS_TABLE_H
