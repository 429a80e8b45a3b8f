/* The slot protocol: a CPUSyncer, the work-groups it feeds, and the death of the whole gpu_host.
 *
 * What runs: RX (feeds two source rings), one CPUSyncer (fills rounds, pads, publishes, drains in
 * publish order, dies between any two stores), N_WG work-groups of the device (acquire `published`,
 * run the round, store `completed`; may run on for a while after the CPUSyncer's death), TX and
 * reclaimer, the manager (recovers, starts a successor, audits at the end).
 *
 * Proven for every interleaving and crash point: what ring_ledger.pml proves, with a work-group
 * queue as one more ring (`filled` is its prod.tail, `drained` its cons.tail); the device touches a
 * packet only while that lies in a slot of its own queue; packets leave in the order they came.
 * That every published round is completed in the end: the run can't end before (invalid end state).
 *
 * run_models.sh lists the sizes and the faults that are set with -D.
 */

#ifndef N_PKT
#define N_PKT 3
#endif
#ifndef N_RX
#define N_RX 3
#endif
#ifndef N_WG
#define N_WG 2        /* work-groups of the slice: 1 or 2 */
#endif
#ifndef N_CRASH
#define N_CRASH 1
#endif

#define R 2           /* rounds of a queue */
#define W 2           /* slots of a round; R * W is SIZE */
#ifndef MAX_BURST
#define MAX_BURST 3   /* kMaxBurst on the way in: more than a round takes */
#endif
#ifndef DRAIN_BURST
#define DRAIN_BURST W /* kMaxBurst on the way out; 1: a round is drained in two bursts */
#endif
/* Source rings' end comes after four packets, the wrap of all counts too. */
#define FIRST_INDEX 4
#define N_FILL 0

#define IN0 0
#define IN1 1
#define QUEUE 2       /* + work-group */
#define TX 4          /* room for one packet */
#define RECLAIM 5
#define MGR 6
#define N_RING 7
#define IS_QUEUE(r) ((r) == QUEUE || (r) == QUEUE + 1)

#include "ledger.inc"

/* Rounds wrap like slot counts, W times later: round * W is its first slot on both sides of a wrap,
 * because R and W are powers of two. */
#define FIRST_ROUND 6
byte published[2] = FIRST_ROUND;
byte completed[2] = FIRST_ROUND;
bit stopped[2];       /* the device has let go of the work-group after the host's death */

/* Ghosts for order: a source ring's packets are one flow. */
byte n_born[2];
byte born[N_PKT + 1]; /* place in its flow, from 1; +16 in flow 1 */
byte last_out[2];

proctype rx_thread() {
  byte p;
  do
  :: d_step {
       rx_left > 0 && n_free > 0 && ROOM(IN0) > 0 ->
       receive(IN0, p); n_born[0]++; born[p] = n_born[0]; p = 0
     }
#ifdef TWO_SOURCES
  :: d_step {
       rx_left > 0 && n_free > 0 && ROOM(IN1) > 0 ->
       receive(IN1, p); n_born[1]++; born[p] = 16 + n_born[1]; p = 0
     }
#endif
  :: rx_left == 0 -> break
  od
}

proctype tx_and_reclaimer() {
  byte p;
end:
  do
  :: d_step {
       COUNT(TX) > 0 ->
       consume(TX, p);
       assert(last_out[born[p] / 16] < born[p] % 16);  /* a flow keeps its order */
       last_out[born[p] / 16] = born[p] % 16;
       born[p] = 0;
       p = 0
     }
  :: d_step { COUNT(RECLAIM) > 0 -> consume(RECLAIM, p); born[p] = 0; p = 0 }
  :: d_step { COUNT(MGR) > 0 -> consume(MGR, p); born[p] = 0; p = 0 }
  od
}

/* ---- the device ---- */

/* All lanes of round `round`: what they touch must lie in this queue. */
inline touch(round) {
  do
  :: lane < W ->
     p = AT(QUEUE + w, (round % R) * W + lane);
     assert(p == 0 || place[p] == QUEUE + w);
     lane++
  :: else -> break
  od;
  lane = 0; p = 0
}

