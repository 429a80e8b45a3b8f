"""Chains of several NFs: figures 6 and 7, and work-groups that follow the load."""

import nfs
from measure import setup_of

#: The generator's flows come from 10.0.0.1 on, 4096 of them: 2047 of 4096, and 287 of 4096.
SPLITS = {"50/50": ["10.0.0.0/21"], "93/7": ["10.0.0.0/24", "10.0.1.0/27"]}
#: Figure 6: where ipsec and the NIDS are. The last one has a service of ipsec for each CPUSyncer.
PLACES = [("cpu", "cpu"), ("cpu", "gpu"), ("gpu", "gpu"), ("gpu, SAs", "gpu")]


def flows_of(split):
    """The flows file that gives the smaller part type `b` and the rest type `a`."""
    lines = [f"b, {prefix}, *, *, *, *\n" for prefix in SPLITS[split]]
    return "".join(lines) + "a, *, *, *, *, *\n"


def run_fig6(bench):
    """The paper's order, ipsec first: then the NIDS meets sealed packets, whose payloads no rule is
    about. And with the NIDS first, where it has the clear text to search."""
    args, folder = bench.args, bench.folder
    for order in ("ipsec-nids-router", "nids-ipsec-router"):
        ipsec_first = order.startswith("ipsec")
        for ipsec_at, nids_at in PLACES:
            looks = nfs.nids(args, folder, gpu=nids_at == "gpu")
            if ipsec_first:
                looks["alerts"] = None  # on sealed packets there are none
            seals, more = [nfs.ipsec(folder, gpu=ipsec_at == "gpu")], {}
            if ipsec_at == "gpu, SAs":
                if args.syncers == 1:
                    continue
                seals, more = nfs.spread_ipsec(folder, args.syncers, gpu=True,
                                               workgroups=args.workgroups // 2 // args.syncers)
                looks["workgroups"] = args.workgroups // 2
                more["routes"] = "".join(
                    f"t{i}, rx, ipsec{i}\nt{i}, ipsec{i}, nids\n" if ipsec_first else
                    f"t{i}, rx, nids\nt{i}, nids, ipsec{i}\nt{i}, ipsec{i}, router\n"
                    for i in range(args.syncers))
                more["routes"] += "*, nids, router\n" * ipsec_first + "*, router, tx\n"
            chain = [*seals, looks] if ipsec_first else [looks, *seals]
            setup = setup_of(args, [*chain, nfs.router(folder)], args.nf_sizes[-1],
                             payload=args.payload, **more)
            bench.row("fig6", f"{order}: ipsec ({ipsec_at}), nids ({nids_at})", setup, order=order,
                      ipsec=ipsec_at, nids=nids_at)


def two_nfs(bench):
    args, folder = bench.args, bench.folder
    return [nfs.nids(args, folder, "x", gpu=True), nfs.forward("y", gpu=True)]


def run_fig7(bench):
    """The same two GPU NFs in one order for all packets, and in either order by packet type."""
    args = bench.args
    for size in sorted({args.nf_sizes[0], args.nf_sizes[-1]}):
        static = bench.row("fig7", f"static, {size} B",
                           setup_of(args, two_nfs(bench), size, payload=args.payload), chain="static")
        for split in SPLITS:
            row = bench.row("fig7", f"dynamic {split}, {size} B", setup_of(
                args, two_nfs(bench), size, payload=args.payload, flows=flows_of(split),
                routes="a, rx, x\na, x, y\na, y, tx\nb, rx, y\nb, y, x\nb, x, tx\n"),
                            chain=f"dynamic {split}")
            if row and static:
                row["to_static"] = {key: row[key]["median"] / static[key]["median"]
                                    for key in ("overload_mpps", "loss_free_mpps")
                                    if static[key] and static[key]["median"]}


def run_elastic(bench):
    """Two GPU NFs, 93 % of the packets to one: every fixed split in eighths against --elastic."""
    args, folder = bench.args, bench.folder
    least = args.syncers
    fixed = sorted({min(max(args.workgroups * k // 8, least), args.workgroups - least)
                    for k in range(1, 8)})

    def setup(for_x, **more):
        pair = [nfs.nids(args, folder, service, gpu=True, workgroups=n)
                for service, n in (("x", for_x), ("y", args.workgroups - for_x))]
        return setup_of(args, pair, args.nf_sizes[-1], payload=args.payload, flows=flows_of("93/7"),
                        routes="a, rx, x\na, x, tx\nb, rx, y\nb, y, tx\n", **more)

    rows = [bench.row("elastic", f"fixed, {for_x} and {args.workgroups - for_x} work-groups",
                      setup(for_x), split=[for_x, args.workgroups - for_x]) for for_x in fixed]
    row = bench.row("elastic", "elastic, from halves",
                    setup(args.workgroups // 2, manager=["--elastic"]), split="elastic",
                    settles_s=max(3.0, 10 * args.trial))
    if row and any(rows):
        best = max(one["overload_mpps"]["median"] for one in rows if one)
        row["to_best_fixed"] = row["overload_mpps"]["median"] / best
