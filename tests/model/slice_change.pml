/* Changes of slices under traffic: one work-group moves between two slices, and tables (or code) are
 * replaced, both between two launches.
 *
 * What runs: a CPUSyncer that serves both slices (fills the work-group's queue for the one whose
 * share it is in, drains, gives it up when asked to); a launching thread for each slice, which goes
 * over to another set of work-groups or another table between two launches; the control thread,
 * which moves the work-group back and forth and replaces tables, and stops at any time.
 *
 * Proven for every interleaving: the work-group is never in two launches; a round is answered by the
 * NF for which it was filled; every published round is answered and drained (the run can't end
 * before: invalid end state); the version that the CPUSyncer reads for a round is the one that
 * judged it.
 *
 * Faults, one for each rule that this rests on:
 *   BREAK_LEAVE_UNDRAINED  a slice is launched without the work-group before its queue is empty
 *   BREAK_JOIN_EARLY       the other slice's launch takes it in before the first one's has ended
 *   BREAK_BOUNDARY_LATE    the version's first round is written after the launch that begins it
 *   BREAK_NO_WAIT          the next replacement begins while rounds of two versions before may be
 *                          in the queue
 */

#ifndef N_CHANGES
#define N_CHANGES 3
#endif
#ifndef N_ROUNDS
#define N_ROUNDS 5     /* that the CPUSyncer publishes in all, at most */
#endif
#define R 2
#define MOD 16      /* more than the rounds of a run: the real counts take hours for half a turn */
#define NOBODY 2
#define AFTER(a, b) ((a + MOD - b) % MOD)

/* The work-group's queue. */
byte published, completed, drained;
byte filled_for[R];    /* ghost: the slice whose packets the round holds */
byte judged_by[R];     /* ghost: the version that answered it */

/* The CPUSyncer's shares. */
byte share;            /* the slice that may fill the queue */
bit retire;            /* the control thread wants it back */
bit synced_out;        /* the CPUSyncer has ended */

/* The slices. */
bit includes[2];       /* the launch to come has the work-group */
bit in_launch[2];      /* a launch that has it is under way */
byte version[2] = 1;   /* of the slice's table, in the launch to come */
bit replacing[2];
bit next_includes[2];
byte next_version[2];

/* TableVersions: the word of the work-group. */
byte word_version = 1;
byte word_first;
bit word_settled = 1;
#define VERSION_OF(r) ((word_settled || AFTER(r, word_first) < MOD / 2) -> word_version : word_version - 1)

inline set_word(s) {
  d_step {
    word_first = completed;
    word_settled = (next_version[s] == version[s]);
    word_version = next_version[s]
  }
}

proctype launching(bit s) {
  byte left;
end:
  do
  :: replacing[s] ->
     atomic {
#ifdef BREAK_BOUNDARY_LATE
       if
       :: next_includes[s] && next_version[s] == version[s] -> set_word(s)
       :: else
       fi;
       left = next_version[s] - version[s];
#else
       if
       :: next_includes[s] -> set_word(s)
       :: else
       fi;
#endif
       includes[s] = next_includes[s];
       version[s] = next_version[s];
       replacing[s] = 0
     }
  :: !replacing[s] && includes[s] && published != completed ->
     atomic { in_launch[s] = 1; assert(!in_launch[1 - s]) };
     do  /* rounds; it may end at each boundary, but not before one that waits */
     :: atomic {
          published != completed ->
          assert(filled_for[completed % R] == s);
          judged_by[completed % R] = version[s];
          completed = (completed + 1) % MOD
        };
#ifdef BREAK_BOUNDARY_LATE
        if
        :: left != 0 ->
           d_step { word_first = (completed + MOD - 1) % MOD; word_settled = 0;
                    word_version = version[s]; left = 0 }
        :: else
        fi;
#endif
        if
        :: break
        :: true
        fi
     :: published == completed -> break
     od;
     in_launch[s] = 0
  od
}

proctype cpu_syncer() {
  byte n;
  do
  :: atomic {
       n < N_ROUNDS && share != NOBODY && !retire && AFTER(published, drained) < R ->
       filled_for[published % R] = share;
       published = (published + 1) % MOD;
       n++
     }
  :: atomic {
       completed != drained ->
       assert(VERSION_OF(drained) == judged_by[drained % R]);
       drained = (drained + 1) % MOD
     }
#ifdef BREAK_LEAVE_UNDRAINED
  :: atomic { retire -> retire = 0; share = NOBODY }
#else
  :: atomic { retire && published == drained -> retire = 0; share = NOBODY }
#endif
  :: synced_out && published == drained && !retire -> break
  od
}

inline replace(s, has, to_version) {
  atomic {
    next_includes[s] = has;
    next_version[s] = to_version;
    replacing[s] = 1
  }
}

proctype control() {
  byte n;
  bit at;                /* the slice that has the work-group */
  byte boundary;
  do
  :: n == N_CHANGES -> break
  :: break
  :: n < N_CHANGES ->    /* move */
     n++;
     retire = 1;
     !retire;
     replace(at, 0, version[at]);
#ifndef BREAK_JOIN_EARLY
     !replacing[at];
#endif
     replace(1 - at, 1, version[1 - at]);
     !replacing[1 - at];
     atomic { at = 1 - at; share = at }
  :: n < N_CHANGES ->    /* another table */
     n++;
     replace(at, 1, version[at] + 1);
     !replacing[at];
#ifndef BREAK_NO_WAIT
     /* Every round before the boundary is drained. */
     AFTER(word_first, drained) == 0 || AFTER(word_first, drained) > R;
     word_settled = 1
#endif
  od;
  synced_out = 1
}

init {
  atomic {
    includes[0] = 1;
    run launching(0); run launching(1); run cpu_syncer(); run control()
  }
}