proctype work_group(byte w) {
  byte done_rounds = FIRST_ROUND;  /* lane 0's private count */
  byte lane, p;
end:
  do
  :: d_step { !stopped[w] && published[w] != done_rounds -> touch(done_rounds) };
running:
     if
     :: d_step {
          !stopped[w] -> touch(done_rounds);
          done_rounds = (done_rounds + 1) % MOD;
          completed[w] = done_rounds
        }
     :: atomic { state == DYING && !stopped[w] -> stopped[w] = 1 }
     fi
  :: atomic { state == DYING && !stopped[w] -> stopped[w] = 1 }
  :: d_step { stopped[w] && state == RUNNING -> stopped[w] = 0; done_rounds = completed[w] }
  od
}

/* ---- the CPUSyncer ---- */

#define NO_WG 2

/* The one round that is being filled is published before another is begun: else a packet that came
 * later could be published, and drained, earlier. */
#ifdef BREAK_TWO_OPEN_ROUNDS
#define MAY_OPEN(w) true
#else
#define MAY_OPEN(w) (filling == (w) || filling == NO_WG)
#endif

/* A slot is free again when it has been drained, not when its round is completed. */
#ifdef BREAK_REFILL_COMPLETED
#define FREE_SLOTS(w) (W * (R - LENGTH(completed[w], published[w])) - in_round[w])
#else
#define FREE_SLOTS(w) ROOM(QUEUE + w)
#endif
/* Slots that can be filled from now on: the open round's and those of whole free rounds. */
#define OPEN_ROOM(w) (in_round[w] > 0 -> W - in_round[w] : 0)
#define WHOLE_ROUNDS(w) (w < N_WG -> (FREE_SLOTS(w) - OPEN_ROOM(w)) / W * W : 0)
#define TOTAL_ROOM (OPEN_ROOM(0) + OPEN_ROOM(1) + WHOLE_ROUNDS(0) + WHOLE_ROUNDS(1))
#define CAN_TAKE(w) (MAY_OPEN(w) && OPEN_ROOM(w) + WHOLE_ROUNDS(w) > 0)

#define MAY_FILL(r) (TOTAL_ROOM > 0 && COUNT(r) > 0)
#define MAY_PAD(w) (in_round[w] > 0 && in_round[w] < W && published[w] == completed[w])

/* Rounds are drained in the order in which they were published. */
#ifdef BREAK_DRAIN_ORDER
#define MAY_DRAIN(w) (completed[w] != drained_rounds[w])
#elif defined(BREAK_DRAIN_EARLY)
#define MAY_DRAIN(w) (n_order > 0 && order[0] == (w))
#else
#define MAY_DRAIN(w) (n_order > 0 && order[0] == (w) && completed[w] != drained_rounds[w])
#endif

/* A zero slot up to the round's end (W being 2, there is one), then `filled`. No packet moves, so
 * no record is written; but `filled` moves, so the last record may no longer need it to tell if
 * its publish took place: that burst has been committed. */
inline pad(w) {
  atomic {
#ifndef BREAK_PAD_NOT_ZEROED
    AT(QUEUE + w, prod_tail[QUEUE + w]) = 0;
#endif
    MAY_CRASH
  }
  atomic {
    prod_tail[QUEUE + w] = (prod_tail[QUEUE + w] + 1) % MOD;
    prod_head[QUEUE + w] = prod_tail[QUEUE + w];
    in_round[w] = in_round[w] + 1;
    MAY_CRASH
  }
}

inline publish_round(w) {
  atomic {
    published[w] = (published[w] + 1) % MOD;
    in_round[w] = 0;
    filling = NO_WG;
    order[n_order] = w;
    n_order++;
    MAY_CRASH
  }
}

