"""The demo's live table: rates per side, epoch and drops of every gateway, from two status answers a moment apart."""
import sys
import time

_COLUMNS = f"{'gateway':<10}{'red rx/s':>10}{'black tx/s':>12}{'black rx/s':>12}{'red tx/s':>10}" \
           f"{'sealed':>10}{'opened':>10}  dropped, by reason"


def port(status, name):
    return next(port for port in status["dataplane"]["ports"] if port["name"] == name)


def drops(status):
    return {drop["reason"]: drop["packets"] for drop in status["dataplane"]["drops"]
            if drop["packets"] and drop["reason"] not in ("none", "partial_checksum")}


class LiveTable:
    """Redraws itself in place where asked to (a terminal); else prints a table every five seconds."""

    def __init__(self, redraw, out=sys.stdout):
        self._out = out
        self._terminal = redraw
        self._lines = 0
        self._last = {}
        self._printed = float("-inf")

    def show(self, title, statuses):
        """statuses: gateway's name → its status, all of one look (sampling.py)."""
        now = time.monotonic()
        lines = [title, _COLUMNS]
        lines += [self._row(name, status) for name, status in statuses.items()]
        if self._terminal:
            if self._lines:
                self._out.write(f"\x1b[{self._lines}F\x1b[J")
            self._lines = len(lines)
        elif now - self._printed < 5:
            return
        self._printed = now
        self._out.write("\n".join(lines) + "\n")
        self._out.flush()

    def _row(self, name, status):
        taken = status["dataplane"]["taken_s"]
        counters = [port(status, "red")["rx_packets"], port(status, "black")["tx_packets"],
                    port(status, "black")["rx_packets"], port(status, "red")["tx_packets"]]
        before, then = self._last.get(name, (counters, taken - 1))
        self._last[name] = (counters, taken)
        rates = [(new - old) / max(taken - then, 0.001) for new, old in zip(counters, before)]
        dropped = ", ".join(f"{reason} {count}" for reason, count in drops(status).items()) or "none"
        return (f"{name:<10}{rates[0]:>10.0f}{rates[1]:>12.0f}{rates[2]:>12.0f}{rates[3]:>10.0f}"
                f"{status['dataplane']['sealed']:>10}{status['dataplane']['opened']:>10}  {dropped}")
