"""rekey_soak.py [REKEYS]: rekeys (10,000 unless told otherwise) at 80 % of the rate that two gateways carry without loss;
the test of tests/e2e/rekey_load_test.py, for longer. SEALCAST_BIN names the build's bin/, SEALCAST_WORK where to work.

As root, on a machine with nothing else to do: what steals the gateways' time lowers the rate it settles for."""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "e2e"))
import e2e  # noqa: E402
import rekey_load_test  # noqa: E402


class RekeySoak(rekey_load_test.RekeyUnderLoad):
    def progress(self, done, rate):
        if done % 500 == 0:
            print(f"{time.strftime('%H:%M:%S')} {done} rekeys under {rate} packets/s", flush=True)


if __name__ == "__main__":
    RekeySoak.rekeys = int(sys.argv.pop(1)) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 10_000
    sys.argv.append("RekeySoak")
    e2e.main()