/* `drained`. The round's last burst takes the round out of the order. */
inline commit_drain(w) {
  atomic {
    d_step {
      cons_tail[QUEUE + w] = (cons_tail[QUEUE + w] + DRAIN_BURST) % MOD;
      if
      :: cons_tail[QUEUE + w] % W == 0 ->
         drained_rounds[w] = (drained_rounds[w] + 1) % MOD;
         do
         :: i + 1 < n_order -> order[i] = order[i + 1]; i++
         :: else -> break
         od;
         i = 0; n_order--; order[n_order] = 0
      :: else
      fi
    }
    MAY_CRASH
  }
}

proctype cpu_syncer() {
  byte s, d, m;                 /* source, destination and mask of the publish at work */
  byte w;                       /* work-group at work */
  byte done;                    /* what earlier publishes of this burst moved */
  bit sent;                     /* this burst's packets for TX are out: one publish, in order */
  byte left[4];                 /* by source: packets of its burst not moved yet */
  byte in_round[2];             /* slots filled of the round that is being filled */
  byte filling = NO_WG;
  byte order[4];                /* work-groups of the published rounds, oldest first */
  byte n_order;
  byte drained_rounds[2] = FIRST_ROUND;
  byte out[2], i, n;

running:
  do
  :: /* Fill: as much of one source ring as there is room for, in parts that end with the round. */
     atomic {
       if
       :: MAY_FILL(IN0) -> s = IN0
       :: MAY_FILL(IN1) -> s = IN1
       fi;
       m = TOTAL_ROOM;
       m = (m < MAX_BURST -> m : MAX_BURST);
       peek(s, m)
     }
     m = 0;
     do
     :: atomic {
          left[s] != 0 ->
          if
          :: CAN_TAKE(0) -> w = 0
          :: CAN_TAKE(1) -> w = 1
          fi;
          filling = w;
          d = QUEUE + w;
          /* The lowest bits of `left`, as many as the round has room for. */
          do
          :: i < 3 && N_BITS(m) < W - in_round[w] -> m = m | (left[s] & (1 << i)); i++
          :: else -> break
          od;
          i = 0;
          in_round[w] = in_round[w] + N_BITS(m);
          left[s] = left[s] & ~m
#ifndef BREAK_RECORD_AFTER_PUBLISH
          ;
          write_record(s, cons_tail[s], DONE(done))
#endif
        }
        enqueue(s);
#ifdef BREAK_PUBLISHED_BEFORE_FILLED
        if
        :: in_round[w] == W -> publish_round(w)
        :: else
        fi;
        store_tail(s);
#elif defined(BREAK_FILLED_AFTER_COMMIT)
        if
        :: left[s] == 0 -> commit(s)
        :: else
        fi;
        store_tail(s);
#else
        store_tail(s);
#endif
#ifdef BREAK_RECORD_AFTER_PUBLISH
        write_record(s, cons_tail[s], DONE(done));
#endif
#ifdef BREAK_PAD_BEFORE_COMMIT
        if
        :: left[s] == 0 && MAY_PAD(w) -> pad(w)
        :: else
        fi;
#endif
        done = done | m;
        if
        :: in_round[w] == W -> publish_round(w)
        :: else
        fi;
        atomic { m = 0; d = 0; w = 0 }
     :: left[s] == 0 -> break
     od;
     commit(s);
     atomic { s = 0; done = 0 }

  :: /* The work-group would be idle: what is open goes out as it is. */
     atomic { MAY_PAD(0) -> pad(0) };
     publish_round(0)
  :: atomic { MAY_PAD(1) -> pad(1) };
     publish_round(1)

  :: /* Drain: what the device let pass and fits goes to TX, the rest to the reclaimer. */
     atomic {
       if
       :: MAY_DRAIN(0) -> w = 0
       :: MAY_DRAIN(1) -> w = 1
       fi;
       s = QUEUE + w;
       do
       :: i < DRAIN_BURST ->
          left[s] = left[s] | (AT(s, cons_tail[s] + i) != 0 -> 1 << i : 0);
          i++
       :: else -> break
       od;
       i = 0
     };
     do
     :: atomic {
          left[s] != 0 ->
          if
          :: left[s] & 1 -> m = 1
          :: left[s] & 2 -> m = 2
          :: left[s] == 3 -> m = 3
          fi;
          if
          :: !sent && ROOM(TX) >= N_BITS(m) -> d = TX; sent = 1
          :: d = RECLAIM
          fi;
          write_record(s, cons_tail[s], DONE(done))
        }
        enqueue(s);
        store_tail(s);
        atomic { done = done | m; left[s] = left[s] & ~m; m = 0; d = 0 }
     :: left[s] == 0 -> break
     od;
     commit_drain(w);
     atomic { s = 0; w = 0; done = 0; sent = 0 }

  :: rx_left == 0 && COUNT(IN0) == 0 && COUNT(IN1) == 0 && in_round[0] == 0 && in_round[1] == 0 &&
     n_order == 0 -> break
  od;
  atomic { state = EXITED; goto exited }

dead:
  atomic {
    /* The process' own memory is gone; its device may still write. */
    s = 0; d = 0; m = 0; w = 0; done = 0; sent = 0; i = 0; n = 0;
    left[0] = 0; left[1] = 0; left[2] = 0; left[3] = 0;
    in_round[0] = 0; in_round[1] = 0; filling = NO_WG; n_order = 0;
    order[0] = 0; order[1] = 0; order[2] = 0; order[3] = 0;
    drained_rounds[0] = FIRST_ROUND; drained_rounds[1] = FIRST_ROUND;
    state = DYING;
    (state == RUNNING) -> goto running
  }
exited:
  skip
}

