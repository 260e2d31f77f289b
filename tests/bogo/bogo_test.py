#!/usr/bin/python3
"""Runs BoringSSL's test runner against bogo_shim, where SEALCAST_BOGO_RUNNER names a runner's binary.

  bogo_test.py --shim PATH [--test PATTERNS]

Without a runner the test is passed over (exit code 77). README.md says how one is built. config.json names the tests
that are left out, each with its reason.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def reissue(resources, folder):
    """The runner's keys under certificates that our policy takes: a chain to a known CA, a name, usages. Returns the CA."""
    ca, ca_key = f"{folder}/sealcast_ca.pem", f"{folder}/sealcast_ca.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", ca_key, "-out", ca,
            "-days", "30", "-subj", "/CN=BoGo CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    extensions = f"{folder}/sealcast.ext"
    with open(extensions, "w") as out:
        out.write("basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:ks.example\n"
                  "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n")
    for name in os.listdir(resources):
        source, target = f"{resources}/{name}", f"{folder}/{name}"
        if not name.endswith(".pem"):
            continue
        if name.endswith("cert.pem"):
            key = source[:-len("cert.pem")] + "key.pem"
            request = f"{folder}/{name}.csr"
            openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
            openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "30",
                    "-extfile", extensions, "-out", target)
        else:
            with open(source, "rb") as read, open(target, "wb") as write:
                write.write(read.read())
    return ca


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shim", required=True)
    parser.add_argument("--test", default="")
    options = parser.parse_args()
    runner = os.environ.get("SEALCAST_BOGO_RUNNER")
    if not runner:
        print("passed over: SEALCAST_BOGO_RUNNER names no runner of BoringSSL's tests (tests/bogo/README.md)")
        sys.exit(SKIPPED)
    if not os.access(runner, os.X_OK):
        sys.exit(f"SEALCAST_BOGO_RUNNER: expected a runner's binary, got {runner}, which cannot be run")
    resources = os.environ.get("SEALCAST_BOGO_RESOURCES") or os.path.dirname(os.path.abspath(runner))
    with tempfile.TemporaryDirectory(prefix="sealcast-bogo-") as folder:
        environment = dict(os.environ, SEALCAST_BOGO_CA=reissue(resources, folder))
        command = [runner, "-shim-path", os.path.abspath(options.shim), "-shim-config", os.path.join(HERE, "config.json"),
                   "-resource-dir", folder, "-allow-unimplemented", "-loose-errors", "-pipe", "-num-workers", "2",
                   "-test.timeout", "840s"]
        if options.test:
            command += ["-test", options.test]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    text = done.stdout + done.stderr
    failed = re.findall(r"^FAILED \((.*)\)$", text, re.M)
    passed = re.findall(r"^PASSED \((.*)\)$", text, re.M)
    print(text[-200000:] if failed or done.returncode else text[-2000:])
    print(f"passed {len(passed)}, failed {len(failed)}, not for us {len(re.findall(r'^UNIMPLEMENTED', text, re.M))}")
    for name in failed:
        print("failed:", name)
    if done.returncode or failed or (not passed and not options.test):
        sys.exit(1)


if __name__ == "__main__":
    main()
