#!/usr/bin/env python3
"""scripts/deps with stand-ins for apt-get and the like: names by release, one clear line for each thing that is
missing, progress, costs."""
import unittest

from stand_ins import ScriptTest

RELEASES = {
    "bookworm": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_CODENAME=bookworm\n',
    "trixie": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_CODENAME=trixie\n',
    "noble": 'PRETTY_NAME="Ubuntu 24.04.2 LTS"\nID=ubuntu\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n',
    "mint": 'PRETTY_NAME="Linux Mint 22"\nID=linuxmint\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n',
    "unknown": 'PRETTY_NAME="Somebody\'s Linux 1"\nID=other\nVERSION_CODENAME=other\n',
}
# Has every package, except those in the file `lacking`, and records what it was to install.
APT_CACHE = '''case $* in
  policy*) shift; for name; do printf '%s:\\n  Installed: (none)\\n' "$name"
             grep -qx "$name" "$HERE/lacking" 2>/dev/null && echo '  Candidate: (none)' || echo '  Candidate: 1.0'; done ;;
  *) for name; do case $name in -*|show|gencaches|*=*) ;; *) printf 'Package: %s\\nInstalled-Size: 1000\\n\\n' "$name" ;;
     esac; done ;;
esac'''
# Every package brings itself and libc, 1 MB each; ffmpeg brings the heavy liblong, 20 MB, too.
APT_GET = '''case $* in
  *print-uris*) for name in libc "$@"; do case $name in
      ffmpeg) echo "'http://x/y' ffmpeg_1_all.deb 1000000 "; echo "'http://x/y' liblong_1_all.deb 20000000 MD5Sum:0" ;;
      '?essential'|apt|-*|*=*|install) ;;
      *) echo "'http://x/y' ${name}_1%3a_all.deb 1000000 MD5Sum:0" ;; esac; done ;;
  *install*) echo "$*" >"$HERE/installed"
    printf '%s\\n' '0 upgraded, 533 newly installed, 0 to remove and 0 not upgraded.' 'Need to get 1,275 MB of archives.'
    sleep 1.5; echo dlstatus:1:50.5:Retrieving file 2 of 533 >&3; sleep 1
    echo pmstatus:libc6:0.0:Preparing libc6 >&3; sleep 1; echo pmstatus:libc6:40.1:Unpacking libc6 >&3; sleep 1 ;;
esac'''


