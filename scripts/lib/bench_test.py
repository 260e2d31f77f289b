#!/usr/bin/env python3
"""Unit tests of how scripts/bench processes its raw results: parsers, ratios, verdicts, tables. Starts no program."""
import struct
import tempfile
import pathlib
import unittest

import bench
import bench_figures as figures
import bench_report as report
import bench_rivals as rivals


def google(*entries):
    return {"benchmarks": [{"run_type": "iteration", **entry} for entry in entries]}


def statistics_line(seconds=0.0, sealed=0, opened=0, ring=0, red=0, drops=None):
    return {"seconds": seconds, "sealed": sealed, "opened": opened, "black_tx_full": ring, "red_tx_full": red,
            "drops": drops or {}}


# Two engines, both directions, both key sizes; the rest of the design's table as far as the tests need it.
RESULTS = {
    "machine": {"model": "Test CPU", "cpus": 2, "tsc_mhz": 2600, "kernel": "6.1"}, "when": "2030-01-01 00:00",
    "load_before": 0.0, "quick": False, "missing": ["ipsec-secgw: no source"], "commands": {},
    "aead": {f"{verb}/{engine}/aes{bits}/64": {"ticks": ticks + (10 if verb == "open" else 0)}
             for verb in ("seal", "open") for bits in (128, 256) for engine, ticks in (("burst", 20), ("ipsec_mb_aad12", 80))},
    "gateway": {"gateway/seal/v4/aes128/64": {"pps": 25e6, "gbps": 12.8}, "gateway/open/v4/aes128/64": {"pps": 20e6, "gbps": 10.2},
                "gateway/seal/v4/aes128/64/groups:1": {"pps": 20e6}, "gateway/seal/v4/aes128/64/groups:10000": {"pps": 12e6}},
    "testpmd_io": {"64": 60e6}, "testpmd_one_way": {"64": 90e6}, "secgw": {},
    "stages": {"stages/seal/v4/aes128/64": {"other": 35.0, "ticks": 90.0}},
    "latency": {"latency/idle/seal/v4/aes128/64": {"p50": 80.0, "p99": 1000.5, "p99.9": 2000.0, "max": 9e6}},
    "virtio": {"gateway": {"64": {"pps": 6e6, "ring_full_pps": 1e6}}, "testpmd_io": {"64": 12e6}, "testpmd_txonly": {}},
    "handshake": {},
}


def target(start):
    return next(t for t in figures.targets(RESULTS) if t.what.startswith(start))


class Parsers(unittest.TestCase):
    def test_testpmd_counts_port_0_from_the_second_second(self):
        text = "".join(f"  Rx-pps:  {rate}   Rx-bps: 1\n  Tx-pps: 5\n" for rate in (0, 7, 100, 8, 110, 9, 120, 9))
        self.assertEqual(rivals.testpmd_rates(text, 2), [110, 120])
        self.assertEqual(rivals.testpmd_rates("nothing", 2), [])

    def test_secgw_rates_are_differences_of_its_totals(self):
        text = "".join(f"Total packets sent:      {total}\n" for total in (0, 50, 150, 260))
        self.assertEqual(rivals.secgw_rates(text), [100, 110])

    def test_crypto_perf_rows(self):
        text = "# lcore id, Buffer Size(B)\n1,64,32,1000,0,0,0,12.5,6.4,210.5\nnoise\n"
        self.assertEqual(rivals.crypto_perf_rows(text), {64: {"gbps": 6.4, "ticks": 210.5}})

    def test_repetitions_become_medians_aggregates_do_not_count(self):
        found = figures.entries(google(
            {"name": "gateway/seal/v4/aes128/64/manual_time", "pps": 1.0},
            {"name": "gateway/seal/v4/aes128/64/manual_time", "pps": 9.0},
            {"name": "gateway/seal/v4/aes128/64/manual_time", "pps": 3.0},
            {"name": "gateway/seal/v4/aes128/64/manual_time_mean", "run_type": "aggregate", "pps": 100.0}), "x")
        self.assertEqual(figures.medians(found)["gateway/seal/v4/aes128/64"]["pps"], 3.0)

    def test_rounds_are_merged(self):
        rounds = {"a": [{"pps": 1.0}]}
        figures.merge(rounds, {"a": [{"pps": 2.0}, {"pps": 3.0}], "b": [{"pps": 4.0}]})
        self.assertEqual([figures.medians(rounds)[name]["pps"] for name in "ab"], [2.0, 4.0])

    def test_a_run_with_a_dropped_packet_is_an_error(self):
        with self.assertRaisesRegex(SystemExit, "gateway_bench: gateway/seal: 3 packets were dropped"):
            figures.entries(google({"name": "gateway/seal", "error_occurred": True,
                                    "error_message": "3 packets were dropped"}), "gateway_bench")

    def test_names_lose_how_they_were_run_and_nothing_else(self):
        self.assertEqual(figures.short_name("latency/idle/seal/v4/aes128/64/iterations:1048576"),
                         "latency/idle/seal/v4/aes128/64")
        self.assertEqual(figures.short_name("gateway/seal/v4/aes128/64/groups:100/manual_time"),
                         "gateway/seal/v4/aes128/64/groups:100")


