/* One packet context that may be killed between any two of its stores, and the manager's recovery.
 *
 * What runs: RX (feeds two source rings), the context (peeks, publishes to three destinations,
 * holds, releases, commits, dies), downstream and reclaimer (give packets back to the pool), the
 * manager (recovers, starts a successor on the same rings, audits at the end).
 *
 * Proven for every interleaving and crash point: no packet is lost, none is in two places, recovery
 * decides every crash point, and at the end all packets are in the pool and
 * rx + originated = tx + drops + lost_in_crash.
 *
 * run_models.sh lists the sizes and the faults that are set with -D.
 */

#ifndef N_PKT
#define N_PKT 3       /* packets of the pool */
#endif
#ifndef N_RX
#define N_RX 3        /* packets received in all */
#endif
#ifndef N_FILL
#define N_FILL 0      /* 1 or more: the NF originates packets */
#endif
#ifndef N_HELD
#define N_HELD 0      /* slots of the held area in use: 0, 1 or 2 */
#endif
#ifndef MAX_BURST
#define MAX_BURST 2   /* kMaxBurst: 3 at most */
#endif
#ifndef N_CRASH
#define N_CRASH 1     /* crashes in one run */
#endif

/* The context consumes the first three rings and produces into the next three. */
#define SRC0 0
#define SRC1 1
#define FILL 2
#define TX 3          /* room for one packet: a publish often does not fit */
#define NEXT 4
#define RECLAIM 5     /* as large as the pool: never full */
#define MGR 6
#define N_RING 7
#define RELEASE 3     /* index of a release's masks, beside those of the three sources */
#define IS_QUEUE(r) (false)

#include "ledger.inc"

proctype rx_thread() {
  byte p;
  do
  :: d_step { rx_left > 0 && n_free > 0 && ROOM(SRC0) > 0 -> receive(SRC0, p); p = 0 }
#ifdef TWO_SOURCES
  :: d_step { rx_left > 0 && n_free > 0 && ROOM(SRC1) > 0 -> receive(SRC1, p); p = 0 }
#endif
  :: rx_left == 0 -> break
  od
}

proctype downstream_and_reclaimer() {
  byte p;
end:
  do
  :: d_step { COUNT(TX) > 0 -> consume(TX, p); p = 0 }
  :: d_step { COUNT(NEXT) > 0 -> consume(NEXT, p); p = 0 }
  :: d_step { COUNT(RECLAIM) > 0 -> consume(RECLAIM, p); p = 0 }
  :: d_step { COUNT(MGR) > 0 -> consume(MGR, p); p = 0 }
  od
}

/* ---- the context's rules, and the faults that break them ---- */

#define WINDOW(r) LENGTH(cons_tail[r], cons_head[r])
#define MAY_PEEK(r) (WINDOW(r) == 0 && LENGTH(cons_head[r], prod_tail[r]) > 0)
#define MAY_COMMIT(r) (WINDOW(r) > 0 && left[r] == 0)

/* At most one burst lies between its first publish and its commit. */
#ifdef BREAK_ONE_OPEN_BURST
#define MAY_PUBLISH(r) (left[r] != 0)
#else
#define MAY_PUBLISH(r) (left[r] != 0 && (open == NO_SOURCE || open == (r)))
#endif

/* A release is a burst of its own, so no other may be open; and what it releases must be held only:
 * the burst in which the packet came has been committed. */
#ifdef BREAK_RELEASE_BEFORE_COMMIT
#define MAY_RELEASE(i) (open == NO_SOURCE && held_slot[i] != 0)
#elif defined(BREAK_RELEASE_IN_OPEN_BURST)
#define MAY_RELEASE(i) (held_slot[i] != 0 && place[held_slot[i]] == HELD)
#else
#define MAY_RELEASE(i) (open == NO_SOURCE && held_slot[i] != 0 && place[held_slot[i]] == HELD)
#endif

#define MAY_HOLD(r) (left[r] != 0 && (held_slot[0] == 0 || (N_HELD > 1 && held_slot[1] == 0)))

