"""Network namespaces and veth pairs. Names contain our pid, so that runs never meet and leftovers can be recognised
and removed."""
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import tempfile

from .process import LabError, run

_PREFIX = "sealcast"
_CLONE_NEWNET = 0x40000000  # setns(2)


def _alive(pid):
    return os.path.exists(f"/proc/{pid}")


def socket_folder():
    """A new folder for UNIX sockets, with our pid in its name, too."""
    return pathlib.Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{os.getpid()}-"))


def remove_leftovers():
    """Removes namespaces and socket folders of runs that were killed before they could clean up."""
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*"):
        match = re.fullmatch(rf"{_PREFIX}-(\d+)-\w+", folder.name)
        if match and not _alive(int(match.group(1))):
            shutil.rmtree(folder, ignore_errors=True)
    for line in run(["ip", "netns", "list"]).stdout.splitlines():
        match = re.match(rf"({_PREFIX}-(\d+)-[a-z0-9-]+)(\s|$)", line)
        if match and not _alive(int(match.group(2))):
            run(["ip", "netns", "delete", match.group(1)], check=False)


class Network:
    """The namespaces of one laboratory. IPv6 is off in all of them, so that only a test's own packets are on the
    links."""

    def __init__(self):
        self._names = []

    def namespace(self, short):
        """Makes a namespace and returns its full name."""
        name = f"{_PREFIX}-{os.getpid()}-{short}"
        self._names.append(name)  # first, so that a signal in between leaves nothing behind
        run(["ip", "netns", "add", name])
        for key in ("all", "default"):
            run(["sysctl", "-q", "-w", f"net.ipv6.conf.{key}.disable_ipv6=1"], namespace=name, check=False)
            run(["sysctl", "-q", "-w", f"net.ipv4.conf.{key}.rp_filter=0"], namespace=name)
        run(["ip", "link", "set", "lo", "up"], namespace=name)
        return name

    def link(self, left, left_interface, right, right_interface, mtu=1500):
        """A veth pair between two namespaces, both ends up, checksums computed by the sender."""
        run(["ip", "link", "add", left_interface, "mtu", mtu, "netns", left, "type", "veth",
             "peer", "name", right_interface, "mtu", mtu, "netns", right])
        for namespace, interface in ((left, left_interface), (right, right_interface)):
            # Linux leaves UDP checksums on veth half done for "hardware" to finish; a gateway must see real ones.
            run(["ethtool", "-K", interface, "tx", "off"], namespace=namespace)
            run(["ip", "link", "set", interface, "up"], namespace=namespace)

    def address(self, namespace, interface, address):
        run(["ip", "address", "add", address, "dev", interface], namespace=namespace)

    def enable_ipv6(self, namespace, interface, address):
        """IPv6 on one interface, usable at once (no duplicate address detection)."""
        for key, value in (("accept_dad", 0), ("router_solicitations", 0), ("disable_ipv6", 0)):
            run(["sysctl", "-q", "-w", f"net.ipv6.conf.{interface}.{key}={value}"], namespace=namespace)
        run(["ip", "address", "add", address, "dev", interface, "nodad"], namespace=namespace)

    def multicast_route(self, namespace, interface):
        run(["ip", "route", "add", "224.0.0.0/4", "dev", interface], namespace=namespace)

    def bridge(self, namespace, name):
        run(["ip", "link", "add", name, "type", "bridge", "mcast_snooping", "0"], namespace=namespace)
        run(["ip", "link", "set", name, "up"], namespace=namespace)

    def plug(self, namespace, bridge, interface):
        run(["ip", "link", "set", interface, "master", bridge], namespace=namespace)

    def set_link(self, namespace, interface, up):
        run(["ip", "link", "set", interface, "up" if up else "down"], namespace=namespace)

    def close(self):
        failed = []
        for name in reversed(self._names):
            run(["ip", "netns", "delete", name], check=False)
            if os.path.exists(f"/run/netns/{name}"):
                failed.append(name)
        self._names = []
        if failed:
            raise LabError(f"namespaces not removed: {' '.join(failed)}")


@contextlib.contextmanager
def inside(namespace):
    """This thread's new sockets are made in `namespace`; they stay there afterwards."""
    target = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _set_network_namespace(target)
        yield
    finally:
        _set_network_namespace(own)
        os.close(target)
        os.close(own)


def _set_network_namespace(descriptor):
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
