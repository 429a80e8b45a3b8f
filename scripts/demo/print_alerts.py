#!/usr/bin/python3
"""Prints an EVE alerts file (JSON lines) as lines for people. Usage: print_alerts.py FILE [MOST]"""

import json
import sys


def end_point(address: str, port: object) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def main() -> int:
    path = sys.argv[1]
    most = int(sys.argv[2]) if len(sys.argv) > 2 else None
    with open(path, encoding="utf-8") as lines:
        alerts = [json.loads(line) for line in lines if line.strip()]
    alerts.sort(key=lambda a: (a.get("pcap_cnt", 0), a["alert"]["signature_id"]))
    for a in alerts[:most]:
        source = end_point(a["src_ip"], a.get("src_port"))
        target = end_point(a["dest_ip"], a.get("dest_port"))
        rule = a["alert"]
        print(f"{a['timestamp']}  packet {a.get('pcap_cnt', '?'):>5}  {a['proto']:<5} "
              f"{source} -> {target}  [{rule['signature_id']}:{rule.get('rev', 0)}] "
              f"{rule['signature']}")
    if most is not None and len(alerts) > most:
        print(f"... and {len(alerts) - most} more")
    return 0


if __name__ == "__main__":
    sys.exit(main())
