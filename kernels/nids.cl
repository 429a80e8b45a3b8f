// nids on the device: finds the packets that some rule may match, one work-item per packet.
// A hit is a suspicion: a copy goes to the control process, which evaluates the rules exactly. The
// packet goes on unchanged, or waits for the answer if rules may drop it. A packet without a hit
// can match no rule. Source: Aho, Corasick: "Efficient string matching", CACM 18(6), 1975,
// algorithm 4 (the DFA).
#ifndef HB_KERNELS_NIDS_CL
#define HB_KERNELS_NIDS_CL

#include "layout.h"
#include "movement.h"
#include "nids_headers.h"
#include "nids_table.h"
#include "packet.h"

/// What a step of the automaton needs.
typedef struct HbNidsAutomaton {
  GLOBAL const u8* transitions;
  u32 n_columns;
  u32 is_wide;
  u32 found;  ///< the state in which every walk stays that has met a pattern
} HbNidsAutomaton;

/// table: checked by nids_table_valid, 64-byte aligned; of any other block nothing may be walked.
DEVICE HbNidsAutomaton hb_nids_automaton(GLOBAL const u8* table) {
  GLOBAL const HbNidsTable* header = (GLOBAL const HbNidsTable*)table;
  HbNidsAutomaton automaton;
  automaton.transitions = table + header->transitions_offset;
  automaton.n_columns = header->n_columns;
  automaton.is_wide = (header->flags & HB_NIDS_WIDE) != 0;
  automaton.found = (header->n_states - 1u) * (automaton.is_wide != 0 ? header->n_columns : 1u);
  return automaton;
}

/// The state after one more byte. Starts from 0. is_wide is a parameter so that loops are compiled
/// for each width.
DEVICE u32 hb_nids_step(const HbNidsAutomaton* automaton, u32 is_wide, u32 state, u32 column) {
  if (is_wide != 0) return ((GLOBAL const u32*)automaton->transitions)[state + column];
  return ((GLOBAL const u16*)automaton->transitions)[state * automaton->n_columns + column];
}

DEVICE u32 hb_nids_walk(GLOBAL const u8* bytes, u32 length, GLOBAL const u8* columns,
                        const HbNidsAutomaton* automaton, u32 is_wide) {
  u32 state = 0;
  for (u32 i = 0; i < length; ++i) {
    state = hb_nids_step(automaton, is_wide, state, columns[bytes[i]]);
    if (state == automaton->found) return 1;
  }
  return 0;
}

/// 1 when a pattern of the table lies in bytes[0 .. length-1], upper and lower case being equal.
DEVICE u32 hb_nids_found(GLOBAL const u8* bytes, u32 length, GLOBAL const u8* table) {
  GLOBAL const u8* columns = ((GLOBAL const HbNidsTable*)table)->columns;
  const HbNidsAutomaton automaton = hb_nids_automaton(table);
  return automaton.is_wide != 0 ? hb_nids_walk(bytes, length, columns, &automaton, 1)
                                : hb_nids_walk(bytes, length, columns, &automaton, 0);
}

/// 1 when the control process must see every packet: a rule wants it, or the block is no nids table
/// (none was loaded) and says nothing about packets.
DEVICE u32 hb_nids_copies_all(GLOBAL const u8* table) {
  GLOBAL const HbNidsTable* header = (GLOBAL const HbNidsTable*)table;
  return header->magic != HB_NIDS_TABLE_MAGIC || header->version != HB_NIDS_TABLE_VERSION ||
         (header->flags & HB_NIDS_COPY_ALL) != 0;
}

/// 1 when the control process must see the packet.
DEVICE u32 hb_nids_suspect(HbPacket* packet, GLOBAL const u8* table) {
  if (hb_nids_copies_all(table)) return 1;
  HbNidsHead head;
  head.packet = packet;
  head.moved = 0;
  if (hb_nids_headers_marked(&head, table)) return 1;
  const HbBytes payload = hb_bytes(packet, HB_NIDS_SCAN_OFFSET);
  return hb_nids_found(payload.bytes, payload.length, table);
}

/// 1 when hits wait for the control process' word.
DEVICE u32 hb_nids_asks(GLOBAL const u8* table) {
  GLOBAL const HbNidsTable* header = (GLOBAL const HbNidsTable*)table;
  return header->magic == HB_NIDS_TABLE_MAGIC && (header->flags & HB_NIDS_ASK) != 0;
}