/* ---- recovery ---- */

/* Both sides start again from the same round boundary; the dead process may have left `filled` in
 * the middle of a round, and rounds published that were never run. */
inline reset_queue(w) {
#ifdef BREAK_QUEUE_NOT_RESET
  prod_head[QUEUE + w] = prod_tail[QUEUE + w];
  cons_tail[QUEUE + w] = prod_tail[QUEUE + w];
#else
  cons_tail[QUEUE + w] = FIRST_INDEX;
  prod_tail[QUEUE + w] = FIRST_INDEX;
  prod_head[QUEUE + w] = FIRST_INDEX;
#endif
  published[w] = FIRST_ROUND;
  completed[w] = FIRST_ROUND
}

/* The pidfd is readable only when the device has let go, too. */
#ifdef BREAK_RECOVER_EARLY
#define MAY_RECOVER (state == DYING)
#else
#define MAY_RECOVER (state == DYING && stopped[0] && (N_WG == 1 || stopped[1]))
#endif

proctype manager() {
  byte in_hand;
  byte moved, touched, rest;
  byte i, p;

  do
  :: MAY_RECOVER ->
     d_step { forget_unpublished(TX); forget_unpublished(RECLAIM) };
     d_step {
       decide_window(IN0); take_rest(IN0);
       decide_window(IN1); take_rest(IN1);
       decide_window(QUEUE); take_rest(QUEUE);
       decide_window(QUEUE + 1); take_rest(QUEUE + 1);
       compare_with_truth()
     };
     d_step { publish_in_hand(); p = 0 };
     d_step { p = 0; finish(IN0); finish(IN1); p = 0 };
     d_step { reset_queue(0); reset_queue(1); fresh_page(); state = RUNNING }
  :: state == EXITED && COUNT(TX) + COUNT(RECLAIM) + COUNT(MGR) == 0 -> break
  od;
  skip;
  d_step { assert(n_free == N_PKT); assert(N_RX == n_out) };
#ifdef PROBE_END
  assert(crashes_left > 0)
#endif
}

init {
  byte p = 1;
  d_step {
    do
    :: p <= N_PKT -> place[p] = POOL; p++
    :: else -> break
    od;
    copy[0].source = NO_SOURCE;
    copy[1].source = NO_SOURCE;
    p = 0
  };
  atomic {
    run rx_thread(); run tx_and_reclaimer(); run cpu_syncer(); run manager();
    run work_group(0);
#if N_WG > 1
    run work_group(1)
#endif
  }
}
