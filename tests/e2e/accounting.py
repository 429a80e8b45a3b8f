"""What the statistics say became of each packet, and that it adds up."""

import json


def summed(stats):
    """What every packet became, by kind."""
    ports, nfs = stats["ports"], stats["nfs"]
    return {
        "rx": sum(port["rx_packets"] for port in ports),
        "originated": sum(nf["originated"] for nf in nfs),
        "tx": sum(port["tx_packets"] for port in ports),
        "nf_drops": sum(sum(nf["drops"].values()) for nf in nfs),
        "drops": sum(stats["drops"].values()),
        "lost_in_crash": sum(nf["lost_in_crash"] for nf in nfs),
        "in_flight": stats["in_flight"],
    }


def assert_exact(stats):
    """Every packet of the platform's life is accounted for, exactly, and none is left."""
    total = summed(stats)
    came = total["rx"] + total["originated"]
    went = sum(total[kind] for kind in ("tx", "nf_drops", "drops", "lost_in_crash", "in_flight"))
    shown = json.dumps(stats, indent=1)
    assert came == went, f"came {came}, went {went}: {total}\n{shown}"
    assert stats["in_flight"] == 0, shown
    assert stats["audit"]["ok"], shown
    assert stats["pool"]["free"] == stats["pool"]["size"], shown


def drops_of(stats, service):
    """The drop reasons of all instances of a service, those that are not 0."""
    reasons = {}
    for nf in stats["nfs"]:
        if nf["service"] == service:
            for reason, n in nf["drops"].items():
                reasons[reason] = reasons.get(reason, 0) + n
    return {reason: n for reason, n in reasons.items() if n}
