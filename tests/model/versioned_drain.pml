/* Changing routes under traffic: docs/ownership.md, "Versions". What may not happen: a packet that
 * is judged by a table that is not of its version, or a flow that changes its order.
 *
 * What runs: an RX thread that stamps, counts, publishes, and holds packets back while the plan says
 * so; two NFs, of which the routes of a version choose one, and which may keep a packet and let it
 * go later; the TX thread, which counts what returns by the version in the manager's book, however
 * the packet was stamped meanwhile; the control thread, which changes routes N_SWITCH times. All
 * packets are of one flow. Packets are received again once they are home.
 *
 * Left out: types that are not affected (they never wait, and both tables are alike for them), full
 * rings, deaths (ring_ledger.pml: all that a dead NF had goes home).
 *
 * Faults, one for each rule that this rests on:
 *   BREAK_ACK_EARLY      RX says that it has taken up the plan, and then ends its burst
 *   BREAK_NO_ACK         zero is looked for before RX has taken up the plan
 *   BREAK_NO_HOLD        RX lets packets of the new version go at once
 *   BREAK_NEW_FIRST      RX lets new packets overtake those that still wait in the hold queue
 *   BREAK_OLD_STAMP      a packet that was held goes on by the version of its arrival
 *   BREAK_NO_GRACE       packets count as held although the burst that releases them may still go by
 *                        the old version
 *   BREAK_HELD_NOW       as many held as outstanding is enough, whichever they are
 *   BREAK_ONE_VERSION    only the version before is looked at, not all but the new one
 */

#ifndef N_PKT
#define N_PKT 2
#endif
#ifndef N_RX
#define N_RX 3       /* receptions */
#endif
#ifndef N_SWITCH
#define N_SWITCH 2
#endif
#define N_VERSION 4  /* more than switches: reuse is another matter, looked at before each */
#define NONE 255

mtype = { HOME, WAITS, RING, HELD };

/* Shared words. */
byte table[2];          /* the version whose routes lie there */
byte current;
byte plan_version;
bit plan_holds;
byte command, seen;
byte stamped[N_VERSION], returned[N_VERSION];
byte bursts[2];         /* of each NF; odd: inside */
byte held[2] = NONE;    /* each NF's held area: one slot */

/* Packets. */
mtype place[N_PKT] = HOME;
byte book[N_PKT];       /* the version in the manager's book */
byte stamp[N_PKT];      /* the version in the packet */
byte number[N_PKT];     /* in the flow, from 1 */
bit was_held[N_PKT];

chan to_nf[2] = [N_PKT] of { byte };
chan to_tx[2] = [N_PKT] of { byte };
chan queue = [N_PKT] of { byte };

byte last_out;
byte received;
bit rx_done;

/* The routes of even versions lead through NF 0, of odd ones through NF 1. */
#define NF_OF(version) ((version) & 1)

/* A table is read for a packet: it must be the one of its version. */
#define JUDGE(p) assert(table[stamp[p] & 1] == stamp[p])

inline let_in(p) {
  stamp[p] = version;
#ifdef BREAK_ACK_EARLY
  seen = command;
#endif
  stamped[version]++;
  atomic { JUDGE(p); book[p] = version; place[p] = RING; to_nf[NF_OF(version)]!p }
}

active proctype rx() {
  byte p;
  byte version;
  bit holds;
  byte my_command;
end:
  do
  :: my_command != command ->  /* between two bursts */
     atomic { my_command = command; version = plan_version; holds = plan_holds };
     seen = my_command
  :: my_command == command && received < N_RX ->
     atomic {
       p = 0;
       do
       :: p < N_PKT && place[p] != HOME -> p++
       :: else -> break
       od
     };
     if
     :: p < N_PKT ->
        atomic { received++; number[p] = received; was_held[p] = 0; place[p] = WAITS };
        if
#ifndef BREAK_NO_HOLD
        :: holds -> queue!p
#endif
#ifdef BREAK_NEW_FIRST
        :: !holds -> let_in(p)
#else
        :: !holds && nempty(queue) -> queue!p
        :: !holds && empty(queue) -> let_in(p)
#endif
#ifdef BREAK_NO_HOLD
        :: holds -> let_in(p)
#endif
        fi
     :: else
     fi
  :: my_command == command && !holds && nempty(queue) ->
     queue?p;
     let_in(p)
  od
}

