"""The network that a soak disturbs: five gateways, two groups, one key server or three over etcd, a stream from
every sender to every listener; a third group that comes and goes, and a gateway that is in one of the two only while
a host listens. Everything here returns at once; soak.py's loop does the waiting."""
import contextlib
import json
import os
import shutil
import signal
import struct

from asking import ask
from lab import programs
from lab.cluster import Cluster
from lab.process import LabError, run
from lab.sealcast import KEYSERVER_PORT, SPI_RANGE, SUITE, KeyServer, Lab, Site, Wire

GROUPS = {"tv": "239.1.1", "radio": "239.1.2"}
PORTS = "5000-5010"
LEASE = 45  # seconds: longer than any event keeps a sender from its key servers
ROLES = {"alpha": {"tv": "sender", "radio": "both"},
         "beta": {"tv": "both", "radio": "sender"},
         "home": {"tv": "receiver", "radio": "receiver"},
         "attic": {"tv": "receiver", "radio": "receiver"},
         "cellar": {"tv": "receiver"}}
ON_DEMAND = {"cellar": "radio"}
PASSING = "news"  # the group that comes and goes
PASSING_AT = {"alpha": "sender", "home": "receiver"}
_ADDRESS = {**GROUPS, PASSING: "239.1.3"}
_FIRST_PORT = 5001
_MAGIC = 0x5EA1CA57  # sealcast-traffic's


def _selectors(group):
    return f'[ {{ destination = "{_ADDRESS[group]}.0/24", protocol = "udp", ports = "{PORTS}" }} ]'


class Place(Site):
    """A gateway and the hosts of its red side."""

    def __init__(self, lab, name):
        super().__init__(lab, name, len(lab.sites) + 1)
        lab.sites.append(self)
        self.roles = ROLES[name]
        self.process = None
        self.stopped = False  # by SIGSTOP
        self.revoked = False
        self.red_keys = []    # blocks of SPIs with keys that it was ever given

    def sends(self, group):
        return self.roles.get(group) in ("sender", "both")

    def demands(self):
        """Groups that it is in only while a host listens."""
        return [ON_DEMAND[self.name]] if self.name in ON_DEMAND else []

    def listens(self, group):
        return self.roles.get(group) in ("receiver", "both")

    def write(self, endpoints, passing=False, black_address=False):
        """passing: with the group that comes and goes. black_address: rekey datagrams may be sent from here."""
        at = int(self.name.encode().hex(), 16) % len(endpoints)  # they do not all begin with the same key server
        self.configure("receiver", keyservers=endpoints, export_keys=True)
        text = self.config.read_text()
        head = text[:text.index("[[member.group]]")]
        if black_address:
            head = head.replace("[black]\n", f'[black]\naddress4 = "{self.black_address}"\n')
        groups = [(group, role, "") for group, role in self.roles.items()]
        if self.name in ON_DEMAND:
            groups.append((ON_DEMAND[self.name], "receiver", 'join = "on-demand"\n'))
        if passing and self.name in PASSING_AT:
            groups.append((PASSING, PASSING_AT[self.name], ""))
        for group, role, more in groups:
            head += f'''
[[member.group]]
id = "{group}"
role = "{role}"
keyservers = {json.dumps(endpoints[at:] + endpoints[:at])}
keyserver_name = "ks.example"
keyserver_id = "ks.example"
selectors = {_selectors(group)}
suite = "{SUITE}"
variant = 2
spi_range = {SPI_RANGE}
{more}'''
        self.config.write_text(head)

    @property
    def black_address(self):
        return self.address.replace("10.1.0.", "10.1.0.20")

    def begin(self):
        """Starts the gateway, without waiting for it."""
        self.keep_blocks()  # a new process creates the file of keys anew
        self.process = self.start(wait=False)
        self.stopped = False

    def kill(self):
        self.process.kill()

    def send_signal(self, number):
        os.kill(self.process.pid, number)
        if number in (signal.SIGSTOP, signal.SIGCONT):
            self.stopped = number == signal.SIGSTOP

    def answers(self):
        return self.process is not None and self.process.running() and not self.stopped

    def status(self):
        return ask(self.admin_socket, {"command": "status"}) if self.answers() else None

    def keep_blocks(self):
        """Records which epochs' keys it was given, by their blocks of SPIs."""
        with contextlib.suppress(FileNotFoundError):
            for line in self.keys.read_text(encoding="ascii").splitlines():
                if line.startswith('"IPv4"'):
                    block = int(line.split('"')[7], 16) >> 16
                    if block not in self.red_keys:
                        self.red_keys.append(block)

    def link(self, up):
        run(["ip", "link", "set", "mgmt0", "up" if up else "down"], self.outside)


