#!/usr/bin/env python3
"""Draws what figures.py wrote: a PNG for each figure, the hardware's limit as a line in each.

Needs matplotlib (Debian: python3-matplotlib).
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def median(row, key):
    return row[key]["median"]


def errors(rows, key):
    return [[median(r, key) - r[key]["low"] for r in rows],
            [r[key]["high"] - median(r, key) for r in rows]]


def limit_line(axes, results, key, unit):
    limit = results.get("limits", {}).get(key)
    if limit:
        axes.axhline(limit["median"], linestyle="--", color="grey",
                     label=f"limit measured here: {limit['median']:.0f} {unit}")


def draw_fig3(axes, results):
    for way, name in (("read_write", "zero copy"), ("staged_read_write", "copy, launch, copy")):
        for rounds in sorted({row["rounds_in_flight"] for row in results["fig3"]}):
            rows = [row for row in results["fig3"]
                    if row["way"] == way and row["rounds_in_flight"] == rounds]
            if rows:
                axes.errorbar([row["bytes"] for row in rows], [median(row, "gbps") for row in rows],
                              yerr=errors(rows, "gbps"), marker="o", capsize=3,
                              label=f"{name}, {rounds} rounds in flight")
    limit_line(axes, results, "read_write_gbps", "Gbps")
    axes.set(xlabel="packet size, bytes", ylabel="Gbps, read and written")


def bars(axes, rows, labels, key):
    places = range(len(rows))
    axes.bar(places, [median(row, key) for row in rows], yerr=errors(rows, key), capsize=3)
    axes.set_xticks(list(places), labels, rotation=60, ha="right", fontsize=7)


def draw_fig4(axes, results):
    rows = results["fig4"]
    bars(axes, rows, [f"{r['gpu_nfs']} NF, {r['syncers']} syncers, {r['rx_threads']} RX"
                      for r in rows], "overload_mpps")
    limit_line(axes, results, "slots_mpps", "Mpps")
    axes.set(ylabel="Mpps, 64 bytes, overload")


def draw_fig5(axes, results):
    rows = results["fig5"]
    bars(axes, rows, [f"{r['nf']} {r['compute']} {r['bytes']} B" for r in rows], "overload_gbps")
    limit_line(axes, results, "read_gbps", "Gbps")
    axes.set(ylabel="Gbps, overload")


def draw_fig6(axes, results):
    rows = results["fig6"]
    bars(axes, rows, [f"ipsec {r['ipsec']}, NIDS {r['nids']}" for r in rows], "overload_gbps")
    limit_line(axes, results, "read_gbps", "Gbps")
    axes.set(ylabel="Gbps, ipsec - nids - router, overload")


def draw_fig7(axes, results):
    rows = results["fig7"]
    bars(axes, rows, [f"{r['chain']}, {r['bytes']} B" for r in rows], "overload_mpps")
    limit_line(axes, results, "slots_mpps", "Mpps")
    axes.set(ylabel="Mpps, overload")


def draw_elastic(axes, results):
    rows = results["elastic"]
    bars(axes, rows, [str(r["split"]) for r in rows], "overload_mpps")
    axes.set(xlabel="work-groups of the two GPU NFs; 93 % of the packets to the first",
             ylabel="Mpps, overload")


FIGURES = {"fig3": draw_fig3, "fig4": draw_fig4, "fig5": draw_fig5, "fig6": draw_fig6,
           "fig7": draw_fig7, "elastic": draw_elastic}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("."))
    args = parser.parse_args()
    results = json.loads(args.json.read_text())
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        if not results.get(name):
            print(f"{name}: not in {args.json}")
            continue
        figure, axes = plt.subplots(figsize=(9, 5.5))
        draw(axes, results)
        axes.set_title(f"{name}: {results['machine']['gpu']}, {results['machine']['cpu']}", fontsize=8)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
        figure.tight_layout()
        path = args.folder / f"{name}.png"
        figure.savefig(path, dpi=120)
        plt.close(figure)
        print(path)


if __name__ == "__main__":
    main()
