"""Checks the documents that name tests against the sources, so that they cannot grow stale.

docs/patent.md, docs/attacks.md and docs/threat-model.md hold tables that name code and tests in backticks:
`handshake/flows.h` must exist, `Flows.P3_WhatChanges` must be a GoogleTest, `stream_test.py::test_x` a Python test,
`interop.py::openssl_client_ecdsa` a case with a witness and `handshake_model` a test of CTest. No row may lack a
test, no identifier its row, no cell its text.
"""
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("base", "handshake", "controlplane", "dataplane", "app", "tests", "bench", "scripts")

PATENT = {f"P{number}" for number in range(1, 44)}
HARDENING = {f"H{number}" for number in range(1, 20)} | {"H27", "H29", "H30"}
ATTACKS = {f"{kind}-{number}" for kind, last in (
    ("CCS", 6), ("FIN", 4), ("SEQ", 4), ("FLAG", 4), ("SMKE", 5), ("AUTH", 3), ("CHAN", 2), ("DOWN", 1), ("REC", 1),
    ("PARSE", 1), ("DOS", 1), ("DATA", 3), ("LEASE", 1), ("KEY", 2), ("SITE", 3)) for number in range(1, last + 1)}


def sources(suffix):
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob(f"*{suffix}"):
            yield path


def expanded(loop):
    """The body of a CMake foreach(), once for each word."""
    variable, words, body = loop.groups()
    return "".join(body.replace(f"${{{variable}}}", word) for word in words.split())


def ctest_names():
    """Every name of a test of CTest's in the presets that do not name each case."""
    names = set()
    for path in sources("CMakeLists.txt"):
        text = re.sub(r"#.*", "", path.read_text())
        text = re.sub(r"foreach\((\w+) ([^)]*)\)(.*?)endforeach\(\)", expanded, text, flags=re.S)
        for command, prefix in (("add_test\\(NAME ", ""), ("sealcast_laboratory_test\\(", ""),
                                ("sealcast_program_test\\(", ""), ("sealcast_test\\(", ""),
                                ("sealcast_e2e_test\\(", "e2e."), ("sealcast_soak_test\\(", "soak."),
                                ("constant_time_test\\(", "constant_time.")):
            names.update(prefix + name for name in re.findall(rf"\b{command}([\w.-]+)(?=[\s)])", text))
    return names


def known_tests():
    """Every name that a document may give as a test."""
    names = set()
    for path in sources(".cc"):
        text = path.read_text()
        names.update(f"{suite}.{test}" for suite, test in re.findall(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)", text, re.M))
    for path in sources("_test.py"):
        names.update(f"{path.name}::{test}" for test in re.findall(r"def (test_\w+)", path.read_text()))
    names.update(ctest_names())
    cases = subprocess.run(["/usr/bin/python3", ROOT / "tests/interop/interop.py", "--list"], stdout=subprocess.PIPE,
                           text=True, check=True).stdout.split()
    names.update(f"interop.py::{case}" for case in cases)
    return names


def rows(document):
    """identifier → cells of every table row that begins with one."""
    found = {}
    for line in (ROOT / "docs" / document).read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.fullmatch(r"[A-Z]+-?\d+", cells[0]):
            if cells[0] in found:
                raise AssertionError(f"docs/{document}: {cells[0]} has two rows")
            found[cells[0]] = cells
    return found


class Tables(unittest.TestCase):
    """`code` and `tests`: the columns of the document with their names."""

    def check(self, document, identifiers, code, tests):
        table = rows(document)
        self.assertEqual(set(table), identifiers, f"docs/{document}: one row for each identifier, no other")
        names = known_tests()
        self.assertGreater(len(names), 100, "the search for tests is broken")
        for identifier, cells in table.items():
            with self.subTest(row=identifier):
                self.assertTrue(all(cells), f"docs/{document}: {identifier} has an empty cell")
                for path in re.findall(r"`([^`]+)`", cells[code]) if code is not None else []:
                    self.assertTrue((ROOT / path).exists(), f"docs/{document}: {identifier}: there is no {path}")
                mentioned = re.findall(r"`([^`]+)`", cells[tests])
                self.assertTrue(mentioned, f"docs/{document}: {identifier} names no test")
                missing = [name for name in mentioned if name not in names]
                self.assertEqual(missing, [], f"docs/{document}: {identifier} names tests that are not there")

    def test_every_line_of_the_patent_has_code_and_tests(self):
        self.check("patent.md", PATENT, code=2, tests=3)

    def test_every_attack_has_a_test(self):
        self.check("attacks.md", ATTACKS, code=None, tests=3)

    def test_every_line_of_hardening_has_a_test(self):
        self.check("threat-model.md", HARDENING, code=None, tests=2)

    def test_H15_the_documents_say_what_a_shared_key_proves(self):
        text = " ".join((ROOT / "docs" / "threat-model.md").read_text().split())
        self.assertIn("A shared key proves that a packet came from *a member*, not from which.", text)

    def test_tests_of_ctest_that_any_page_names_are_there(self):
        names, mentioned = ctest_names(), {}
        for page in [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "tests").rglob("*.md")]:
            for name in re.findall(r"`(\w+_test|\w+_long|(?:e2e|soak|cluster|constant_time)\.[a-z_]+)`", page.read_text()):
                if not name.endswith((".py", ".key")):
                    mentioned.setdefault(name, page.relative_to(ROOT))
        self.assertGreater(len(mentioned), 15, "the search for names is broken")
        self.assertEqual({name: page for name, page in mentioned.items() if name not in names}, {})

    def test_a_name_that_is_not_there_is_noticed(self):
        self.assertNotIn("Flows.ThisTestDoesNotExist", known_tests())
        self.assertIn("docs_test.py::test_a_name_that_is_not_there_is_noticed", known_tests())


if __name__ == "__main__":
    unittest.main()
