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
    return row[key]["median"] if row.get(key) else 0.0


def errors(rows, key):
    return [[median(r, key) - r[key]["low"] if r.get(key) else 0 for r in rows],
            [r[key]["high"] - median(r, key) if r.get(key) else 0 for r in rows]]


def limit_line(axes, results, key, unit, name):
    """A line at what nothing can pass; where it would flatten the rest, it is said instead."""
    limit = results.get("limits", {}).get(key)
    if not limit:
        return
    label = f"{name}: {limit['median']:.0f} {unit}"
    style = ("--", "-.", ":")[sum(line.get_color() == "black" for line in axes.lines) % 3]
    highest = axes.get_ylim()[1]
    if limit["median"] < 3 * highest:
        axes.axhline(limit["median"], linestyle=style, color="black", linewidth=1, label=label)
        axes.set_ylim(top=max(highest, 1.05 * limit["median"]))
    else:
        axes.axhline(highest, linestyle=style, color="black", linewidth=1,
                     label=f"{label}, {limit['median'] / highest:.0f} times the top")


def bars(axes, rows, labels, unit):
    """Under overload and without loss, side by side; the latter with its p99."""
    if any(r.get("loss_free_latency") for r in rows):
        width = 0.4
    else:
        width = 0.8
    for i, (kind, name) in enumerate((("overload", "overload"), ("loss_free", "without loss"))):
        key = f"{kind}_{unit}"
        if not any(r.get(key) for r in rows):
            continue
        places = [at + i * width for at in range(len(rows))]
        axes.bar(places, [median(r, key) for r in rows], width=width, yerr=errors(rows, key),
                 capsize=2, label=name)
        for at, row in zip(places, rows):
            if kind == "loss_free" and row.get("loss_free_latency"):
                late = row["loss_free_latency"]["p99_us"]["median"]
                axes.annotate(f"{late:.0f}", (at, median(row, key)), ha="center", va="bottom",
                              fontsize=6)
    axes.set_xticks([at + width / 2 * (width < 0.8) for at in range(len(rows))], labels, rotation=60,
                    ha="right", fontsize=7)


UNITS = {"mpps": "Mpps", "gbps": "Gbps"}


def draw_bars(axes, results, rows, unit, limits, labels=None):
    bars(axes, rows, labels or [r["label"] for r in rows], unit)
    axes.set(ylabel=f"{UNITS[unit]}; numbers: p99 latency without loss, us")
    for key, name in limits:
        limit_line(axes, results, key, UNITS[unit], name)


def draw_fig3(axes, results):
    rows = results["fig3"]
    for rounds in sorted({r["rounds_in_flight"] for r in rows if "rounds_in_flight" in r}):
        line(axes, [r for r in rows if r.get("rounds_in_flight") == rounds],
             f"zero copy, persistent, {rounds} rounds in flight", marker="o")
    copied = [r for r in rows if "batches_in_flight" in r]
    for n in sorted({r["batches_in_flight"] for r in copied}):
        # The batch size that is best with the longest packets, of each number in flight.
        own = [r for r in copied if r["batches_in_flight"] == n]
        longest = max(r["bytes"] for r in own)
        best = max((r for r in own if r["bytes"] == longest), key=lambda r: median(r, "gbps"))
        line(axes, [r for r in own if r["batch_packets"] == best["batch_packets"]],
             f"copy and relaunch, {n} batches of {best['batch_packets']} in flight", marker="s",
             linestyle=":")
    limit_line(axes, results, "read_write_gbps", "Gbps", "read and written over the bus")
    limit_line(axes, results, "copy_in_gbps", "Gbps", "one large copy")
    axes.set(xlabel="packet size, bytes", ylabel="Gbps, read and written")


def line(axes, rows, label, **style):
    axes.errorbar([r["bytes"] for r in rows], [median(r, "gbps") for r in rows],
                  yerr=errors(rows, "gbps"), capsize=3, label=label, **style)


