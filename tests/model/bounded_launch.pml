/* Bounded persistence: on a CPU device a launch ends when it has nothing to do, and is repeated
 * when there is work again. What may not happen: a published round that waits for ever.
 *
 * What runs: a CPUSyncer that publishes rounds for ever, or stops at any moment; the launcher,
 * which sleeps on the doorbell while there is no work; one launch at a time of two work-groups. A
 * work-group that found nothing N_IDLE times, or has run M_ROUNDS rounds, sets the slice's
 * `leaving` word and ends; the others end at their next round boundary; the last one out makes the
 * completion event. Round counts wrap, so this runs for ever: checked for acceptance cycles under
 * weak fairness (whoever can go on does so in the end, however slowly).
 *
 * Faults, one for each rule that this rests on:
 *   BREAK_LEAVING_FIRST   a work-group honours `leaving` before its first round of the launch.
 *                         Where work-groups start one after another, the first idles out before
 *                         the second has begun: launches for ever, and that round is never run.
 *   BREAK_NO_LEAVING      the others don't leave with the first: a busy one keeps the launch alive,
 *                         and the one that idled out waits for ever.
 *   BREAK_CLEAR_LATE      `leaving` is cleared after the launch: that wipes out what a fast
 *                         work-group has already said, with the same end.
 *   BREAK_FROM_PUBLISHED  a launch starts at `published` instead of `completed`: skips what was
 *                         published between two launches.
 *   BREAK_SLEEP_UNSEEN    the launcher doesn't look for work once more after it said that it will
 *                         sleep: nobody rings for what came just before.
 *   BREAK_RING_FIRST      the CPUSyncer looks for a sleeper before its store of `published` is out:
 *                         what a doorbell without its fence would come to.
 */

#define R 2          /* rounds of a queue */
#define MOD 4        /* round counts wrap here */
#ifndef N_IDLE
#define N_IDLE 1     /* idle polls before a work-group gives up */
#endif

byte published[2];
byte completed[2];
bit leaving;
bit running[2];      /* work-group of this launch that has not ended yet */
bit event = 1;       /* no launch is under way */
bit waiting;         /* the doorbell: the launcher sleeps, or is about to */

#define IN_FLIGHT(w) ((published[w] + MOD - completed[w]) % MOD)
#define HAS_WORK (published[0] != completed[0] || published[1] != completed[1])

/* Rounds are drained as soon as they are completed: only room in the queue matters here. */
proctype cpu_syncer() {
  byte w;
  bit is_waiting;
end:
  do
  :: atomic {
       if
       :: IN_FLIGHT(0) < R -> w = 0
       :: IN_FLIGHT(1) < R -> w = 1
       fi
#ifdef BREAK_RING_FIRST
       ;
       is_waiting = waiting
#endif
     }
     atomic { published[w] = (published[w] + 1) % MOD; w = 0 };
#ifndef BREAK_RING_FIRST
     is_waiting = waiting;
#endif
     if
     :: is_waiting -> d_step { waiting = 0; is_waiting = 0 }
     :: else
     fi
  :: break  /* the traffic stops */
  od
}

proctype launcher() {
end:
  do
  :: !HAS_WORK ->
     waiting = 1;
     if
#ifndef BREAK_SLEEP_UNSEEN
     :: HAS_WORK -> waiting = 0
     :: !HAS_WORK ->
#else
     :: true ->
#endif
end_asleep:
        !waiting
     fi
  :: HAS_WORK ->
#ifndef BREAK_CLEAR_LATE
     leaving = 0;
#endif
     d_step { event = 0; running[0] = 1; running[1] = 1 };
#ifdef BREAK_CLEAR_LATE
     leaving = 0;
#endif
     event
  od
}

#ifdef BREAK_LEAVING_FIRST
#define FRESH false
#else
#define FRESH (count == first)
#endif

/* Lane 0; the other lanes only wait at its barriers. */
proctype work_group(byte w) {
  byte first;   /* rounds completed when the launch began */
  byte count;   /* and now */
  byte idle;
  byte seen;    /* `published` as read */
end:
  do
  :: running[w] ->
#ifdef BREAK_FROM_PUBLISHED
     d_step { first = published[w]; count = first };
#else
     d_step { first = completed[w]; count = first };
#endif
     do
     :: seen = published[w];
        if
        :: seen != count && leaving && !FRESH -> break
        :: seen != count && !(leaving && !FRESH) ->
           d_step {
             count = (count + 1) % MOD;
             completed[w] = count;
             idle = 0;
             seen = 0
           }
#ifdef M_ROUNDS
           if
           :: (count + MOD - first) % MOD == M_ROUNDS -> leaving = 1
           :: else
           fi
#endif
        :: seen == count && leaving -> break
        :: seen == count && !leaving ->
           d_step { idle++; seen = 0 };
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
     atomic {
       first = 0; count = 0; idle = 0; seen = 0;
       running[w] = 0;
       event = !running[0] && !running[1]
     }
  od
}

init { atomic { run cpu_syncer(); run launcher(); run work_group(0); run work_group(1) } }

/* Counts take every value in turn, so this one value stands for all rounds; and nothing tells the
 * work-groups apart, so number 0 stands for both. */
ltl every_round_completes { [] ((published[0] == 1) -> <> (completed[0] == 1)) }
