"""Sealcast's own programs in the laboratory: PKI, configurations, key server, gateways and the black wire."""
import json
import pathlib
import shutil
import socket

from . import nonces, plaintext
from .net import Network, socket_folder
from .process import LabError, Process, run

KEYSERVER_PORT = 7400
SPI_RANGE = '["0x10000000", "0x1fffffff"]'
SUITE = "ECDHE_ECDSA_AES_256_GCM_SHA384"
SELECTORS = '[ { destination = "239.1.1.0/24", protocol = "udp", ports = "5000-5010" } ]'
CHECKED = ("sealcast-gateway", "sealcast-keyserver")  # have a build that records nonces
_NAP_US = 500  # ten times what is usual: gateways of slow streams leave the processors to others
_MEMORY_MB = 96  # each process of the laboratory: a few thousand packets and the rings of two ports


class Site:
    """One place: a red namespace where ordinary programs run, and its gateway's namespace with a management address."""

    def __init__(self, lab, name, number):
        self.lab = lab
        self.name = name
        self.address = f"10.1.0.{number}"     # red: one subnet, because the gateways bridge it
        self.management = f"10.9.0.{number}"  # where the gateway reaches the key server
        self.red = lab.network.namespace(name)
        self.outside = lab.network.namespace(f"gw-{name}")
        lab.network.link(self.red, "eth0", self.outside, "red")
        lab.network.address(self.red, "eth0", f"{self.address}/24")
        lab.network.multicast_route(self.red, "eth0")
        lab.plug_management(self.outside, name, self.management)
        self.black_socket = lab.sockets / f"{name}-black.sock"
        self.admin_socket = lab.sockets / f"{name}.sock"
        self.config = lab.work / f"{name}.toml"
        self.keys = lab.work / f"{name}-sa-keys.txt"
        self.log = lab.work / f"{name}.log"

    def configure(self, role, certificate=None, keyservers=None, embedded=False, group="tv", export_keys=False,
                  black=None, black_mtu=1600, keyserver_name="ks.example", keyserver_options=None,
                  selectors=SELECTORS, group_lines=""):
        """Writes the gateway's configuration. `certificate` is the base name in the PKI folder; `black` a port string;
        `group_lines` more keys of the group."""
        certificate = certificate or self.name
        keyservers = keyservers or [f"{self.management}:{KEYSERVER_PORT}"]
        text = f'''[gateway]
admin_socket = "{self.admin_socket}"
state = "{self.name}.state"
workers = 1
memory_mb = {_MEMORY_MB}
idle_nap_us = {_NAP_US}
'''
        if export_keys:
            text += f'export_keys = "{self.keys.name}"\n'
        text += f'''
[red]
device = "af_packet:red"
mtu = 1500

[black]
device = "{black or f"vhost-user:{self.black_socket}"}"
mtu = {black_mtu}

[member]
certificate = "pki/{certificate}.pem"
private_key = "pki/{certificate}.key"
ca = "pki/ca.pem"
local_address = "{self.management}"

[[member.group]]
id = "{group}"
role = "{role}"
keyservers = {json.dumps(keyservers)}
keyserver_name = "{keyserver_name}"
keyserver_id = "ks.example"
selectors = {selectors}
suite = "{SUITE}"
variant = 2
spi_range = {SPI_RANGE}
{group_lines}
'''
        if embedded:
            text += "\n" + keyserver_table(self.management, embedded=True, **(keyserver_options or {}))
        self.config.write_text(text)
        return self

    def start(self, wait=True):
        """Starts (or restarts) the gateway; returns its Process, ready when `wait` is set."""
        process = self.lab.start(f"gateway {self.name}", ["sealcast-gateway", "-c", self.config], self.log, self.outside)
        if wait:
            process.wait_for("is running", 30)
        return process

    def status(self):
        return self.lab.status(self.admin_socket)

    def opened(self):
        return self.status()["dataplane"]["opened"]

    def key_count(self):
        """How many SPIs it has a key for, of any group."""
        plane = self.status()["dataplane"]
        return len(plane["sas"]) + plane["sas_unheard"]

    def membership(self):
        """The member agent's state of its one group."""
        return self.status()["agent"]["groups"][0]

    def linked(self):
        """Both links up, and done with listening for other gateways. A frame sent until then is lost."""
        return _passes(self.status()["dataplane"])

    def ready(self):
        """Joined, linked and, for a sender, an SA that seals."""
        status = self.status()
        group, plane = status["agent"]["groups"][0], status["dataplane"]
        sealing = group["role"] == "receiver" or any(sa["direction"] == "out" and sa["active"] for sa in plane["sas"])
        return group["state"] == "joined" and sealing and _passes(plane)