/* How many fit is computed before the record is written: room only grows for its producer. */
inline choose_dest() {
  if
  :: ROOM(TX) >= N_BITS(m) -> d = TX
  :: ROOM(NEXT) >= N_BITS(m) -> d = NEXT
  :: d = RECLAIM
  fi
}

inline choose_mask() {
  if
  :: !(1 & ~left[s]) -> m = 1
  :: !(2 & ~left[s]) -> m = 2
  :: !(3 & ~left[s]) -> m = 3
#if MAX_BURST > 2
  :: !(4 & ~left[s]) -> m = 4
  :: !(5 & ~left[s]) -> m = 5
  :: !(6 & ~left[s]) -> m = 6
  :: !(7 & ~left[s]) -> m = 7
#endif
  fi
}

/* The slot gets the pointer while it is still in the window; the commit makes it held only. */
inline hold(to) {
  atomic {
    d_step {
      do
      :: !(left[s] & (1 << i)) -> i++
      :: else -> break
      od;
      held_slot[to] = AT(s, cons_tail[s] + i);
      left[s] = left[s] & ~(1 << i);
      i = 0
    }
    MAY_CRASH
  }
}

/* Slots that the release at work empties, in mask order: one store each, before its records. */
inline name_slots() {
  atomic {
    out[0] = held_slot[release_slots[0]];
    MAY_CRASH
  }
  if
  :: left[RELEASE] & 2 ->
     atomic { release_slots[1] = 1; out[1] = held_slot[1]; MAY_CRASH }
  :: else
  fi
}

inline clear_slots() {
  atomic { held_slot[release_slots[0]] = 0; MAY_CRASH }
  if
  :: out[1] != 0 -> atomic { held_slot[1] = 0; MAY_CRASH }
  :: else
  fi
}

