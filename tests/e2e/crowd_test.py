"""The key server's cost of a joined member."""
import json
import re

import e2e
from lab.process import wait_until
from lab.sealcast import KeyServer

_MEMBERS = 400
_LIMIT = 32 * 1024  # bytes for each


def resident(pid):
    """Resident memory of a process, bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024


class Crowd(e2e.EndToEnd):
    def crowd(self, name, count):
        """Joins `count` members that stay; returns how long that took, in seconds."""
        out = self.lab.work / f"{name}.json"
        process = self.lab.start("crowd", ["sealcast-crowd", "--pki", self.lab.work / "pki", "--server",
                                           self.keyserver.address, "--count", count], self.lab.work / f"{name}.log",
                                 self.keyserver.outside, stdout=out)

        def joined():
            self.assertTrue(process.running(), process.tail())
            return out.read_text()
        result = json.loads(wait_until(joined, 60, f"{count} members to join"))
        self.assertEqual(result["joined"], count)
        return process, result["seconds"]

    def test_memory_of_a_joined_member_is_below_32_KiB(self):
        self.keyserver = KeyServer(self.lab)
        server = self.keyserver.start()
        warm, _ = self.crowd("warm", 5)  # libraries loaded, pools made
        warm.stop()
        wait_until(lambda: self.keyserver.status()["members"] == 0, 10, "the first members to be gone")
        before = resident(server.pid)
        _, seconds = self.crowd("crowd", _MEMBERS)
        self.assertEqual(self.keyserver.status()["members"], _MEMBERS)
        each = (resident(server.pid) - before) / _MEMBERS
        print(f"\n  {each / 1024:.1f} KiB a joined member, {_MEMBERS} members, {_MEMBERS / seconds:.0f} joins/s one by one")
        self.assertLess(each, _LIMIT)


if __name__ == "__main__":
    e2e.main()