/* One NF: a burst is one packet from its ring, or the release of the one that it holds. */
proctype nf(bit me) {
  byte p;
end:
  do
  :: nempty(to_nf[me]) ->
     bursts[me]++;
     to_nf[me]?p;
     if
     :: atomic { JUDGE(p); to_tx[me]!p }
     :: held[me] == NONE -> atomic { held[me] = p; was_held[p] = 1; place[p] = HELD }
     fi;
     bursts[me]++
  :: held[me] != NONE ->
     bursts[me]++;
     p = held[me];
#ifndef BREAK_OLD_STAMP
     stamp[p] = current;
#endif
     atomic { JUDGE(p); place[p] = RING; to_tx[me]!p };
     held[me] = NONE;
     bursts[me]++
  od
}

active proctype tx() {
  byte p;
  bit me;
end:
  do
  :: atomic { nempty(to_tx[0]) -> me = 0 }
     goto take
  :: atomic { nempty(to_tx[1]) -> me = 1 }
take:
     to_tx[me]?p;
     atomic {
       if
       :: was_held[p]  /* its NF has let others go before it */
       :: else -> assert(number[p] > last_out); last_out = number[p]
       fi
     };
     atomic { returned[book[p]]++; place[p] = HOME }
  od
}

active proctype control() {
  byte version, v, n_switch, out, kept, before[2];
  bit was_seen[N_PKT];
  byte p;
  bit i;
  atomic { run nf(0); run nf(1) };
  do
  :: n_switch < N_SWITCH ->
     version = version + 1;
     table[version & 1] = version;
     current = version;
     atomic { plan_version = version; plan_holds = 1 };
     command++;
#ifndef BREAK_NO_ACK
     seen == command;
#endif
#ifndef BREAK_NO_GRACE
     before[0] = bursts[0];
     before[1] = bursts[1];
     (before[0] & 1) == 0 || bursts[0] != before[0];
     (before[1] & 1) == 0 || bursts[1] != before[1];
#endif
drain:
     /* The count of what is out, then what of it was seen held before. */
     atomic {
       out = 0;
       v = 0;
       do
#ifdef BREAK_ONE_VERSION
       :: v < N_VERSION -> out = out + (v + 1 == version -> stamped[v] - returned[v] : 0); v++
#else
       :: v < N_VERSION -> out = out + (v != version -> stamped[v] - returned[v] : 0); v++
#endif
       :: else -> break
       od
     };
#ifdef BREAK_HELD_NOW
     kept = (held[0] != NONE -> 1 : 0);
     kept = kept + (held[1] != NONE -> 1 : 0);
#else
     atomic {
       kept = 0;
       p = 0;
       do
       :: p < N_PKT ->
          kept = kept + (was_seen[p] && (place[p] == RING || place[p] == HELD) &&
                         book[p] != version -> 1 : 0);
          p++
       :: else -> break
       od
     };
#endif
     if
     :: out == kept -> skip
     :: else ->
#ifndef BREAK_HELD_NOW
        atomic {
          p = held[0];
          if
          :: p != NONE -> if :: book[p] != version -> was_seen[p] = 1 :: else fi
          :: else
          fi
        };
        atomic {
          p = held[1];
          if
          :: p != NONE -> if :: book[p] != version -> was_seen[p] = 1 :: else fi
          :: else
          fi
        };
#endif
        goto drain
     fi;
     atomic {
       p = 0;
       do
       :: p < N_PKT -> was_seen[p] = 0; p++
       :: else -> break
       od
     };
     plan_holds = 0;
     command++;
     seen == command;
     empty(queue);
     n_switch++
  :: else -> break
  od
#ifdef PROBE_END
  ;
  assert(received < N_RX)
#endif
}
