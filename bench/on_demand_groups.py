"""on_demand_groups.py [GROUPS ...]: a receiver's gateway with so many groups joined on demand (1, 100 and 1,000 by
default): hosts on red report all at once, stay, and leave. SEALCAST_BIN names the build's bin/, SEALCAST_WORK a folder
to work in.

As root, on a machine with nothing else to do. No stream runs: it measures joining, holding and leaving, by the
gateway's main thread and the key server. Workers handle packets, and a silent group costs a worker nothing."""
import json
import os
import pathlib
import re
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "e2e"))
from lab import igmp, net  # noqa: E402
from lab.process import wait_until  # noqa: E402
from lab.sealcast import KeyServer, Lab, Wire  # noqa: E402

_QUERIES = 200  # a second; a gateway listens to 256
_HELD = 10  # seconds
_HERTZ = os.sysconf("SC_CLK_TCK")


class _Use:
    """CPU time of a process and of its main thread in seconds, its memory in bytes."""

    def __init__(self, process):
        def ticks(path):
            fields = pathlib.Path(path).read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _HERTZ
        pid = process.child.pid
        self.cpu, self.main = ticks(f"/proc/{pid}/stat"), ticks(f"/proc/{pid}/task/{pid}/stat")
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        self.resident = int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024


def _repeated(text, table, addresses):
    """The configuration with its one group replaced by one for each address."""
    start = text.index(table)
    one = text[start:]
    selectors = next(line for line in one.splitlines() if line.startswith("selectors = "))
    return text[:start] + "\n".join(
        one.replace('id = "tv"', f'id = "g{i}"').replace(selectors, f'selectors = [ {{ destination = "{address}/32" }} ]')
        for i, address in enumerate(addresses))


def measure(binaries, work, count):
    shutil.rmtree(work, ignore_errors=True)
    addresses = [f"239.{16 + i // 65536}.{i // 256 % 256}.{i % 256}" for i in range(count)]
    with Lab(work, binaries, checked=False) as lab:
        lab.sealcast("pki", "init", "--dir", "pki")
        lab.sealcast("pki", "server", "ks.example", "--dir", "pki")
        for name in ("home", "other"):
            lab.sealcast("pki", "member", name, "--all-groups", "--dir", "pki")
        home, other = lab.site("home"), lab.site("other")  # a wire has two ends
        server = KeyServer(lab)
        server.config.write_text(_repeated(server.config.read_text(), "[[keyserver.group]]", addresses))
        keyserver = server.start()
        home.configure("receiver", keyservers=[server.endpoint], group_lines='join = "on-demand"')
        home.config.write_text(_repeated(home.config.read_text(), "[[member.group]]", addresses))
        other.configure("receiver", keyservers=[server.endpoint])
        other.config.write_text(_repeated(other.config.read_text(), "[[member.group]]", addresses[:1]))
        other.start()
        Wire(lab, [home.black_socket, other.black_socket], pcap=lab.work / "wire.pcap")
        gateway = home.start()
        wait_until(home.linked, 30, "the gateway's links")

        def joined():
            return home.status()["agent"]["joined"]

        def wait_for(number, seconds, what):
            """Not too often: the answer names every group, and the main thread has to make it, too."""
            end = time.monotonic() + seconds
            while joined() != number:
                if time.monotonic() > end:
                    raise SystemExit(f"waited {seconds} s for {what}; logs are in {work}")
                time.sleep(0.2)

        def held():
            """Share of a core that the gateway's main thread takes while nothing happens."""
            time.sleep(1)
            before = _Use(gateway)
            time.sleep(_HELD)
            return (_Use(gateway).main - before.main) / _HELD
        out = {"groups": count, "idle_core": held()}
        host = igmp.link(home.red)
        before, server_before, began = _Use(gateway), _Use(keyserver), time.monotonic()
        for frame in igmp.reports(addresses):
            host.send(frame)
        wait_for(count, 120, "all groups to be joined")
        after, server_after = _Use(gateway), _Use(keyserver)
        out.update(join_s=time.monotonic() - began, join_cpu_s=after.main - before.main,
                   join_server_cpu_s=server_after.cpu - server_before.cpu,
                   gateway_bytes_each=(after.resident - before.resident) / count,
                   server_bytes_each=(server_after.resident - server_before.resident) / count,
                   connections=home.status()["agent"]["connections"], held_core=held())
        before = _Use(gateway)
        for address in addresses:
            host.send(igmp.query(address))
            time.sleep(1 / _QUERIES)
        began = time.monotonic()
        wait_for(0, 60, "all groups to be left")
        out.update(leave_s=time.monotonic() - began, leave_cpu_s=_Use(gateway).main - before.main)
        host.close()
        keys = home.key_count()
        if keys:
            raise SystemExit(f"{keys} keys are left of groups without listeners")
    return out


def main():
    if os.geteuid() != 0:
        sys.exit("network namespaces and hugepages are needed: run as root")
    counts = [int(word) for word in sys.argv[1:]] or [1, 100, 1000]
    binaries = pathlib.Path(os.environ.get("SEALCAST_BIN", "build/release/bin"))
    work = pathlib.Path(os.environ.get("SEALCAST_WORK", "build/release/bench-work"))
    net.remove_leftovers()
    found = [measure(binaries, work, count) for count in counts]
    print(json.dumps(found, indent=2))
    print("\n| groups on demand | all joined after | gateway's main thread, key server: CPU for that | memory each, gateway, key server "
          "| all left, after the last question | main thread while nothing happens: none joined, all joined |\n"
          "|---|---|---|---|---|---|")
    for one in found:
        print(f"| {one['groups']:,} | {one['join_s']:.2f} s over {one['connections']} connection(s) "
              f"| {one['join_cpu_s']:.2f} s, {one['join_server_cpu_s']:.2f} s "
              f"| {one['gateway_bytes_each'] / 1024:.1f} KiB, {one['server_bytes_each'] / 1024:.1f} KiB "
              f"| {one['leave_s']:.1f} s | {one['idle_core'] * 100:.1f} %, {one['held_core'] * 100:.1f} % of a core |")


if __name__ == "__main__":
    main()
