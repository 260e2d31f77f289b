"""The shape of the code: methods, data members and .cc files of each class, files of each folder, includes between
folders.

    shape.py [--all]     a table of the largest, then everything over its limit; exit code 1 if there is something
                         --all: each class and each folder

A class may have 40 methods, 15 data members and 3 .cc files; more needs a reason in its comment, after the word
"Shape:". Not counted: constructors, destructors, defaulted and deleted functions, constants. Records (no private
member, no name that ends in "_") may have any number of members. A folder holds at most 60 files. Includes between
the folders of one parent never form a circle; between those of ORDERS they go one way; only tests and testing/
include testing/. A folder's own files, its interface, may combine what its subfolders hold, and these may use them
unless ORDERS says otherwise.
"""
import collections
import dataclasses
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOPS = ("base", "handshake", "dataplane", "controlplane", "app")
TEST_FOLDERS = {"testing", "adversary"}
METHODS, MEMBERS, FILES, FOLDER = 40, 15, 3, 60
# Parent → its folders, lowest first; a set: neither includes the other.
ORDERS = {
    "": ["base", {"handshake", "dataplane"}, "controlplane", "app"],
    "dataplane": [{"aead", "policy"}, "packet", "sa", "sources", "path", {"membership", "neighbours"}, "control", "dpdk"],
    "controlplane/keyserver": ["audit", "group", "connection", "."],
}


@dataclasses.dataclass
class Class:
    name: str
    file: str
    comment: str
    methods: int = 0
    members: int = 0
    record: bool = True
    files: int = 0


def blank(text):
    """The text with comments, literals and directives blanked; all other characters keep their place."""
    pattern = r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|^[ \t]*#(?:\\\n|[^\n])*'

    def spaces(match):
        return re.sub(r"[^\n]", " ", match[0])
    return re.sub(pattern, spaces, text, flags=re.S | re.M)


def closing(text, start):
    """The place of the brace that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return i
    raise ValueError("braces do not match")


_HEAD = re.compile(r"\b(class|struct)\s+(?:alignas\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*|\[\[\w+\]\]\s*)*(\w+(?:::\w+)*)\s*"
                   r"(?:final\s*)?(?::(?!:)[^;{}()]*)?\{")


def comment_above(text, position):
    lines = text[:position].splitlines()
    if lines and not text[:position].endswith("\n"):
        lines.pop()  # what stands before the word "class" in its own line
    found = []
    while lines and lines[-1].lstrip().startswith("//"):
        found.append(lines.pop().strip())
    return "\n".join(reversed(found))


def members_of(body):
    """("method" or "data" or "record", declarators, text) of each member of a class's body."""
    chunk, i = "", 0
    while i < len(body):
        c = body[i]
        if c == "{":
            end = closing(body, i)
            head = chunk.strip()
            if head.count("(") > head.count(")"):  # a default argument
                chunk, i = chunk + "{}", end + 1
                continue
            if re.match(r"(?:template\s*<.*>\s*)?(?:class|struct|union|enum)\b", head, re.S):
                chunk += "{}"
                i = end + 1
                rest = re.match(r"\s*;", body[i:])
                if rest:  # a nested type without a name behind it
                    chunk, i = "", i + rest.end()
                continue
            if is_function(head):
                yield "method", 1, head
                chunk, i = "", end + 1
                rest = re.match(r"\s*;", body[i:])
                i += rest.end() if rest else 0
                continue
            chunk += "{}"
            i = end + 1
            continue
        if c == ";":
            yield from classify(chunk.strip())
            chunk, i = "", i + 1
            continue
        chunk += c
        i += 1
        label = re.match(r"\s*(public|private|protected)\s*:(?!:)$", chunk)
        if label:
            if label[1] == "private":
                yield "private", 0, ""
            chunk = ""


def flat(text):
    """The text without what stands in angle brackets and parentheses of types: enough to find a function's parentheses."""
    text = re.sub(r"\boperator\s*(?:\(\)|[^\s\w(]+|new|delete|bool)", "operator_", text)
    text = re.sub(r"->|<=>|<<|>>(?=\s*\w+\s*\()|[<>]=", "  ", text)
    before = None
    while before != text:
        before = text
        text = re.sub(r"<[^<>]*>", "", text)
    return text


def is_function(text):
    plain = flat(text)
    plain = re.sub(r"\b(?:alignas|noexcept|decltype|requires|explicit)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)", " ", plain)
    return re.search(r"\b~?\w+\s*\(", plain.partition("=")[0]) is not None and not re.search(r"\(\*\w*\)\(", plain.replace(" ", ""))


def classify(text):
    if not text or re.match(r"(?:using|typedef|friend|static_assert|template\s*<[^;]*>\s*(?:class|struct|friend|using))\b", text):
        return
    if re.fullmatch(r"(?:class|struct|union|enum(?:\s+class)?)\s+[\w:]+(?:\s*:\s*[\w:]+)?", text):
        return
    if is_function(text):
        yield "method", 1, text
    elif not re.search(r"\b(?:constexpr|static)\b", text):
        plain = flat(text)
        plain = re.sub(r"\([^()]*\)|\{[^{}]*\}|\[[^\[\]]*\]", "", plain)
        yield "data", plain.count(",") + 1, plain


def special(text, name):
    """Constructors, destructors, and what is defaulted or deleted."""
    last = name.split("::")[-1]
    return re.search(rf"(?:^|\s|~){last}\s*\(", flat(text)) is not None or re.search(r"=\s*(?:default|delete)\s*$", text) is not None