def _passes(plane):
    return plane["red_segment"]["state"] != "listens" and all(port["link_up"] for port in plane["ports"])


def keyserver_table(address, embedded=False, admin_socket=None, server_options="", group_options="",
                    selectors=SELECTORS, mode="tunnel-preserve"):
    """The [keyserver] table and its one group; the same text in a gateway's file and in the key server's own."""
    text = "[keyserver]\n"
    if embedded:
        text += "embedded = true\n"
    if admin_socket:
        text += f'admin_socket = "{admin_socket}"\n'
    return text + f'''id = "ks.example"
listen = "{address}:{KEYSERVER_PORT}"
certificate = "pki/ks.example.pem"
private_key = "pki/ks.example.key"
ca = "pki/ca.pem"
state = "keyserver.db"
spi_range = {SPI_RANGE}
{server_options}
[[keyserver.group]]
id = "tv"
selectors = {selectors}
suite = "{SUITE}"
variant = 2
mode = "{mode}"
members = "certificate-group"
senders = ["studio"]
{group_options}'''


class Lab:
    """Everything that one test or the demo needs; close() (or the end of a with block) removes it.

    work: folder for configurations, logs and captures. binaries: a build's bin/ folder. checked: gateways and key
    servers are those that record their nonces (tests/nonces/); faults() then reports repeats.
    """

    def __init__(self, work, binaries, checked=True):
        self.work = pathlib.Path(work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.binaries = pathlib.Path(binaries).resolve()
        # UNIX socket paths are short (107 bytes), build trees may be deep.
        self.sockets = socket_folder()
        self.network = Network()
        self.sites = []
        self.wires = []
        self._checked = checked
        self.nonce_logs = self.work / "nonces"
        if checked:
            self.nonce_logs.mkdir(exist_ok=True)
        self._processes = []
        self.management = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for process in reversed(self._processes):
            process.stop()
        self.network.close()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def tool(self, name):
        path = self.binaries / name
        if not path.exists():
            raise LabError(f"{path} is missing: build it first")
        return path

    def start(self, name, argv, log, namespace=None, stdout=None):
        """Starts one of our programs; it ends with the laboratory at the latest."""
        program, environment = argv[0], {}
        if self._checked and program in CHECKED:
            program, environment = f"{program}-checked", {"SEALCAST_NONCE_LOG": str(self.nonce_logs)}
        process = Process(name, [self.tool(program), *argv[1:]], log, namespace, stdout, environment)
        self._processes.append(process)
        return process

    def adopt(self, process):
        """Lets an ordinary program end with the laboratory."""
        self._processes.append(process)
        return process

    def faults(self):
        """Breaches, one line each: a nonce used twice by any processes of this laboratory (KEY-2); plaintext on a
        wire, or a packet under a nonce that no process recorded (H10). Call it when all have ended."""
        runs = nonces.read_all([self.nonce_logs]) if any(self.nonce_logs.glob("*")) else []
        found = [f"nonce used twice: {line}" for line in nonces.repeats(runs)]
        recorded = nonces.Recorded(runs)
        selectors = plaintext.protected(site.config for site in self.sites if site.config.exists())
        for wire in self.wires:
            strange = []

            def hold_against_records(spi, iv):
                if self._checked and not recorded.has(spi, iv):
                    strange.append(f"SPI 0x{spi:08x}, IV {iv}")
            watch = plaintext.Watch(wire.pcap, selectors, hold_against_records)
            found += [f"plaintext on the wire, {wire.pcap}: {line}" for line in watch.look()]
            if strange:
                found.append(f"{len(strange)} packets in {wire.pcap} under nonces that no process recorded: {strange[:3]}")
        return found

    def sealcast(self, *arguments, check=True, namespace=None):
        """Runs the operator's tool in the work folder."""
        return run([self.tool("sealcast"), *arguments], check=check, cwd=self.work, namespace=namespace)

    def make_pki(self, members):
        """CA, the key server's certificate and one for each member: name → group that it may join."""
        self.sealcast("pki", "init", "--dir", "pki")
        self.sealcast("pki", "server", "ks.example", "--dir", "pki")
        for name, group in members.items():
            self.sealcast("pki", "member", name, "--group", group, "--dir", "pki")

    def plug_management(self, namespace, name, address):
        """Connects a namespace to the management network, a bridge with nothing else on it."""
        if self.management is None:
            self.management = self.network.namespace("mgmt")
            self.network.bridge(self.management, "br0")
        port = f"to-{name}"[:15]
        self.network.link(namespace, "mgmt0", self.management, port)
        self.network.plug(self.management, "br0", port)
        self.network.address(namespace, "mgmt0", f"{address}/24")

    def site(self, name):
        site = Site(self, name, len(self.sites) + 1)
        self.sites.append(site)
        return site

    def capture(self, namespace, interface, path, expression=""):
        """tcpdump on one interface, ready when this returns."""
        process = self.adopt(Process("tcpdump", ["tcpdump", "--immediate-mode", "-U", "-i", interface, "-w", path, expression],
                                     f"{path}.log", namespace))
        process.wait_for("listening on", 5)
        return process

    def status(self, admin_socket):
        return json.loads(self.sealcast("status", "--json", "--socket", admin_socket).stdout)


class KeyServer:
    """sealcast-keyserver in a namespace of its own on the management network."""

    def __init__(self, lab, address="10.9.0.100", **table):
        self.lab = lab
        self.address = address
        self.outside = lab.network.namespace("ks")
        lab.plug_management(self.outside, "ks", address)
        self.admin_socket = lab.sockets / "ks.sock"
        self.config = lab.work / "keyserver.toml"
        self.config.write_text(keyserver_table(address, admin_socket=self.admin_socket, **table))
        self.log = lab.work / "keyserver.log"

    @property
    def endpoint(self):
        return f"{self.address}:{KEYSERVER_PORT}"

    def start(self):
        process = self.lab.start("key server", ["sealcast-keyserver", "-c", self.config], self.log, self.outside)
        process.wait_for("is running", 10)
        return process

    def status(self):
        return self.lab.status(self.admin_socket)


class Wire:
    """sealcast-wire, the black network: one virtio-user port for each socket, everything it receives in a capture."""

    def __init__(self, lab, sockets, pcap, options=()):
        self.pcap = pathlib.Path(pcap)
        lab.wires.append(self)
        self._control = lab.sockets / "wire.sock"
        ports = [word for path in sockets for word in ("--port", f"virtio-user:{path}")]
        self.process = lab.start("wire", ["sealcast-wire", *ports, "--pcap", self.pcap, "--control", self._control,
                                          "--memory", 64 * len(sockets) + 64, "--nap-us", _NAP_US, *options], lab.work / "wire.log")
        self.process.wait_for("READY", 20)

    def order(self, line):
        """One command of the wire's control socket, e.g. "partition 0,1/2", "heal", "stats"; returns its answer."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self._control))
            client.sendall(line.encode() + b"\n")
            answer = client.makefile().readline().strip()
        if answer.startswith("error"):
            raise LabError(f"the wire refused '{line}': {answer}")
        return answer