proctype context() {
  byte s, d, m;           /* source, destination and mask of the publish at work */
  byte open = NO_SOURCE;  /* the source whose burst is open */
  byte done[4];           /* by source, or RELEASE: what earlier publishes of its burst moved */
  byte left[4];           /* by source, or RELEASE: what is neither moved nor held yet */
  byte out[2];            /* pointers copied out of the held area for a release */
  byte i, n;

running:
  do
  :: atomic { MAY_PEEK(SRC0) -> peek(SRC0, MAX_BURST) }
  :: atomic { MAY_PEEK(SRC1) -> peek(SRC1, MAX_BURST) }
  :: atomic { MAY_PEEK(FILL) -> peek(FILL, MAX_BURST) }

  :: /* One publish of a burst. */
     atomic {
       if
       :: MAY_PUBLISH(SRC0) -> s = SRC0
       :: MAY_PUBLISH(SRC1) -> s = SRC1
       :: MAY_PUBLISH(FILL) -> s = FILL
       fi;
       choose_mask();
       choose_dest();
#ifndef BREAK_RECORD_AFTER_PUBLISH
       write_record(s, cons_tail[s], DONE(done[s]))
#endif
     }
     enqueue(s);
     store_tail(s);
#ifdef BREAK_RECORD_AFTER_PUBLISH
     write_record(s, cons_tail[s], DONE(done[s]));
#endif
     atomic { open = s; done[s] = done[s] | m; left[s] = left[s] & ~m; s = 0; d = 0; m = 0 }

#if N_HELD > 0
  :: /* Hold one packet of any window. */
     atomic {
       if
       :: MAY_HOLD(SRC0) -> s = SRC0
       :: MAY_HOLD(SRC1) -> s = SRC1
       :: MAY_HOLD(FILL) -> s = FILL
       fi;
       if
       :: held_slot[0] == 0 -> hold(0)
       :: else -> hold(1)
       fi;
       s = 0
     }

  :: /* Release: copy out, publish like a burst, clear the slots, bump the generation. */
     atomic {
       if
       :: MAY_RELEASE(0) -> release_slots[0] = 0; left[RELEASE] = 1
       :: MAY_RELEASE(1) -> release_slots[0] = 1; left[RELEASE] = 1
       :: MAY_RELEASE(0) && MAY_RELEASE(1) -> release_slots[0] = 0; left[RELEASE] = 3
       fi;
       name_slots()
     }
     do
     :: atomic {
          left[RELEASE] != 0 ->
          s = RELEASE;
          choose_mask();
          s = 0;
          choose_dest();
          write_record(HELD, generation, DONE(done[RELEASE]))
        }
#ifdef BREAK_CLEAR_BEFORE_PUBLISH
        clear_slots();
#endif
        enqueue(HELD);
        store_tail(HELD);
        atomic {
          done[RELEASE] = done[RELEASE] | m;
          left[RELEASE] = left[RELEASE] & ~m;
          d = 0; m = 0
        }
     :: left[RELEASE] == 0 -> break
     od;
     clear_slots();
#ifdef BREAK_SLOTS_BEFORE_BUMP
     /* fault: the next release's slots are named while this one's record still counts */
     atomic { release_slots[0] = 1 - release_slots[0]; MAY_CRASH };
#endif
     atomic {
       generation = (generation + 1) % 4;
       release_slots[0] = 0; release_slots[1] = 0;  /* model only: read with this record alone */
       done[RELEASE] = 0; out[0] = 0; out[1] = 0;
       MAY_CRASH
     }
#endif

  :: /* Commit. */
     atomic {
       if
       :: MAY_COMMIT(SRC0) -> s = SRC0
       :: MAY_COMMIT(SRC1) -> s = SRC1
       :: MAY_COMMIT(FILL) -> s = FILL
       fi;
       open = (open == s -> NO_SOURCE : open);
       done[s] = 0;
       commit(s);
       s = 0
     }

#ifdef BREAK_FINISH_FEWER
  :: /* Fault: finishes as many as have moved, and gives the rest of the window back. */
     d_step {
       open == SRC0 && left[SRC0] != 0 ->
       cons_tail[SRC0] = (cons_tail[SRC0] + N_BITS(done[SRC0])) % MOD;
       cons_head[SRC0] = cons_tail[SRC0];
       open = NO_SOURCE; done[SRC0] = 0; left[SRC0] = 0
     }
#endif

  :: rx_left == 0 && COUNT(SRC0) == 0 && COUNT(SRC1) == 0 && WINDOW(FILL) == 0 &&
     held_slot[0] == 0 && held_slot[1] == 0 -> break
  od;
  atomic { state = EXITED; goto exited }

dead:
  atomic {
    /* The process' own memory is gone. */
    s = 0; d = 0; m = 0; open = NO_SOURCE; i = 0; n = 0; out[0] = 0; out[1] = 0;
    done[SRC0] = 0; done[SRC1] = 0; done[FILL] = 0; done[RELEASE] = 0;
    left[SRC0] = 0; left[SRC1] = 0; left[FILL] = 0; left[RELEASE] = 0;
    state = DEAD;
    (state == RUNNING) -> goto running  /* the successor: same rings, a fresh page */
  }
exited:
  skip
}

/* ---- recovery ---- */

/* The NF is idempotent: what is in hand is moved to the window's end and left for the successor. */
inline compact(r) {
  n = cons_head[r];
  i = LENGTH(cons_tail[r], cons_head[r]);
  do
  :: i > 0 ->
     i--;
     p = AT(r, cons_tail[r] + i);
     if
     :: rest & (1 << i) ->
        n = (n + MOD - 1) % MOD;
        assert(place[p] == BURST + r);
        place[p] = r;
        AT(r, n) = p
     :: else
     fi
  :: else -> break
  od;
  do
  :: cons_tail[r] != n -> AT(r, cons_tail[r]) = 0; cons_tail[r] = (cons_tail[r] + 1) % MOD
  :: else -> break
  od;
  cons_head[r] = n;
  i = 0; p = 0; n = 0; rest = 0; touched = 0
}