def classes_of(text, file):
    """All classes that a file defines; nested ones by their whole name."""
    plain = blank(text)
    found, ends = [], []
    for match in _HEAD.finditer(plain):
        before = plain[:match.start()].rstrip()
        if before.endswith("enum") or before.endswith("friend"):
            continue
        start = match.end() - 1
        end = closing(plain, start)
        while ends and ends[-1][0] < match.start():
            ends.pop()
        name = "::".join([*(outer for _, outer in ends), match[2]])
        ends.append((end, match[2]))
        one = Class(name, file, comment_above(text, match.start()))
        for kind, count, said in members_of(plain[start + 1:end]):
            if kind == "method":
                one.methods += not special(said, name)
            elif kind == "data":
                one.members += count
                if re.search(r"\w_\s*(?:[,=]|$)", said):
                    one.record = False
            else:
                one.record = False
        found.append(one)
    return found


def is_test(path):
    return path.name.endswith("_test.cc") or not TEST_FOLDERS.isdisjoint(path.parts)


def sources(root):
    for top in TOPS:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (".h", ".cc"):
                yield path.relative_to(root)


def includes(text):
    return re.findall(r'^\s*#include "([^"]+)"', text, re.M)


def read(root):
    """path → text of every file that is no test."""
    return {path: (root / path).read_text(encoding="utf-8") for path in sources(root)}


def all_classes(texts):
    found = []
    for path, text in texts.items():
        if not is_test(path):
            found += classes_of(text, str(path))
    implementing = collections.defaultdict(list)  # header → (file, its text) of those that include it
    for path, text in texts.items():
        if path.suffix == ".cc" and not is_test(path):
            plain = blank(text)
            for name in {str(path), *includes(text)}:
                implementing[name].append(plain)
    for one in found:
        definition = re.compile(rf"^(?:[^\s#/;={{}}(][^;={{}}(]*?\b|){one.name}::~?\w+\s*\(", re.M)
        one.files = sum(definition.search(plain) is not None for plain in implementing[one.file])
    return found


def too_large(one):
    """What is over its limit, in words; nothing if the comment gives a reason."""
    if "Shape:" in one.comment:
        return []
    over = []
    if one.methods > METHODS:
        over.append(f"{one.methods} methods, {METHODS} allowed")
    if one.members > MEMBERS and not one.record:
        over.append(f"{one.members} data members, {MEMBERS} allowed")
    if one.files > FILES:
        over.append(f"{one.files} .cc files, {FILES} allowed")
    return over


def arrows(texts):
    """parent → (from, to) → "file includes file" of all includes between two folders of one parent."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    known = {str(path) for path in texts}
    for path, text in texts.items():
        if is_test(path):
            continue
        for name in includes(text):
            if name not in known:
                continue
            ours, theirs = path.parts[:-1], pathlib.PurePath(name).parts[:-1]
            shared = 0
            while shared < min(len(ours), len(theirs)) and ours[shared] == theirs[shared]:
                shared += 1
            if ours == theirs:
                continue
            parent = "/".join(ours[:shared])
            edge = tuple(parts[shared] if len(parts) > shared else "." for parts in (ours, theirs))
            found[parent][edge].append(f"{path} includes {name}")
    return found


def circle(edges):
    """Folders that include each other in a circle, or nothing."""
    below = collections.defaultdict(set)
    for source, target in edges:
        below[source].add(target)
    done, way = set(), []

    def visit(folder):
        if folder in way:
            return way[way.index(folder):] + [folder]
        if folder in done:
            return None
        way.append(folder)
        for target in sorted(below[folder]):
            if round_trip := visit(target):
                return round_trip
        way.pop()
        done.add(folder)
        return None
    for folder in sorted(below):
        if round_trip := visit(folder):
            return round_trip
    return None


def wrong_arrows(texts):
    problems = []
    for parent, edges in sorted(arrows(texts).items()):
        for (_, target), all_ in edges.items():
            if target in TEST_FOLDERS:
                problems += [f"a test's own file in the product: {one}" for one in all_]
        if round_trip := circle([edge for edge in edges if "." not in edge]):
            steps = [edges[pair][0] for pair in zip(round_trip, round_trip[1:])]
            problems.append(f"{parent or 'the top'}: {' → '.join(round_trip)} is a circle: {'; '.join(steps)}")
        floors = {}
        for number, names in enumerate(ORDERS.get(parent, [])):
            for name in names if isinstance(names, set) else {names}:
                floors[name] = number
        for (source, target), all_ in edges.items():
            if source in floors and target in floors and floors[target] >= floors[source]:
                problems += [f"an include that runs back up: {one}" for one in all_]
    return problems


def folders(texts):
    return collections.Counter(str(path.parent) for path in texts)


def judge(texts, classes):
    problems = []
    for one in classes:
        problems += [f"{one.file}: {one.name}: {what}" for what in too_large(one)]
    problems += [f"{folder}: {count} files, {FOLDER} allowed" for folder, count in sorted(folders(texts).items()) if count > FOLDER]
    return problems + wrong_arrows(texts)


def main(words):
    if words not in ([], ["--all"]):
        print(__doc__, file=sys.stderr)
        return 2
    texts = read(ROOT)
    classes = sorted(all_classes(texts), key=lambda one: -one.methods)
    rooms = folders(texts).most_common()
    problems = judge(texts, classes)
    if not words:
        classes, rooms = classes[:12], rooms[:8]
    print(f"{'class':<44}{'methods':>8}{'members':>9}{'files':>7}")
    for one in classes:
        print(f"{one.name:<44}{one.methods:>8}{one.members:>9}{one.files:>7}")
    print(f"\n{'folder':<44}{'files':>8}")
    for folder, count in rooms:
        print(f"{folder:<44}{count:>8}")
    if problems:
        print("\nOver the limits:")
    for problem in problems:
        print(f"  {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # "scripts/shape | head"
        sys.exit(1)
