/* Bounded persistence: on a CPU device a launch ends when it has nothing to do, and is repeated when
 * there is work again. What may not happen: a published round that waits for ever.
 *
 * What runs: a CPUSyncer that publishes rounds for ever, or stops at any moment; the launcher; and
 * one launch of N_WG work-groups. A work-group that found nothing N_IDLE times sets the slice's
 * `leaving` word and ends; the others end at their next round boundary; the last one out makes the
 * completion event. Round counts wrap, so this runs for ever: proven by acceptance cycles under weak
 * fairness (every process that can go on does so in the end, however slowly).
 *
 * Rules found to matter, each one a fault below:
 *   - a work-group looks at `published` before `leaving`, so each launch runs at least one round of
 *     every work-group that has one (BREAK_LEAVING_FIRST: launches for ever, round never run);
 *   - the launcher reads `published` after it has seen the completion event, and goes on looking
 *     (BREAK_EDGE_TRIGGERED: trusts the running launch to see what was published meanwhile);
 *   - the others leave with the first (BREAK_NO_LEAVING: a busy work-group keeps the launch alive and
 *     an idled-out one waits for ever);
 *   - `leaving` is cleared between the completion event and the next launch (BREAK_CLEAR_LATE: after
 *     the launch, wipes out what a fast work-group has already said);
 *   - `completed` is stored before the work-group leaves; its private count starts from there
 *     (BREAK_COUNT_FROM_PUBLISHED: starts from `published`, skips what came between two launches).
 */

#define N_WG 2
#define R 2          /* rounds of a queue */
#define MOD 4        /* round counts wrap here */
#define N_IDLE 2     /* idle polls before a work-group gives up */

byte published[N_WG];
byte completed[N_WG];
bit leaving;
bit running[N_WG];   /* work-group of the current launch has not ended yet */
bit event = 1;       /* completion event of the last launch; set before the first one */
bit late_clear;

#define IN_FLIGHT(w) ((published[w] + MOD - completed[w]) % MOD)
#define HAS_WORK (published[0] != completed[0] || published[1] != completed[1])

inline launch() {
  d_step {
    event = 0;
#ifdef BREAK_CLEAR_LATE
    late_clear = 1;
#else
    leaving = 0;
#endif
    running[0] = 1;
    running[1] = 1
  }
}

/* Drains what is completed at once: room in the queue is all that matters here. */
active proctype cpu_syncer() {
  byte w;
end:
  do
  :: w = 0; goto publish
  :: w = 1; goto publish
  :: break  /* the traffic stops */
publish:
     if
     :: d_step { IN_FLIGHT(w) < R -> published[w] = (published[w] + 1) % MOD }
     :: IN_FLIGHT(w) == R
     fi;
#ifdef BREAK_EDGE_TRIGGERED
     if
     :: atomic { event -> launch() }
     :: else
     fi
#endif
  od
}

active proctype launcher() {
end:
  do
#ifndef BREAK_EDGE_TRIGGERED
  :: event ->
     if
     :: HAS_WORK -> launch()
     :: else
     fi
#endif
  :: d_step { late_clear -> leaving = 0; late_clear = 0 }
  od
}

inline end_work_group() {
  d_step {
    idle = 0; rounds = 0; count = 0;
    running[w] = 0;
    if
    :: !running[0] && !running[1] -> event = 1
    :: else
    fi
  }
}

proctype work_group(byte w) {
  byte count;   /* lane 0's private count of rounds */
  byte idle;
  byte rounds;  /* of this launch */
  byte seen;    /* what lane 0 read */
end:
  do
  :: running[w] ->
#ifdef BREAK_COUNT_FROM_PUBLISHED
     count = published[w];
#else
     count = completed[w];
#endif
     do
#ifdef BREAK_LEAVING_FIRST
     :: leaving -> break
     :: !leaving ->
#else
     :: true ->
#endif
        seen = published[w];
        if
        :: seen != count ->
           count = (count + 1) % MOD;
           idle = 0;
           d_step { seen = 0; completed[w] = count };
#ifdef M_ROUNDS
           rounds++;
           if
           :: rounds == M_ROUNDS -> leaving = 1; break
           :: else
           fi;
#endif
           if
           :: leaving -> break
           :: else
           fi
        :: else ->
           seen = 0;
           if
           :: leaving -> break
           :: else
           fi;
           idle++;
           if
           :: idle == N_IDLE ->
#ifndef BREAK_NO_LEAVING
              leaving = 1;
#endif
              break
           :: else
           fi
        fi
     od;
     end_work_group()
  od
}

init { atomic { run work_group(0); run work_group(1) } }

/* Counts pass every value in turn, so this one value stands for all rounds, and work-group 0 for
 * both, since nothing tells them apart. */
ltl every_round_completes { [] ((published[0] == 1) -> <> (completed[0] == 1)) }