/* A fill burst of which a packet is held has been used, as if that one had been published. */
#ifdef BREAK_HOLD_FROM_FILL
#define SEE_HELD_FRESH
#else
#define SEE_HELD_FRESH \
  i = LENGTH(cons_tail[FILL], cons_head[FILL]); \
  do \
  :: i > 0 -> \
     i--; \
     p = AT(FILL, cons_tail[FILL] + i); \
     if \
     :: p == held_slot[0] || p == held_slot[1] -> touched = 1 \
     :: else \
     fi \
  :: else -> break \
  od; \
  p = 0;
#endif

/* Nothing of an open fill burst was used: it was never originated. */
inline take_back(r) {
  do
  :: cons_head[r] != cons_tail[r] ->
     cons_head[r] = (cons_head[r] + MOD - 1) % MOD;
     assert(place[AT(r, cons_head[r])] == BURST + r);
     place[AT(r, cons_head[r])] = r
  :: else -> break
  od;
  rest = 0
}

inline recover_source(r) {
  decide_window(r);
#ifdef IDEMPOTENT
  compact(r)
#else
  take_rest(r)
#endif
}

inline recover_fill() {
  decide_window(FILL);
  SEE_HELD_FRESH
  if
  :: touched == 0 -> take_back(FILL)
  :: else -> take_rest(FILL)
  fi
}

/* A slot's packet is in hand, unless the open release had moved it. */
inline recover_held() {
  decide(HELD, generation);
  rest = 3;
  do
  :: i < 2 ->
     if
     :: moved & (1 << i) -> rest = rest & ~(1 << release_slots[i])
     :: else
     fi;
     i++
  :: else -> break
  od;
  if
  :: (rest & 1) && held_slot[0] != 0 -> add_in_hand(held_slot[0])
  :: else
  fi;
  if
  :: (rest & 2) && held_slot[1] != 0 -> add_in_hand(held_slot[1])
  :: else
  fi;
  i = 0; moved = 0; rest = 0
}

/* What is left in the fill ring was never originated; all else must have come home. */
inline audit_at_exit() {
  n = N_FILL - COUNT(FILL);  /* originated: how far cons.tail of the fill ring has come */
  do
  :: COUNT(FILL) > 0 ->
     p = AT(FILL, cons_tail[FILL]);
     assert(place[p] == FILL);
     place[p] = POOL;
     n_free++;
     cons_tail[FILL] = (cons_tail[FILL] + 1) % MOD
  :: else -> break
  od;
  assert(n_free == N_PKT);
  assert(N_RX + n == n_out)
#ifdef PROBE_END
  ;
  assert(crashes_left > 0)
#endif
}

proctype manager() {
  byte in_hand;  /* bit p: packet p */
  byte moved, touched, rest;
  byte i, n, p;

  do
  :: state == DEAD ->
     /* RX, downstream and reclaimer run on between these steps. */
     d_step { forget_unpublished(TX); forget_unpublished(NEXT); forget_unpublished(RECLAIM) };
     d_step {
       recover_source(SRC0);
       recover_source(SRC1);
       recover_fill();
       recover_held();
       compare_with_truth();
       n = 0
     };
     d_step { publish_in_hand(); n = 0 };
     d_step { n = 0; finish(SRC0); finish(SRC1); finish(FILL); n = 0 };
     d_step { fresh_page(); state = RUNNING }
  :: state == EXITED && COUNT(TX) + COUNT(NEXT) + COUNT(RECLAIM) + COUNT(MGR) == 0 -> break
  od;
  skip;
  d_step { audit_at_exit() }
}

init {
  byte p = 1;
  d_step {
    do
    :: p <= N_FILL -> produce(FILL, p); p++
    :: p > N_FILL && p <= N_PKT -> place[p] = POOL; p++
    :: else -> break
    od;
    copy[0].source = NO_SOURCE;
    copy[1].source = NO_SOURCE;
    p = 0
  };
  atomic { run rx_thread(); run downstream_and_reclaimer(); run context(); run manager() }
}
