"""Source-specific groups joined on demand (RFC 4607): a host joins one source of a group and leaves it again. A Linux
bridge or FRR's pimd asks as IGMPv3 querier, the bridge in MLDv2, too; what they ask after such a leave is about that
source."""
import ipaddress
import os
import shutil
import socket
import struct
import tempfile
import time

import e2e
from lab import net
from lab.process import Process, run
from lab.sealcast import KeyServer, Wire

_JOIN_SOURCE, _LEAVE_SOURCE = 46, 47  # MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_SOURCE_GROUP of RFC 3678 on Linux
_SOURCES = {socket.AF_INET: ("10.1.0.1", "10.1.0.201"), socket.AF_INET6: ("fd00:1::1", "fd00:1::201")}
_GROUPS = {socket.AF_INET: e2e.GROUP4, socket.AF_INET6: e2e.GROUP6}
_INTERVAL = 60  # s between the querier's general questions: a group whose end no question tells lasts 2 * 60 s + 1 s


def _sockaddr(family, address):
    packed = ipaddress.ip_address(address).packed
    if family == socket.AF_INET:
        return struct.pack("=HH4s120x", family, 0, packed)
    return struct.pack("=HHI16sI100x", family, 0, 0, packed, 0)


class OnDemandSsm(e2e.EndToEnd):
    def bridge(self, network, switch):
        network.bridge(switch, "querier")
        network.plug(switch, "querier", "downlink")
        network.address(switch, "querier", "10.1.0.250/24")
        network.enable_ipv6(switch, "querier", "fe80::250/64")  # no other: it would ask from it (RFC 3810 §5.1.14)
        # hundredths of a second; last member: how long a host may take to answer, and how often it is asked
        run(["ip", "link", "set", "querier", "type", "bridge", "mcast_snooping", "1", "mcast_igmp_version", "3",
             "mcast_mld_version", "2", "mcast_query_use_ifaddr", "1", "mcast_query_interval", str(100 * _INTERVAL),
             "mcast_query_response_interval", "100", "mcast_last_member_interval", "100", "mcast_last_member_count", "2",
             "mcast_startup_query_interval", "100", "mcast_startup_query_count", "3", "mcast_querier", "1"], namespace=switch)

    def frr(self, network, switch):
        network.address(switch, "downlink", "10.1.0.250/24")
        folder = tempfile.mkdtemp(prefix=f"sealcast-{os.getpid()}-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.chmod(folder, 0o777)  # the daemons give root up
        lines = {"zebra": "", "pimd": f"""interface downlink
 ip igmp
 ip igmp version 3
 ip igmp query-max-response-time 10
 ip igmp query-interval {_INTERVAL}
 ip igmp last-member-query-interval 10
 ip igmp last-member-query-count 2
 ip pim
"""}
        for daemon, text in lines.items():
            configuration = f"{folder}/{daemon}.conf"
            with open(configuration, "w") as out:
                out.write(text)
            os.chmod(configuration, 0o644)
            self.lab.adopt(Process(daemon, [f"/usr/lib/frr/{daemon}", "-f", configuration, "-i", f"{folder}/{daemon}.pid",
                                            "-z", f"{folder}/zserv", "--vty_socket", folder, "-P", "0", "--log", "stdout"],
                                   self.lab.work / f"{daemon}.log", namespace=switch))
            time.sleep(1)  # pimd looks for zebra once in a while

    def build_asked_by(self, querier):
        self.studio, self.home = self.lab.site("studio"), self.lab.site("home")
        self.keyserver = KeyServer(self.lab, selectors=e2e.SELECTORS)
        self.keyserver.start()
        for site, role in ((self.studio, "sender"), (self.home, "receiver")):
            site.configure(role, keyservers=[self.keyserver.endpoint], selectors=e2e.SELECTORS,
                           group_lines='join = "on-demand"' if role == "receiver" else "")
        # Home's red side becomes a hub: the gateway, a host, and the querier. A bridge asks on the port on which a host
        # left, so gateway and host are behind the same one.
        network, switch = self.lab.network, self.home.red
        self.host = network.namespace("host")
        network.link(self.host, "eth0", switch, "host")
        network.link(switch, "uplink", switch, "downlink")
        network.bridge(switch, "hub")
        for port in ("eth0", "host", "uplink"):
            network.plug(switch, "hub", port)
        network.address(self.host, "eth0", "10.1.0.77/24")
        network.enable_ipv6(self.host, "eth0", "fd00:1::77/64")
        network.multicast_route(self.host, "eth0")
        querier(network, switch)
        self.wire = Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.lab.work / "wire.pcap")
        self.studio.start()
        self.home.start()
        e2e.wait_until(lambda: self.studio.ready() and self.home.linked(), 15, "studio joined, all links up")
        time.sleep(4)  # the querier's first questions are over

    def state(self):
        return self.home.membership()["state"]

    def listen(self, family):
        with net.inside(self.host):
            out = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(out.close)
        out.bind((_GROUPS[family], e2e.PORT))
        return out

    def source(self, listener, option, address):
        family = listener.family
        index = int(run(["ip", "-o", "link", "show", "eth0"], namespace=self.host).stdout.split(":")[0])
        level = socket.IPPROTO_IP if family == socket.AF_INET else socket.IPPROTO_IPV6
        listener.setsockopt(level, option, struct.pack("@I4x", index) + _sockaddr(family, _GROUPS[family]) +
                            _sockaddr(family, address))

    def left_soon(self, leave, what):
        started = time.monotonic()
        leave()
        e2e.wait_until(lambda: self.state() == "idle", 8, what)
        self.assertGreater(time.monotonic() - started, 1, "a leave alone proves nothing")
        self.assertEqual(self.home.key_count(), 0, "keys of a group without listeners")

    def sources_come_and_go(self, families):
        self.assertEqual(self.state(), "idle", "no host listens yet")
        for joins, family in enumerate(families, 1):
            with self.subTest(family=family):
                first, second = _SOURCES[family]
                listener = self.listen(family)
                self.source(listener, _JOIN_SOURCE, first)
                e2e.wait_until(lambda: self.state() == "joined", 5, "home to join when its host asks for a source")
                self.source(listener, _JOIN_SOURCE, second)
                time.sleep(1)
                self.source(listener, _LEAVE_SOURCE, first)
                time.sleep(4)
                self.assertEqual(self.state(), "joined", "the other source is wanted still")
                self.left_soon(lambda: self.source(listener, _LEAVE_SOURCE, second),
                               "home to leave when no host wants the last source")
                listener.close()
                self.assertEqual(self.home.membership()["joins"], joins)

    def test_RFC3376_RFC3810_a_source_is_left_as_soon_as_a_bridge_has_asked(self):
        self.build_asked_by(self.bridge)
        self.sources_come_and_go((socket.AF_INET, socket.AF_INET6))

    def test_RFC3376_a_source_is_left_as_soon_as_a_router_has_asked(self):
        self.build_asked_by(self.frr)  # Debian's FRR has no daemon for MLD
        self.sources_come_and_go((socket.AF_INET,))

    def test_any_source_is_left_as_soon(self):
        self.build_asked_by(self.bridge)
        listener = self.listen(socket.AF_INET)
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                            socket.inet_aton(e2e.GROUP4) + socket.inet_aton("10.1.0.77"))
        e2e.wait_until(lambda: self.state() == "joined", 5, "home to join when its host reports")
        self.left_soon(listener.close, "home to leave when no host answers")


if __name__ == "__main__":
    e2e.main()