DEVICE void hb_nids_answer(const HbRound* round, const HbPacket* packet, u32 is_suspect) {
  u32 flags = 0;
  if (is_suspect != 0)
    flags = hb_nids_asks(round->table) ? HB_RESULT_ASK_CPU : HB_RESULT_COPY_TO_CPU;
  hb_answer_full(round, round->lane, packet, HB_VERDICT_NEXT, 0, flags, 0);
}

/// One round in which each work-item reads its own packet where it lies. Holds no barrier.
DEVICE void hb_round_nids_alone(const HbRound* round) {
  HbPacket packet = hb_packet(round, round->lane);
  hb_nids_answer(round, &packet, hb_is_packet(&packet) && hb_nids_suspect(&packet, round->table));
}

/// The automaton over bytes [from, to) of a row, from `state` on.
/// @param columns  HbNidsTable's, in local memory
DEVICE u32 hb_nids_walk_bytes(const HbNidsAutomaton* automaton, u32 is_wide,
                              LOCAL const u8* columns, LOCAL const u8* bytes, u32 from, u32 to,
                              u32 state) {
  for (; from < to; ++from) state = hb_nids_step(automaton, is_wide, state, columns[bytes[from]]);
  return state;
}
/// The same, four bytes at a time where it can. A walk takes as long as its steps, which wait for
/// one another, so nothing else lies between them: no question whether something is found.
DEVICE u32 hb_nids_walk_row(const HbNidsAutomaton* automaton, u32 is_wide, LOCAL const u8* columns,
                            LOCAL const u32* row, u32 from, u32 to, u32 state) {
  LOCAL const u8* bytes = (LOCAL const u8*)row;
  u32 at = (from + 3u) & ~3u;
  if (at > to) at = to;
  state = hb_nids_walk_bytes(automaton, is_wide, columns, bytes, from, at, state);
  for (; at + 4u <= to; at += 4u) {
    // The columns first: only the states depend on one another.
    const u32 word = row[at / 4u];
    const u32 a = columns[word & 255u];
    const u32 b = columns[(word >> 8) & 255u];
    const u32 c = columns[(word >> 16) & 255u];
    const u32 d = columns[word >> 24];
    state = hb_nids_step(automaton, is_wide, state, a);
    state = hb_nids_step(automaton, is_wide, state, b);
    state = hb_nids_step(automaton, is_wide, state, c);
    state = hb_nids_step(automaton, is_wide, state, d);
  }
  return hb_nids_walk_bytes(automaton, is_wide, columns, bytes, at, to, state);
}

/// One work-item's packet while the group moves it.
typedef struct HbNidsLane {
  HbPacket packet;
  u32 is_open;     ///< 1 while nothing is found and not all is read
  u32 is_suspect;  ///< 1 once something is found
  u32 skip;        ///< bytes of the first line before the packet
  u32 end;         ///< of the packet, from the first line's start
  u32 state;       ///< of the automaton
} HbNidsLane;

/// All of the packet that is in this chunk.
/// @param start  of the chunk, and
/// @param end    its end, in bytes from the packet's first line
DEVICE void hb_nids_chunk(const HbRound* round, HbNidsLane* me, const HbNidsAutomaton* automaton,
                          LOCAL const u8* columns, LOCAL const u32* row, u32 start, u32 end) {
  const u32 from = start == 0 ? me->skip + HB_NIDS_SCAN_OFFSET : 0;
  const u32 to = (me->end < end ? me->end : end) - start;
  if (start == 0) {
    HbNidsHead head;
    head.packet = &me->packet;
    head.moved = (LOCAL const u8*)row + me->skip;
    me->is_suspect = hb_nids_headers_marked(&head, round->table);
  }
  if (me->is_suspect == 0) {
    me->state = automaton->is_wide != 0
                    ? hb_nids_walk_row(automaton, 1, columns, row, from, to, me->state)
                    : hb_nids_walk_row(automaton, 0, columns, row, from, to, me->state);
    me->is_suspect = me->state == automaton->found;
  }
  me->is_open = me->is_suspect == 0 && start + to < me->end;
}

/// Local memory: a row for each packet, where to move what, how many chunks, the columns.
#define HB_NIDS_COLUMN_WORDS 64u
#define HB_NIDS_GROUP_WORDS(n_lanes) \
  (HB_TILE_WORDS(n_lanes) + (HB_MOVE_WORDS + 1u) * (n_lanes) + HB_NIDS_COLUMN_WORDS)
HB_STATIC_ASSERT(HB_NIDS_GROUP_WORDS(256u) <= HB_GROUP_WORDS, nids_fits_local_memory);