class Frames(unittest.TestCase):
    def test_header_checksum_is_right(self):
        for destination in ((239, 1, 1, 1), (192, 168, 115, 10)):
            ip = rivals.frame(64, 7, destination)[14:34]
            total = sum(struct.unpack(">10H", ip))
            self.assertEqual((total & 0xFFFF) + (total >> 16), 0xFFFF)

    def test_multicast_and_unicast_addresses(self):
        self.assertEqual(rivals.frame(64, 0, (239, 129, 2, 3))[:6], bytes.fromhex("01005e010203"))
        self.assertEqual(rivals.frame(64, 0, (192, 168, 1, 1))[0] & 1, 0)

    def test_the_mix_is_7_4_1(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "mix.pcap"
            rivals.write_frames(path, "imix", count=1200)
            data, at, sizes = path.read_bytes(), 24, []
            while at < len(data):
                sizes.append(struct.unpack_from("<I", data, at + 8)[0])
                at += 16 + sizes[-1]
        self.assertEqual([sizes.count(size) for size in (64, 594, 1514)], [700, 400, 100])


class Pairs(unittest.TestCase):
    def test_rate_is_what_came_out(self):
        before = (statistics_line(10.0, sealed=100), statistics_line(10.0, opened=50))
        after = (statistics_line(12.0, sealed=500, ring=40), statistics_line(12.5, opened=300))
        self.assertEqual(figures.pair_rate(before, after), {"pps": 100.0, "sealed_pps": 200.0, "ring_full_pps": 20.0})

    def test_any_other_loss_is_an_error(self):
        zero = (statistics_line(1.0), statistics_line(1.0))
        for after in ((statistics_line(2.0), statistics_line(2.0, drops={"bad_tag": 1})),
                      (statistics_line(2.0, drops={"no_sa": 1}), statistics_line(2.0)),
                      (statistics_line(2.0), statistics_line(2.0, red=1))):
            with self.assertRaises(SystemExit):
                figures.pair_rate(zero, after)

    def test_what_was_dropped_before_does_not_count(self):
        old = {"unknown_spi": 4}
        before = (statistics_line(1.0), statistics_line(1.0, drops=old))
        self.assertEqual(figures.pair_rate(before, (statistics_line(2.0), statistics_line(2.0, drops=old)))["pps"], 0)


class Targets(unittest.TestCase):
    def test_the_least_of_the_four_ratios_judges(self):
        judged = target("burst / IPsec-MB at its best, 64 bytes")
        self.assertAlmostEqual(judged.measured, 3.0)  # open: 90 / 30; seal: 80 / 20
        self.assertEqual(figures.verdict(judged), "met")

    def test_verdicts(self):
        self.assertEqual(figures.verdict(target("gateway seal, AES-128, 64-byte frames / testpmd")), "met")
        self.assertEqual(figures.verdict(target("gateway open, AES-128, 64-byte frames / testpmd")), "missed")
        self.assertEqual(figures.verdict(target("gateway seal, AES-128, 64-byte frames / ipsec-secgw")), "not measured")
        self.assertEqual(figures.verdict(target("gateway seal, 10,000 groups")), "met")
        self.assertEqual(figures.verdict(target("everything but I/O and AEAD, seal")), "met")  # at the limit
        self.assertEqual(figures.verdict(target("one 64-byte packet, seal")), "missed")
        self.assertEqual(figures.verdict(target("two gateways over vhost-user ↔ virtio-user / testpmd io over the same pair, 64")),
                         "met")

    def test_nothing_measured_meets_nothing(self):
        for judged in figures.targets({}):
            self.assertEqual(figures.verdict(judged), "not measured", judged.what)

    def test_a_ratio_to_nothing_is_none(self):
        self.assertIsNone(figures.ratio(5, 0))
        self.assertIsNone(figures.ratio(None, 5))


class Reports(unittest.TestCase):
    def test_columns_stand_below_each_other(self):
        lines = report.text_table("T", ["what", "n"], [["a", 1], ["longer", 100]]).splitlines()
        self.assertEqual(lines[1:], ["T", "  what      n", "  a         1", "  longer  100"])

    def test_text_holds_every_target_and_what_is_missing(self):
        text = report.as_text(RESULTS)
        for judged in figures.targets(RESULTS):
            self.assertIn(judged.what, text)
        self.assertIn("not measured: ipsec-secgw: no source", text)

    def test_markdown_rows_have_as_many_cells_as_their_head(self):
        width = None
        for line in report.as_markdown(RESULTS).splitlines():
            if not line.startswith("|"):
                width = None
                continue
            width = width or line.count("|")
            self.assertEqual(line.count("|"), width, line)

    def test_a_report_of_nothing_is_possible(self):
        bare = {key: RESULTS[key] for key in ("machine", "when", "load_before", "quick")}
        self.assertIn("not measured", report.as_text(bare))
        self.assertIn("not measured", report.as_markdown(bare))

    def test_lines_of_the_plot(self):
        self.assertEqual(report.series(RESULTS, "gateway", "gateway/seal/v4/aes128/{}"), [(64, 25e6)])
        self.assertEqual(report.series(RESULTS, "testpmd_io", None), [(64, 60e6)])
        self.assertEqual(report.series(RESULTS, "secgw", None), [])


class Arguments(unittest.TestCase):
    def test_parts(self):
        self.assertEqual(bench.parts_named("aead,virtio"), ["aead", "virtio"])
        with self.assertRaisesRegex(Exception, "expected some of aead,gateway"):
            bench.parts_named("aead,vitrio")


if __name__ == "__main__":
    unittest.main()
