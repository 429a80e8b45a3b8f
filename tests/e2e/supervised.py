"""Instances of a service as a supervisor keeps them, and gpu_host as the manager does."""

import os
import signal

from harness import pid_of_gpu_host, wait_until


def pid_of(platform, service, instance=0):
    """The process that has the place, once there is one."""
    def pid(status):
        return platform.instances(service, status).get(instance, {}).get("pid", 0)

    return pid(platform.wait_for(lambda status: pid(status) > 0, f"{service}/{instance} has a process"))


def kill_instance(platform, service, number=signal.SIGKILL, instance=0):
    pid = pid_of(platform, service, instance)
    os.kill(pid, number)
    return pid


def wait_successor(platform, service, old, instance=0):
    """Waits until another process than the old one runs in that place."""
    def there(status):
        nf = platform.instances(service, status).get(instance, {})
        return nf.get("state") == "running" and nf["pid"] != old

    return platform.wait_for(there, f"{service}/{instance} runs again")


def kill_gpu_host(platform):
    """kill -9; returns its pid once the manager has seen the death, from when on the states that it
    shows are of the time after it. How long they last is the next gpu_host's affair."""
    pid = pid_of_gpu_host(platform)
    seen = n_deaths(platform)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: n_deaths(platform) > seen,
               lambda: f"the manager sees that gpu_host {pid} died\n{platform.report()}")
    return pid


def n_deaths(platform):
    """How many ends of gpu_host the manager has told of."""
    return sum(platform.manager.stderr.count(words)
               for words in ("gpu_host died (", "gpu_host is in a crash loop"))


def wait_next_gpu_host(platform, service, old):
    """Waits until the GPU NF runs in another gpu_host than the old one."""
    return platform.wait_for(lambda status: platform.nf(service, status).get("state") == "running"
                             and pid_of_gpu_host(platform) not in (None, old),
                             f"{service} runs in a new gpu_host")