/// Whether a work-group of that size can do hb_round_nids_together.
DEVICE u32 hb_nids_fits(u32 n_lanes) {
  return n_lanes % HB_CHUNK_LINES == 0 && HB_NIDS_GROUP_WORDS(n_lanes) <= HB_GROUP_WORDS;
}

/// What the group loads of a packet: all of it, all headers with the first chunk.
DEVICE HbMove hb_nids_move(const HbRound* round, u64 slot) {
  HbMove move = hb_no_move();
  const HbWindow window = hb_window(round, slot);
  const u64 start = HB_SLOT_BASE(slot) + HB_SLOT_DATA_OFFSET(slot);
  if (window.n_lines == 0) return move;
  move.base = hb_move_base(start);
  move.fetch_first = (u32)(start % HB_CHUNK_BYTES) / HB_LINE16;
  move.fetch_end = move.fetch_first + window.n_lines;
  const u32 head = window.n_lines < HB_CHUNK_LINES ? window.n_lines : HB_CHUNK_LINES;
  hb_move_in_chunks(&move, move.fetch_first, move.fetch_first + head);
  return move;
}

/// One round in which the group moves its packets through local memory, 128 bytes of each at a
/// time; each work-item walks its own row. Called by all work-items of the group, and holds
/// barriers. n_lanes fits.
DEVICE void hb_round_nids_together(const HbRound* round) {
  LOCAL u32* tile = round->scratch;
  LOCAL u32* moves = tile + HB_TILE_WORDS(round->n_lanes);
  LOCAL u32* counts = moves + HB_MOVE_WORDS * round->n_lanes;
  LOCAL u32* columns = counts + round->n_lanes;
  LOCAL const u32* row = tile + round->lane * HB_TILE_ROW_WORDS;
  const u32 copies_all = hb_nids_copies_all(round->table);
  const HbNidsAutomaton automaton = hb_nids_automaton(round->table);
  HbNidsLane me;
  me.packet = hb_packet(round, round->lane);
  me.is_suspect = hb_is_packet(&me.packet) && copies_all;
  me.is_open =
      hb_is_packet(&me.packet) && !copies_all && hb_length(&me.packet) > HB_NIDS_SCAN_OFFSET;
  const u64 slot = me.is_open != 0 ? round->slots[round->lane] : 0;
  HbMove move = hb_nids_move(round, slot);
  me.skip = HB_SLOT_DATA_OFFSET(slot) % HB_LINE16;
  me.end = me.skip + hb_length(&me.packet);
  me.state = 0;
  hb_set_move(moves, round->lane, &move);
  if (copies_all == 0) {
    GLOBAL const u32* source =
        (GLOBAL const u32*)((GLOBAL const HbNidsTable*)round->table)->columns;
    for (u32 i = round->lane; i < HB_NIDS_COLUMN_WORDS; i += round->n_lanes) columns[i] = source[i];
  }
  counts[round->lane] = hb_move_chunks(&move);
  GROUP_BARRIER();
  hb_fold_highest(round, counts);
  GROUP_BARRIER();
  const u32 n_chunks = hb_folded_highest(round, counts);

  HbCarried carried;
  hb_chunk_fetch(round, moves, 0, &carried);
  for (u32 chunk = 0; chunk < n_chunks; ++chunk) {
    hb_chunk_put(round, tile, 0, &carried);
    hb_chunk_fetch(round, moves, chunk + 1, &carried);
    GROUP_BARRIER();
    if (me.is_open != 0) {
      const u32 start = hb_chunk_start(moves, round->lane, chunk) - move.first;
      const u32 end = hb_chunk_start(moves, round->lane, chunk + 1) - move.first;
      hb_nids_chunk(round, &me, &automaton, (LOCAL const u8*)columns, row, start * HB_LINE16,
                    end * HB_LINE16);
      // Nobody looks at the moves before the next barrier: from there on nothing more is loaded.
      if (me.is_open == 0) {
        move = hb_no_move();
        hb_set_move(moves, round->lane, &move);
      }
    }
    GROUP_BARRIER();
  }
  hb_nids_answer(round, &me.packet, me.is_suspect);
}

/// One round of nids. Called by all work-items of the group: on GPUs it holds barriers.
DEVICE void hb_round_nids(const HbRound* round) {
  if (HB_COALESCES != 0 && hb_nids_fits(round->n_lanes))
    hb_round_nids_together(round);
  else
    hb_round_nids_alone(round);
}

#endif  // HB_KERNELS_NIDS_CL