def draw_fig4(axes, results):
    rows = sorted(results["fig4"], key=lambda r: (r["gpu_nfs"], r["syncers"], r["rx_threads"]))
    labels = [f"{r['gpu_nfs']} NF, {r['syncers']} syncers, {r['rx_threads']} RX" for r in rows]
    draw_bars(axes, results, rows, "mpps", [("slots_mpps", "slots alone, 64 B"),], labels)


def draw_fig5(axes, results):
    rows = sorted(results["fig5"], key=lambda r: (r["nf"], r["bytes"], r["compute"]))
    draw_bars(axes, results, rows, "gbps",
              [("read_gbps", "read by the device"), ("read_write_gbps", "read and written")])
    for color, library in enumerate(results.get("fig5_libraries", ())):
        if library["bytes"] > 1400:
            axes.axhline(median(library, "gbps"), color=f"C{color % 8 + 2}", linewidth=0.8,
                         label=f"{library['library']} alone, {library['cores']} cores, "
                               f"{library['bytes']} B")


def draw_fig6(axes, results):
    draw_bars(axes, results, results["fig6"], "gbps", [("read_gbps", "read by the device")])


def draw_fig7(axes, results):
    draw_bars(axes, results, results["fig7"], "mpps", [("slots_mpps", "slots alone, 64 B")])


def draw_fig8(axes, results):
    """For each watt where there are watts, else for each core."""
    key, unit = "gbps_per_watt", "Gbps for each watt of the device that does the work"
    if not any(r[key] for r in results["fig8"]):
        key, unit = "gbps_per_core", "Gbps for each core (GPU: CUDA core)"
    rows = [r for r in results["fig8"] if r[key]]
    axes.bar(range(len(rows)), [r[key] for r in rows])
    for at, row in enumerate(rows):
        per_core = row["gbps_per_core"]
        axes.annotate(f"{row['overload_gbps']['median']:.1f} Gbps"
                      + (f"\n{1e3 * per_core:.2f} Mbps/core" if per_core else ""),
                      (at, row[key]), ha="center", va="bottom", fontsize=6)
    axes.set_xticks(range(len(rows)), [r["label"] for r in rows], rotation=60, ha="right", fontsize=7)
    axes.set(ylabel=unit)
    limit = results.get("limits", {}).get("read_gbps")
    watts = [r["watts"]["gpu"]["median"] for r in rows if r["compute"].startswith("gpu") and r["watts"].get("gpu")]
    if limit and watts and key == "gbps_per_watt":
        most = limit["median"] / max(watts)
        axes.axhline(most, linestyle="--", color="black", linewidth=1,
                     label=f"what the bus brings in, at {max(watts):.0f} W: {most:.2f}")


def draw_elastic(axes, results):
    rows = results["elastic"]
    draw_bars(axes, results, rows, "mpps", [("slots_mpps", "slots alone, 64 B")],
              [str(r["split"]) for r in rows])
    axes.set(xlabel="work-groups of the two GPU NFs; 93 % of the packets to the first")


FIGURES = {"fig3": draw_fig3, "fig4": draw_fig4, "fig5": draw_fig5, "fig6": draw_fig6,
           "fig7": draw_fig7, "fig8": draw_fig8, "elastic": draw_elastic}


def draw_all(path, folder):
    """A file for each figure that the JSON has."""
    results = json.loads(path.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        if not results.get(name):
            print(f"{name}: not in {path}")
            continue
        figure, axes = plt.subplots(figsize=(10, 6.5))
        draw(axes, results)
        axes.set_title(f"{name}: {results['machine']['gpu']}, {results['machine']['cpu']}", fontsize=8)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.04), ncols=3)
        figure.tight_layout()
        out = folder / f"{name}.png"
        figure.savefig(out, dpi=120)
        plt.close(figure)
        print(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("."))
    args = parser.parse_args()
    draw_all(args.json, args.folder)


if __name__ == "__main__":
    main()
