// Moving packets between host memory and the device in 16-byte lines, by the whole work-group.
// On a discrete GPU this decides an NF's speed: a warp that takes consecutive lines of one packet
// gets what the bus can give, a work-item that walks its own packet a sixth of that (docs/gpu.md).
//
// A packet's data need not be aligned: its *window* is the lines that hold any of it, and the first
// byte lies HB_WINDOW's `skip` bytes in. Lines are whole, so a load and a store touch up to 15
// bytes on either side; they are the packet's own head- and tailroom.
//
// Packets go through local memory chunk by chunk. From the third on all chunks, and mostly the
// second too, are whole lines of the bus, 128 bytes: one that straddles two of them takes two
// requests each way.
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

/// What the group moves of one packet: lines, counted from a boundary of 128 bytes.
typedef struct HbMove {
  u32 base;         ///< the boundary, in 128-byte units from the region's base
  u32 fetch_first;  ///< lines to be loaded: [fetch_first, fetch_end)
  u32 fetch_end;
  u32 store_first;  ///< lines to be stored
  u32 store_end;
  u32 first;   ///< the line at which the first chunk starts,
  u32 second;  ///< and the second one
} HbMove;

/// The boundary at or below a byte of the region.
DEVICE u32 hb_move_base(u64 start) { return (u32)(start / HB_CHUNK_BYTES); }
/// Nothing is moved.
DEVICE HbMove hb_no_move(void) {
  HbMove move;
  move.base = move.fetch_first = move.fetch_end = move.store_first = move.store_end = 0;
  move.first = 0;
  move.second = HB_CHUNK_LINES;
  return move;
}
/// Lays the chunks out. The first one ends where a line of the bus does, or in its middle, or where
/// it is full, as the NF needs.
/// @param first  the lowest line to be moved
/// @param need   lines [first, need) must lie in the first chunk: at most HB_CHUNK_LINES of them
DEVICE void hb_move_in_chunks(HbMove* move, u32 first, u32 need) {
  const u32 most = first + HB_CHUNK_LINES;
  move->first = first;
  move->second = most & ~(HB_CHUNK_LINES - 1u);
  if (move->second < need) move->second = most & ~(HB_CHUNK_LINES / 2u - 1u);
  if (move->second < need) move->second = most;
}
/// Chunks that the packet has.
DEVICE u32 hb_move_chunks(const HbMove* move) {
  const u32 end = move->fetch_end > move->store_end ? move->fetch_end : move->store_end;
  if (end <= move->second) return end > move->first;
  const u32 behind = end - (move->second & ~(HB_CHUNK_LINES - 1u));
  return 1u + (behind + HB_CHUNK_LINES - 1u) / HB_CHUNK_LINES;
}

/// Moves of all packets lie in local memory, HB_MOVE_WORDS for each.
#define HB_MOVE_WORDS 4u
DEVICE void hb_set_move(LOCAL u32* moves, u32 packet, const HbMove* move) {
  LOCAL u32* words = moves + packet * HB_MOVE_WORDS;
  words[0] = move->base;
  words[1] = move->fetch_first | (move->fetch_end << 16);
  words[2] = move->store_first | (move->store_end << 16);
  words[3] = move->first | (move->second << 16);
}
DEVICE u32 hb_chunk_start_of(u32 starts, u32 chunk) {
  if (chunk == 0) return starts & 0xffffu;
  const u32 second = starts >> 16;
  return chunk == 1 ? second : (second & ~(HB_CHUNK_LINES - 1u)) + (chunk - 1u) * HB_CHUNK_LINES;
}
/// The line at which a packet's chunk starts; where it ends, the next one starts.
DEVICE u32 hb_chunk_start(LOCAL const u32* moves, u32 packet, u32 chunk) {
  return hb_chunk_start_of(moves[packet * HB_MOVE_WORDS + 3u], chunk);
}
/// The line of a packet's chunk that is this work-item's to move.
/// @param range  first and end of the lines that are moved, in 16 bits each
/// @param line   gets it, counted from the packet's base
/// @return 0 if there is none
DEVICE u32 hb_own_line(u32 starts, u32 range, u32 chunk, u32 own, u32* line) {
  *line = hb_chunk_start_of(starts, chunk) + own;
  return *line < hb_chunk_start_of(starts, chunk + 1u) && *line >= (range & 0xffffu) &&
         *line < range >> 16;
}
DEVICE GLOBAL HbLine* hb_move_lines(const HbRound* round, LOCAL const u32* move) {
  return (GLOBAL HbLine*)(round->region + (u64)move[0] * HB_CHUNK_BYTES);
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

/// Begins to load a chunk of all packets: work-items in teams of HB_CHUNK_LINES, each team one
/// packet's lines at a time. No barrier: the loads are on their way when it returns, and
/// hb_chunk_put waits for them. n_lanes is a multiple of HB_CHUNK_LINES.
DEVICE void hb_chunk_fetch(const HbRound* round, LOCAL const u32* moves, u32 chunk,
                           HbCarried* carried) {
  const u32 own = round->lane % HB_CHUNK_LINES;
  const u32 n_teams = round->n_lanes / HB_CHUNK_LINES;
  LOCAL const u32* move = moves + round->lane / HB_CHUNK_LINES * HB_MOVE_WORDS;
  HB_UNROLL for (u32 i = 0; i < HB_CHUNK_LINES; ++i, move += n_teams * HB_MOVE_WORDS) {
    u32 line;
    if (hb_own_line(move[3], move[1], chunk, own, &line)) {
      carried->lines[i] = hb_move_lines(round, move)[line];
    } else {
      carried->lines[i].a = carried->lines[i].b = carried->lines[i].c = carried->lines[i].d = 0;
    }
  }
}

/// Puts what was fetched into the tile: row p is packet p's chunk, behind the row's first `lead`
/// words; lines that were not to be loaded are 0. A barrier before (the last chunk's readers are
/// done) and one after are the caller's.
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

/// Stores a chunk of all packets from the tile's rows, behind their first `lead` words. A barrier
/// before (all work-items have written their rows) is the caller's.
DEVICE void hb_chunk_store(const HbRound* round, LOCAL const u32* moves, LOCAL const u32* tile,
                           u32 lead, u32 chunk) {
  const u32 own = round->lane % HB_CHUNK_LINES;
  const u32 n_teams = round->n_lanes / HB_CHUNK_LINES;
  u32 packet = round->lane / HB_CHUNK_LINES;
  HB_UNROLL for (u32 i = 0; i < HB_CHUNK_LINES; ++i, packet += n_teams) {
    LOCAL const u32* move = moves + packet * HB_MOVE_WORDS;
    LOCAL const u32* words = tile + packet * HB_TILE_ROW_WORDS + lead + own * 4u;
    u32 line;
    if (hb_own_line(move[3], move[2], chunk, own, &line)) {
      HbLine value;
      value.a = words[0];
      value.b = words[1];
      value.c = words[2];
      value.d = words[3];
      hb_move_lines(round, move)[line] = value;
    }
  }
}

#endif  // HB_KERNELS_MOVEMENT_H