def _keyserver_file(address, admin_socket, state, options="", alone=False, passing=False):
    text = f'''[keyserver]
id = "ks.example"
listen = "{address}:{KEYSERVER_PORT}"
certificate = "pki/ks.example.pem"
private_key = "pki/ks.example.key"
ca = "pki/ca.pem"
state = "{state}"
admin_socket = "{admin_socket}"
spi_range = {SPI_RANGE}
{options}
'''
    more = {"tv": 'rekey_on_leave = true\n', "radio": 'epoch_lifetime = "120s"\n', PASSING: ""}
    if alone:  # several key servers inform each member over its connection
        more["tv"] += 'rekey = "multicast"\n'
    senders = {group: [name for name, roles in ROLES.items() if roles.get(group) in ("sender", "both")] for group in GROUPS}
    senders[PASSING] = [name for name, role in PASSING_AT.items() if role == "sender"]
    for group in (*GROUPS, PASSING) if passing else GROUPS:
        text += f'''
[[keyserver.group]]
id = "{group}"
selectors = {_selectors(group)}
suite = "{SUITE}"
variant = 2
mode = "tunnel-preserve"
members = "certificate-group"
senders = {json.dumps(senders[group])}
authority_lease = "{LEASE}s"
{more[group]}'''
    return text


class Server:
    """One key server, alone or a cluster's machine."""

    def __init__(self, lab, name, write, log, config, namespace, admin_socket, machine=None):
        """write(passing): writes the configuration, with or without the group that comes and goes."""
        self.lab, self.name, self.write, self.log, self.config = lab, name, write, log, config
        self.namespace, self.admin_socket, self.machine = namespace, admin_socket, machine
        self.process = None
        write(False)
        self.stopped = False

    def begin(self):
        self.process = self.lab.start(f"key server {self.name}", ["sealcast-keyserver", "-c", self.config], self.log,
                                      self.namespace)
        self.stopped = False

    def send_signal(self, number):
        os.kill(self.process.pid, number)
        if number in (signal.SIGSTOP, signal.SIGCONT):
            self.stopped = number == signal.SIGSTOP

    def answers(self):
        return self.process is not None and self.process.running() and not self.stopped

    def ask(self, request, seconds=0.3):
        return ask(self.admin_socket, request, seconds) if self.answers() else None

    def status(self):
        return self.ask({"command": "status"})

    def serving(self):
        status = self.status()
        return status is not None and status.get("cluster", {}).get("state", "serving") == "serving"


