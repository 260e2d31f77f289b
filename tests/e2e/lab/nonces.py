"""Reads the checked daemons' records (tests/nonces/log.h): no number may be there twice under one key."""
import bisect
import collections
import pathlib
import struct

from .process import LabError

Run = collections.namedtuple("Run", "key first last spi file")

_HEADER = struct.Struct("=8sIIQ40s")
_RUN = struct.Struct("=QQQII")
_MAGIC = b"SCNONCE1"


def read(path):
    """The runs of one process's file."""
    data = pathlib.Path(path).read_bytes()
    if len(data) < _HEADER.size or data[:8] != _MAGIC:
        raise LabError(f"{path}: expected a nonce log, it begins with {data[:8]!r}")
    _, _, capacity, used, _ = _HEADER.unpack_from(data)
    if used > capacity:
        raise LabError(f"{path}: full: {used - capacity} of {used} runs were not recorded")
    runs = []
    for place in range(used):
        key, first, last, spi, whole = _RUN.unpack_from(data, _HEADER.size + place * _RUN.size)
        if whole:  # else the process ended before it sealed anything in it
            runs.append(Run(key, first, last, spi, str(path)))
    return runs


def files(folders):
    """Every log in the folders; LabError if there is none: checking nothing proves nothing."""
    found = sorted(path for folder in folders for path in pathlib.Path(folder).iterdir() if path.is_file())
    if not found:
        raise LabError(f"no nonce log in {', '.join(map(str, folders))}")
    return found


def repeats(runs):
    """One line for each pair of runs that have numbers in common under one key."""
    keys = collections.defaultdict(list)
    for run in runs:
        keys[run.key].append(run)
    found = []
    for key, of_key in keys.items():
        of_key.sort(key=lambda run: (run.first, run.last))
        widest = of_key[0]
        for run in of_key[1:]:
            if run.first <= widest.last:
                end = min(run.last, widest.last)
                spis = f"SPI 0x{run.spi:08x}" + (f" and 0x{widest.spi:08x}" if widest.spi != run.spi else "")
                found.append(f"{spis}, key {key:016x}: IVs {run.first}..{end} twice: {widest.file} sealed "
                             f"{widest.first}..{widest.last}, {run.file} sealed {run.first}..{run.last}")
            if run.last > widest.last:
                widest = run
    return found


class Recorded:
    """Answers whether a packet of the wire was recorded."""

    def __init__(self, runs):
        spis = collections.defaultdict(list)
        for run in runs:
            spis[run.spi].append((run.first, run.last))
        self._spis = {spi: self._joined(sorted(ranges)) for spi, ranges in spis.items()}

    @staticmethod
    def _joined(ranges):
        starts, ends = [], []
        for first, last in ranges:
            if ends and first <= ends[-1] + 1:
                ends[-1] = max(ends[-1], last)
            else:
                starts.append(first)
                ends.append(last)
        return starts, ends

    def has(self, spi, iv):
        starts, ends = self._spis.get(spi, ((), ()))
        place = bisect.bisect_right(starts, iv) - 1
        return place >= 0 and iv <= ends[place]


def read_all(folders):
    return [run for path in files(folders) for run in read(path)]


def total(runs):
    return sum(run.last - run.first + 1 for run in runs)
