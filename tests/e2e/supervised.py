"""Instances of a service as a supervisor keeps them."""

import os
import signal


def pid_of(platform, service, instance=0):
    return platform.instances(service, platform.status())[instance]["pid"]


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
