"""Chains of several NFs: figures 6 and 7, and work-groups that follow the load."""

from pathlib import Path

from measure import ipsec_options, nids_options, report, setup_of, throughput

#: The generator's flows come from 10.0.0.1 on, 4096 of them: 2047 of 4096, and 287 of 4096.
SPLITS = {"50/50": ["10.0.0.0/21"], "93/7": ["10.0.0.0/24", "10.0.1.0/27"]}


def flows_of(split):
    """The flows file that gives the smaller part type `b` and the rest type `a`."""
    lines = [f"b, {prefix}, *, *, *, *\n" for prefix in SPLITS[split]]
    return "".join(lines) + "a, *, *, *, *, *\n"


def run_fig6(args, folder, results):
    """ipsec, nids, router: all on the CPU, with the NIDS on the GPU, and with ipsec there too."""
    rows = []
    routes = Path(folder, "router.csv")
    routes.write_text("0.0.0.0/0, 0, 02:00:00:00:00:01\n")
    for ipsec_on_gpu, nids_on_gpu in ((False, False), (False, True), (True, True)):
        nfs = [("ipsec", ipsec_on_gpu, "ipsec", ipsec_options(folder)),
               ("nids", nids_on_gpu, "nids", nids_options(args)),
               ("router", False, "router", ["--route-file", routes])]
        setup = setup_of(args, nfs, 1472, max(args.syncers), max(args.rx), args.payload)
        where = ["gpu" if on_gpu else "cpu" for on_gpu in (ipsec_on_gpu, nids_on_gpu)]
        row = {"ipsec": where[0], "nids": where[1], "bytes": 1472,
               **throughput(args, folder, setup)}
        rows.append(row)
        report("fig6", f"ipsec ({where[0]}), nids ({where[1]}), router (cpu)", row)
    results["fig6"] = rows


def run_fig7(args, folder, results):
    """The same two GPU NFs in one order for all packets, and in either order by packet type."""
    nfs = [("nids", True, "x", nids_options(args)), ("forward", True, "y", ())]
    rows = []
    for size in (64, 1472):
        setup = setup_of(args, nfs, size, max(args.syncers), max(args.rx), args.payload)
        static = throughput(args, folder, {**setup, "routes": "*, rx, x\n*, x, y\n*, y, tx\n"})
        rows.append({"chain": "static", "bytes": size, **static})
        report("fig7", f"static, {size} B", static)
        for split in SPLITS:
            row = throughput(args, folder, {
                **setup, "flows": flows_of(split),
                "routes": "a, rx, x\na, x, y\na, y, tx\nb, rx, y\nb, y, x\nb, x, tx\n"})
            ratio = row["overload_mpps"]["median"] / static["overload_mpps"]["median"]
            rows.append({"chain": f"dynamic {split}", "bytes": size, "to_static": ratio, **row})
            report("fig7", f"dynamic {split}, {size} B ({ratio:.2f}x of static)", row)
    results["fig7"] = rows


def run_elastic(args, folder, results):
    """Two GPU NFs, 93 % of the packets to one: every fixed split in eighths against --elastic."""
    nfs = [("nids", True, "x", nids_options(args)), ("nids", True, "y", nids_options(args))]
    setup = {**setup_of(args, nfs, 1472, max(args.syncers), max(args.rx), args.payload),
             "flows": flows_of("93/7"),
             "routes": "a, rx, x\na, x, tx\nb, rx, y\nb, y, tx\n"}
    rows = []
    least = max(args.syncers)
    splits = sorted({min(max(args.workgroups * k // 8, least), args.workgroups - least)
                     for k in range(1, 8)})
    for for_x in splits:
        row = throughput(args, folder, {**setup, "shares": [for_x, args.workgroups - for_x]})
        rows.append({"split": [for_x, args.workgroups - for_x], **row})
        report("elastic", f"fixed, {for_x} and {args.workgroups - for_x} work-groups", row)
    best = max(row["overload_mpps"]["median"] for row in rows)
    half = args.workgroups // 2
    row = throughput(args, folder, {**setup, "shares": [half, args.workgroups - half],
                                    "manager": [*setup["manager"], "--elastic"],
                                    "warm_up": 10 * args.seconds})
    ratio = row["overload_mpps"]["median"] / best
    rows.append({"split": "elastic", "to_best_fixed": ratio, **row})
    report("elastic", f"elastic, from halves ({ratio:.2f}x of the best)", row)
    results["elastic"] = rows
