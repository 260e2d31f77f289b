"""rekey_soak.py [REKEYS]: rekeys (10,000 by default) at 80 % of the rate that two gateways carry without loss; the test
of tests/e2e/rekey_load_test.py, for longer. SEALCAST_BIN names the build's bin/, SEALCAST_WORK a folder to work in.

As root, on a machine with nothing else to do: any other load lowers the rate that it settles for."""
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
