// Moving packets between host memory and the device in 16-byte lines, by the whole work-group.
// On a discrete GPU this decides an NF's speed: a warp that takes consecutive lines of one packet
// gets what the bus can give, a work-item that walks its own packet a sixth of that (docs/gpu.md).
//
// A packet's data need not be aligned: its *window* is the lines that hold any of it, and the first
// byte lies HB_WINDOW's `skip` bytes in. Lines are whole, so a load and a store touch up to 15
// bytes on either side; they are the packet's own head- and tailroom, and are stored as they were
// loaded.
#ifndef HB_KERNELS_MOVEMENT_H
#define HB_KERNELS_MOVEMENT_H

#include "layout.h"
#include "line.h"

#define HB_LINE16 16u
/// Bytes of each packet that a tile holds at a time: one line of an NVIDIA L2 cache.
#define HB_CHUNK_BYTES 128u
#define HB_CHUNK_LINES (HB_CHUNK_BYTES / HB_LINE16)
/// Words of a tile's row: a chunk, a line of the one before, and one more. The odd number puts the
/// same word of 32 rows into 32 banks.
#define HB_TILE_ROW_WORDS (HB_CHUNK_BYTES / 4u + 4u + 1u)
/// Words of local memory that a tile needs.
#define HB_TILE_WORDS(n_lanes) ((n_lanes)*HB_TILE_ROW_WORDS)

/// Work-items that share a packet when it is streamed.
#define HB_TEAM_LANES 32u

/// Where a slot's packet lies, by lines.
typedef struct HbWindow {
  GLOBAL HbLine* lines;  ///< lines[n_lines]; with n_lines 0 not to be used
  u32 n_lines;
  u32 skip;  ///< bytes of the first line before the packet
} HbWindow;

/// @param slot  a slot of the round; the dummy has no lines, nor has one that leaves the region
DEVICE HbWindow hb_window(const HbRound* round, u64 slot) {
  const u64 start = HB_SLOT_BASE(slot) + HB_SLOT_DATA_OFFSET(slot);
  HbWindow window;
  window.skip = (u32)(start & (HB_LINE16 - 1u));
  window.lines = (GLOBAL HbLine*)(round->region + (start - window.skip));
  window.n_lines = slot == 0 || start + HB_SLOT_LENGTH(slot) > round->region_bytes
                       ? 0
                       : (window.skip + HB_SLOT_LENGTH(slot) + HB_LINE16 - 1u) / HB_LINE16;
  return window;
}

/// Which bytes of which packets the group moves: as many slots as work-items, two words each, in
/// local memory, so that an NF can name other bytes than its round's slots do.
DEVICE u64 hb_moved_slot(LOCAL const u32* moved, u32 packet) {
  return (u64)moved[2 * packet] | ((u64)moved[2 * packet + 1] << 32);
}
DEVICE void hb_set_moved_slot(LOCAL u32* moved, u32 packet, u64 slot) {
  moved[2 * packet] = (u32)slot;
  moved[2 * packet + 1] = (u32)(slot >> 32);
}

/// The highest of n_lanes values in local memory, in two steps of some 16 reads each: all
/// work-items fold the values, then each takes what is left. The barriers are the caller's: one
/// before the first step (all have written theirs), one between the two.
#define HB_FOLDED_VALUES 16u
DEVICE void hb_fold_highest(const HbRound* round, LOCAL u32* values) {
  if (round->lane >= HB_FOLDED_VALUES) return;
  u32 highest = values[round->lane];
  for (u32 i = round->lane + HB_FOLDED_VALUES; i < round->n_lanes; i += HB_FOLDED_VALUES)
    highest = values[i] > highest ? values[i] : highest;
  values[round->lane] = highest;
}
DEVICE u32 hb_folded_highest(const HbRound* round, LOCAL const u32* values) {
  u32 highest = 0;
  for (u32 i = 0; i < HB_FOLDED_VALUES && i < round->n_lanes; ++i)
    highest = values[i] > highest ? values[i] : highest;
  return highest;
}

/// What one work-item carries of the next chunk while the group still works on this one: a line of
/// each packet that its team of HB_CHUNK_LINES work-items moves.
typedef struct HbCarried {
  HbLine lines[HB_CHUNK_LINES];
} HbCarried;

/// Begins to load HB_CHUNK_LINES lines of all packets, from line `first` on: work-items in teams of
/// HB_CHUNK_LINES, each team one packet's 128 bytes at a time. No barrier: the loads are on their
/// way when it returns, and hb_chunk_put waits for them. n_lanes is a multiple of HB_CHUNK_LINES.
DEVICE void hb_chunk_fetch(const HbRound* round, LOCAL const u32* moved, u32 first,
                           HbCarried* carried) {
  const u32 line = first + round->lane % HB_CHUNK_LINES;
  const u32 n_teams = round->n_lanes / HB_CHUNK_LINES;
  u32 packet = round->lane / HB_CHUNK_LINES;
  HB_UNROLL for (u32 i = 0; i < HB_CHUNK_LINES; ++i, packet += n_teams) {
    const HbWindow window = hb_window(round, hb_moved_slot(moved, packet));
    if (line < window.n_lines) {
      carried->lines[i] = window.lines[line];
    } else {
      carried->lines[i].a = carried->lines[i].b = carried->lines[i].c = carried->lines[i].d = 0;
    }
  }
}

/// Puts what was fetched into the tile: row p is packet p's chunk, behind the row's first `lead`
/// words. A barrier before (the last chunk's readers are done) and one after are the caller's.
/// @param tile  HB_TILE_WORDS(n_lanes) words of local memory
/// @param lead  0, or 4 for NFs that keep a line of the chunk before
DEVICE void hb_chunk_put(const HbRound* round, LOCAL u32* tile, u32 lead,
                         const HbCarried* carried) {
  const u32 n_teams = round->n_lanes / HB_CHUNK_LINES;
  u32 packet = round->lane / HB_CHUNK_LINES;
  HB_UNROLL for (u32 i = 0; i < HB_CHUNK_LINES; ++i, packet += n_teams) {
    LOCAL u32* words = tile + packet * HB_TILE_ROW_WORDS + lead + round->lane % HB_CHUNK_LINES * 4u;
    words[0] = carried->lines[i].a;
    words[1] = carried->lines[i].b;
    words[2] = carried->lines[i].c;
    words[3] = carried->lines[i].d;
  }
}

/// Stores the first 128 bytes of the tile's rows as lines `first` on of all packets; those that a
/// packet does not have, below 0 too, are left out. A barrier before (all work-items have written
/// their rows) is the caller's.
DEVICE void hb_chunk_store(const HbRound* round, LOCAL const u32* moved, LOCAL const u32* tile,
                           u32 first) {
  const u32 line = first + round->lane % HB_CHUNK_LINES;
  const u32 n_teams = round->n_lanes / HB_CHUNK_LINES;
  u32 packet = round->lane / HB_CHUNK_LINES;
  HB_UNROLL for (u32 i = 0; i < HB_CHUNK_LINES; ++i, packet += n_teams) {
    const HbWindow window = hb_window(round, hb_moved_slot(moved, packet));
    LOCAL const u32* words = tile + packet * HB_TILE_ROW_WORDS + round->lane % HB_CHUNK_LINES * 4u;
    if (line < window.n_lines) {
      HbLine value;
      value.a = words[0];
      value.b = words[1];
      value.c = words[2];
      value.d = words[3];
      window.lines[line] = value;
    }
  }
}

#endif  // HB_KERNELS_MOVEMENT_H
