"""Three machines, each with an etcd node and a key server of one cluster, on the management network."""
import os
import shutil
import signal

from .process import LabError, run, wait_until
from .sealcast import KEYSERVER_PORT, keyserver_table

_CLIENT, _PEER = 2379, 2380  # in the machines' own namespaces


class Machine:
    def __init__(self, cluster, name, number):
        self.cluster, self.lab, self.name = cluster, cluster.lab, name
        self.address = f"10.9.0.{100 + number}"
        self.outside = self.lab.network.namespace(f"ks-{name}")
        self.lab.plug_management(self.outside, f"ks-{name}", self.address)
        self.admin_socket = self.lab.sockets / f"ks-{name}.sock"
        self.config = self.lab.work / f"ks-{name}.toml"
        self.log = self.lab.work / f"ks-{name}.log"
        self.data = self.lab.work / f"{name}.etcd"
        self.client_url, self.peer_url = f"http://{self.address}:{_CLIENT}", f"http://{self.address}:{_PEER}"
        self.etcd = self.process = None
        self.paused = False

    @property
    def endpoint(self):
        return f"{self.address}:{KEYSERVER_PORT}"

    def configure(self, **table):
        urls = ", ".join(f'"{url}"' for url in self.cluster.urls_from(self))
        options = f'''[keyserver.cluster]
name = "{self.name}"
etcd = [{urls}]
key_file = "cluster.key"
'''
        text = keyserver_table(self.address, admin_socket=self.admin_socket, server_options=options, **table)
        self.config.write_text(text.replace('"keyserver.db"', f'"ks-{self.name}.state"'))

    def start_etcd(self):
        self.etcd = self.lab.start(f"etcd {self.name}", [
            "/usr/bin/etcd", "--name", self.name, "--data-dir", self.data,
            "--listen-client-urls", self.client_url, "--advertise-client-urls", self.client_url,
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", self.cluster.members(), "--initial-cluster-token", "sealcast-test",
            "--logger", "zap", "--unsafe-no-fsync"], self.lab.work / f"etcd-{self.name}.log", self.outside)

    def start(self):
        self.process = self.lab.start(f"key server {self.name}", ["sealcast-keyserver", "-c", self.config], self.log,
                                      self.outside)
        self.process.wait_for("is running", 10)

    def status(self):
        return self.lab.status(self.admin_socket)

    def serving(self):
        return self.status()["cluster"]["state"] == "serving"

    def link(self, state):
        run(["ip", "link", "set", "mgmt0", state], self.outside)

    def signal(self, number):
        """SIGSTOP or SIGCONT: the key server alone, its etcd goes on."""
        os.kill(self.process.pid, number)
        self.paused = number == signal.SIGSTOP

    def answers(self):
        return self.process is not None and self.process.running() and not self.paused


class Cluster:
    def __init__(self, lab, **table):
        for tool in ("etcd", "etcdctl"):
            if shutil.which(tool) is None:
                raise LabError(f"{tool} is missing: scripts/deps test")
        self.lab = lab
        key = lab.work / "cluster.key"
        key.write_text(os.urandom(32).hex() + "\n")
        key.chmod(0o600)
        self.machines = [Machine(self, name, number) for number, name in enumerate("abc")]
        for machine in self.machines:
            machine.configure(**table)

    def members(self):
        return ",".join(f"{machine.name}={machine.peer_url}" for machine in self.machines)

    def urls_from(self, first):
        """Each key server asks the etcd of its own machine first."""
        return [first.client_url, *(m.client_url for m in self.machines if m is not first)]

    def endpoints(self):
        return [machine.endpoint for machine in self.machines]

    def start(self):
        for machine in self.machines:
            machine.start_etcd()
        for machine in self.machines:
            machine.start()
        wait_until(lambda: all(machine.serving() for machine in self.machines), 30, "three key servers to serve")

    def leader(self):
        """The leader's machine, as the key server itself reports; None while there is none."""
        for machine in self.machines:
            if machine.answers() and machine.status()["cluster"]["leading"]:
                return machine
        return None

    def joined(self, machines=None):
        """Members that are joined, at any key server."""
        return sum(machine.status()["members"] for machine in machines or self.machines if machine.answers())

    def etcdctl(self, *arguments, tool="etcdctl"):
        run(["env", "ETCDCTL_API=3", tool, *arguments], self.machines[0].outside)

    def save(self, path):
        self.etcdctl("--endpoints", self.machines[0].client_url, "snapshot", "save", path)

    def restore(self, path):
        """As an operator does: stops every etcd, replaces its data by the backup's, starts it again."""
        self.set_back(path)
        for machine in self.machines:
            machine.start_etcd()

    def set_back(self, path):
        """restore() without the start: a process ends with the thread that started it, so another thread may run
        this part."""
        for machine in self.machines:
            machine.etcd.kill()
        tool = shutil.which("etcdutl") or "etcdctl"  # etcd 3.4 has no etcdutl, 3.6 restores only by it
        for machine in self.machines:
            shutil.rmtree(machine.data)
            self.etcdctl("snapshot", "restore", path, "--name", machine.name, "--data-dir", machine.data,
                         "--initial-cluster", self.members(), "--initial-cluster-token", "sealcast-test",
                         "--initial-advertise-peer-urls", machine.peer_url, tool=tool)


PAUSE, RESUME = signal.SIGSTOP, signal.SIGCONT
