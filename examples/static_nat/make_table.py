#!/usr/bin/env python3
"""Writes the table of static_nat: lines `FROM TO` or `FROM drop` of IPv4 addresses, to bytes.

Usage: make_table.py RULES TABLE
"""

import ipaddress
import struct
import sys


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    words = []
    with open(sys.argv[1], encoding="ascii") as rules:
        for number, line in enumerate(rules, 1):
            line = line.split("#")[0].split()
            if not line:
                continue
            try:
                source, target = line
                words.append(int(ipaddress.IPv4Address(source)))
                words.append(0 if target == "drop" else int(ipaddress.IPv4Address(target)))
            except ValueError as error:
                sys.exit(f"{sys.argv[1]}:{number}: {error}: write FROM TO, or FROM drop")
    with open(sys.argv[2], "wb") as table:
        table.write(struct.pack(f"<{1 + len(words)}I", len(words) // 2, *words))


main()
