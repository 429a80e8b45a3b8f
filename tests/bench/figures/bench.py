"""One run of the figures: what there is time for, and what came of it."""

import json
import subprocess
import time

from measure import Session, harness, throughput
from outputs import Outputs


class Bench:
    """Takes rows until the time is over; writes the results after each."""

    def __init__(self, args, folder, results):
        self.args, self.folder, self.results = args, folder, results
        self._begin = time.monotonic()
        self._outputs = Outputs(args, folder)
        self.failed = False
        self._longest = 5.0  # seconds of a row, until one has been taken
        results.update({"missing": {}, "left_out": [], "wrong_outputs": [], "seconds": {}})

    @property
    def left_s(self):
        """Seconds, less what the twins will take for what they have not seen yet."""
        return self.args.budget - (time.monotonic() - self._begin) - self._outputs.debt_s

    def figure(self, name, take):
        """One figure, whatever becomes of it."""
        begin = time.monotonic()
        try:
            take(self)
            self.results["wrong_outputs"] += self._outputs.compare()
        except (harness.Failure, AssertionError, subprocess.SubprocessError, ValueError) as why:
            self.miss(name, why)
        self.results["seconds"][name] = round(time.monotonic() - begin, 1)
        self.write()

    def miss(self, what, why):
        """Something that should have worked has not."""
        self.failed = True
        self.results["missing"][what] = str(why)[:2000]
        print(f"{what}: missing: {str(why)[:200]}", flush=True)

    def has_time(self, what, seconds=None):
        """False, and said so in the results, if that much is not left."""
        if self.left_s >= (self._longest if seconds is None else seconds):
            return True
        self.results["left_out"].append(what)
        print(f"{what}: left out, {max(self.left_s, 0):.0f} s are left", flush=True)
        return False

    def row(self, figure, label, setup, settles_s=0.0, then=None, **more):
        """Starts a platform, takes its throughput and adds a row to the figure.
        @param settles_s  seconds of overload first, if more than --warm-up
        @param then       called with the session and the row while the platform still runs
        @return the row, or null if it is missing or there was no time"""
        if not self.has_time(f"{figure}: {label}"):
            return None
        begin = time.monotonic()
        try:
            session = Session(self.args, self.folder, setup)
            try:
                samples = []
                if (warm_up := max(settles_s, self.args.warm_up)) > 0:
                    session.generate(rate=0)
                    time.sleep(warm_up)
                taken = throughput(self.args, session, samples)
                row = {"label": label, **more, "bytes": setup["size"], "threads": setup["threads"],
                       **taken}
                if then:
                    then(session, row)
                self._outputs.collect(session, setup, samples, row, f"{figure}: {label}")
                session.stop()
            finally:
                session.bench.clean_up()
        except (harness.Failure, AssertionError, subprocess.SubprocessError) as why:
            self.miss(f"{figure}: {label}", why)
            return None
        self.results.setdefault(figure, []).append(row)
        took = time.monotonic() - begin
        self._longest = max(0.5 * self._longest, took)
        report(figure, row, took)
        self.write()
        return row

    def write(self):
        text = json.dumps(self.results, indent=1) + "\n"
        self.args.out.write_text(text)


def report(figure, row, took):
    free, late = row["loss_free_mpps"], row["loss_free_latency"]
    print(f"{figure:7} {row['label']:46} {row['overload_mpps']['median']:8.3f} Mpps "
          f"{row.get('overload_gbps', {}).get('median', 0):7.2f} Gbps  loss-free "
          f"{format(free['median'], '8.3f') if free else '       -'}  p99 "
          f"{format(late['p99_us']['median'], '7.1f') if late else '      -'} us  ({took:.1f} s; "
          f"{row['limits']['says'].partition(':')[0]})", flush=True)