class Deps(ScriptTest):
    def setUp(self):
        super().setUp()
        self.stand_in("apt-cache", APT_CACHE)
        self.stand_in("apt-get", APT_GET)
        self.stand_in("dpkg-query", "echo installed git")
        self.stand_in("id", "echo 0")
        for name, text in RELEASES.items():
            (self.work / f"{name}.release").write_text(text)

    def deps(self, arguments, release="bookworm"):
        return self.run_script(f"scripts/deps {arguments}", OS_RELEASE=str(self.work / f"{release}.release"))

    def listed(self, arguments, release):
        code, output, errors = self.deps(f"--list {arguments}", release)
        self.assertEqual((code, errors), (0, ""))
        rows = [line.split(maxsplit=2) for line in output.splitlines()]
        self.assertTrue(all(len(row) == 3 for row in rows), "each has groups, a name and a reason")
        return {row[1] for row in rows}

    def test_names_by_release(self):
        for release, expected in {
                "bookworm": {"openjdk-17-jre-headless", "libclang-rt-14-dev", "dpdk-dev"},
                "trixie": {"openjdk-21-jre-headless", "libclang-rt-19-dev", "dpdk"},
                "noble": {"openjdk-21-jre-headless", "libclang-rt-18-dev"},
                "mint": {"openjdk-21-jre-headless", "libclang-rt-18-dev"},
                "unknown": {"openjdk-21-jre-headless", "libclang-rt-19-dev"}}.items():
            with self.subTest(release):
                names = self.listed("test fuzz", release)
                self.assertLessEqual(expected, names)
                for stem in ("openjdk-", "libclang-rt-"):
                    self.assertEqual(len([name for name in names if name.startswith(stem)]), 1)
                self.assertFalse([name for name in names if "@" in name or "/" in name])

    def test_the_demo_takes_what_it_needs_and_nothing_of_the_tests(self):
        names = self.listed("demo", "bookworm")
        self.assertLessEqual({"g++", "cmake", "ninja-build", "libdpdk-dev", "ffmpeg", "socat", "tshark", "python3"}, names)
        self.assertFalse({"libgtest-dev", "valgrind", "etcd-server", "openjdk-17-jre-headless", "ccache"} & names)

    def test_installs_what_is_missing_once(self):
        code, output, errors = self.deps("format debian format")
        self.assertEqual((code, errors), (0, ""))
        words = (self.work / "installed").read_text().split()
        self.assertEqual(words[words.index("install"):], ["install", "--no-install-recommends", "clang-format", "mmdebstrap"])
        self.assertRegex(output, r"  50 %  fetching: 638 of 1275 MB, [0-9.]+ MB/s, 0:0\d\n")
        self.assertRegex(output, r"  40 %  installing: Unpacking libc6, 0:0\d\n")
        self.assertRegex(output, r"\n  533 packages, 1275 MB, in 0:0\d\n$")

    def test_nothing_is_missing(self):
        self.stand_in("dpkg-query", "echo installed git; echo installed clang-format")
        self.assertEqual(self.deps("format"), (0, "", ""))
        self.assertFalse((self.work / "installed").exists())

    def test_an_unknown_release_is_warned_about_and_goes_on(self):
        code, _, errors = self.deps("format", "unknown")
        self.assertEqual(code, 0)
        self.assertEqual(len(errors.splitlines()), 1)
        self.assertIn("found Somebody's Linux 1", errors)
        self.assertTrue((self.work / "installed").exists())

    def test_a_package_that_is_not_offered_is_named(self):
        (self.work / "lacking").write_text("clang-format\n")
        code, _, errors = self.deps("format debian", "trixie")
        self.assertEqual(code, 1)
        self.assertEqual(len(errors.splitlines()), 1)
        self.assertIn("Debian GNU/Linux 13 (trixie) offers no package clang-format", errors)
        self.assertFalse((self.work / "installed").exists())

    def test_a_failure_shows_what_apt_get_said(self):
        self.stand_in("apt-get", 'echo "E: the disk is full"; exit 100')
        code, _, errors = self.deps("format")
        self.assertEqual(code, 1)
        self.assertEqual(errors.splitlines()[0], "E: the disk is full")
        self.assertIn("could not refresh the package lists", errors)

    def test_without_root_it_says_what_is_missing(self):
        self.stand_in("id", "echo 1000")
        code, _, errors = self.deps("format")
        self.assertEqual(code, 1)
        self.assertIn("missing packages: clang-format. Run scripts/deps as root", errors)

    def test_costs(self):
        (self.work / "lacking").write_text("mmdebstrap\n")
        code, output, errors = self.deps("--cost format debian demo")
        self.assertEqual(code, 0, errors)
        self.assertIn("offers no package mmdebstrap; it is not counted", errors)
        rows = {line.split()[0]: line.split()[1:] for line in output.splitlines()}
        self.assertEqual(rows["git"], ["2", "2.0", "2", "1", "1.0", "1"])
        self.assertEqual(rows["ffmpeg"], ["3", "22.0", "3", "2", "21.0", "2"])
        count = len(self.listed("format demo", "bookworm")) + 2  # libc and liblong
        self.assertEqual(rows["together"][:2], [str(count), f"{count + 19}.0"])
        self.assertFalse((self.work / "installed").exists())

    def test_an_unknown_group(self):
        code, _, errors = self.deps("everything")
        self.assertEqual(code, 1)
        self.assertIn("unknown group 'everything'", errors)


if __name__ == "__main__":
    unittest.main()