class World:
    def __init__(self, work, binaries, servers, rate, size):
        self.lab = Lab(work, binaries)
        self.rate, self.size = rate, size
        self.cut = set()  # numbers of ports that the wire does not serve
        self.cluster = None
        self._make_pki()
        self.places = {name: Place(self.lab, name) for name in ROLES}
        if servers == 1:
            alone = KeyServer(self.lab)

            def write(passing):
                alone.config.write_text(_keyserver_file(alone.address, alone.admin_socket, "keyserver.db", alone=True,
                                                        passing=passing))
            self.servers = [Server(self.lab, "ks", write, alone.log, alone.config, alone.outside, alone.admin_socket)]
            self.endpoints = [alone.endpoint]
        else:
            self.cluster = Cluster(self.lab)
            self.servers = [self._machine(machine) for machine in self.cluster.machines]
            self.endpoints = self.cluster.endpoints()
        for place in self.places.values():
            self.write(place)

    def write(self, place, passing=False):
        place.write(self.endpoints, passing, black_address=not self.cluster)

    def _make_pki(self):
        self.lab.sealcast("pki", "init", "--dir", "pki")
        self.lab.sealcast("pki", "server", "ks.example", "--dir", "pki")
        for name, roles in ROLES.items():
            names = [*roles, *([ON_DEMAND[name]] if name in ON_DEMAND else []), *([PASSING] if name in PASSING_AT else [])]
            groups = [word for group in names for word in ("--group", group)]
            self.lab.sealcast("pki", "member", name, *groups, "--dir", "pki")

    def _machine(self, machine):
        urls = ", ".join(f'"{url}"' for url in self.cluster.urls_from(machine))
        options = f'[keyserver.cluster]\nname = "{machine.name}"\netcd = [{urls}]\nkey_file = "cluster.key"\n'

        def write(passing):
            machine.config.write_text(_keyserver_file(machine.address, machine.admin_socket, f"ks-{machine.name}.state",
                                                      options, passing=passing))
        return Server(self.lab, machine.name, write, machine.log, machine.config, machine.outside, machine.admin_socket,
                      machine)

    def start(self):
        if self.cluster:
            for machine in self.cluster.machines:
                machine.start_etcd()
        for server in self.servers:
            server.begin()
        for place in self.places.values():
            place.begin()
            place.process.wait_for("is running", 60)
        self.wire = Wire(self.lab, [place.black_socket for place in self.places.values()],
                         pcap=self.lab.work / "black.pcap")

    def streams(self):
        """Starts every listener and every sender; returns (group, sender, listener, sender's record, listener's)."""
        pairs, senders = [], []
        for group in GROUPS:
            for number, sender in enumerate(p for p in self.places.values() if p.sends(group)):
                sent = self.lab.work / f"{group}-{sender.name}.sent"
                port, address = _FIRST_PORT + number, f"{GROUPS[group]}.1"
                for listener in self.places.values():
                    if listener is sender or not listener.listens(group):
                        continue
                    received = self.lab.work / f"{group}-{sender.name}-{listener.name}.received"
                    self._count("receive", listener, port, address, received)
                    pairs.append((group, sender.name, listener.name, sent, received))
                senders.append((sender, port, address, sent))
        # A day: the laboratory ends them.
        for sender, port, address, sent in senders:
            self._count("send", sender, port, address, sent, size=self.size, rate=self.rate, seconds=86400)
        return pairs

    def listen(self, place, group):
        """One more listener of a group's first stream, or of its only one; (program, its record)."""
        record = self.lab.work / f"{group}-{place.name}-passing.received"
        record.unlink(missing_ok=True)
        return self._count("receive", place, _FIRST_PORT, f"{_ADDRESS[group]}.1", record), record

    def first_sender(self, group):
        """The sender whose stream listen() receives."""
        return next(place.name for place in self.places.values() if place.sends(group))

    def send_passing(self, place):
        record = self.lab.work / f"{PASSING}-{place.name}.sent"
        record.unlink(missing_ok=True)
        return self._count("send", place, _FIRST_PORT, f"{_ADDRESS[PASSING]}.1", record, size=self.size, rate=self.rate,
                           seconds=86400)

    def _count(self, verb, place, port, address, record, **options):
        counting = programs.Counting(self.lab.tool("sealcast-traffic"), verb, place.red, place.address,
                                     self.lab.work / f"{record.name}.log", port=port, group=address, record=record, **options)
        self.lab.adopt(counting.process)
        return counting

    def plain_bytes(self):
        """The first bytes of every datagram of the streams: magic and size, as its sender writes them."""
        return struct.pack("=II", _MAGIC, self.size)

    def set_black(self, place, up):
        """Takes a gateway off the black wire, or puts it on again."""
        number = list(self.places).index(place.name)
        (self.cut.discard if up else self.cut.add)(number)
        islands = ",".join(str(n) for n in range(len(self.places)) if n not in self.cut)
        self.wire.order(f"partition {islands}" if self.cut else "heal")

    def leader(self):
        """The leader, as it reports itself; the only one there is; None if there is no leader."""
        if not self.cluster:
            return self.servers[0]
        for server in self.servers:
            status = server.status()
            if status and status["cluster"]["leading"]:
                return server
        return None

    def answering(self):
        """Key servers that serve, as they report."""
        return [server for server in self.servers if server.serving()]

    def close(self):
        for place in self.places.values():
            if place.stopped:
                place.send_signal(signal.SIGCONT)
        for server in self.servers:
            if server.stopped:
                server.send_signal(signal.SIGCONT)
        self.lab.close()


def etcd_there():
    return all(shutil.which(tool) for tool in ("etcd", "etcdctl"))


__all__ = ["GROUPS", "LEASE", "ON_DEMAND", "PASSING", "PASSING_AT", "LabError", "Place", "Server", "World", "etcd_there"]
