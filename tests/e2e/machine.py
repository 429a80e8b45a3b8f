"""What a platform has on the machine: its processes, its files in shared places, its hugepages."""

import os
import re
import subprocess
from pathlib import Path

HUGEPAGES = Path("/dev/hugepages")

# Every process of a platform inherits this, so that strays are found whatever their parent is.
MARK = "HB_E2E_PREFIX"


def processes_of(prefix):
    """Pids of all living processes that a platform started, directly or not."""
    mark = f"{MARK}={prefix}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass  # ended meanwhile
    return found


def pid_of_gpu_host(platform):
    """The platform's process with that name that the manager has started, not its helpers."""
    for pid in processes_of(platform.prefix):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            if (os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "gpu_host"
                    and int(stat.rpartition(")")[2].split()[1]) == platform.manager.pid):
                return pid
        except OSError:
            pass  # ended meanwhile
    return None


def files_of(prefix):
    """All files and folders that a platform of that prefix may leave in shared places."""
    name = f"hummingbird-{prefix}"
    found = [Path("/run/hummingbird") / prefix, Path("/var/run/dpdk") / name]
    found = [path for path in found if path.exists()]
    for folder in (HUGEPAGES, Path("/dev/shm"), Path("/run/hummingbird")):
        if folder.is_dir():
            found += [path for path in folder.iterdir()
                      if re.search(rf"(^|[^0-9A-Za-z]){re.escape(prefix)}([^0-9]|$)", path.name)
                      and path not in found]
    return found


def assert_nothing_left(prefix):
    """No process, no shared memory, no hugepage file, no runtime folder."""
    assert not (pids := processes_of(prefix)), [_command_of(pid) for pid in pids]
    assert not (files := files_of(prefix)), files


def _command_of(pid):
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return f"{pid}: {b' '.join(words).decode(errors='replace')}"
    except OSError:
        return f"{pid}: ended"


def hugepages_missing(wanted=256):
    """Reserves and mounts 2 MiB hugepages where needed. Returns why there are none, else None."""
    pool = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    try:
        if int(pool.read_text()) < wanted:
            pool.write_text(str(wanted))
        if int(pool.read_text()) < wanted:
            return f"the kernel has fewer than {wanted} hugepages of 2 MiB to give"
        if not os.path.ismount(HUGEPAGES):
            HUGEPAGES.mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", "hugetlbfs", "nodev", str(HUGEPAGES)], check=True,
                           capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no hugepages: {error}"
    return None
