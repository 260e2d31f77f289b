"""A multicast handshake as tshark reads it."""
import re

from case import Failed


def tshark(case, *options):
    return case.run("tshark", "-r", case.path("capture.pcap"), *options)


def variant2_seen_by_tshark(case):
    """P2, P10, P22, P25: the analyser sees the extension, the flag, SMKE in place of Finished, and both key changes."""
    case.run(case.peer, "capture", case.dir)
    fields = tshark(case, "-T", "fields", "-e", "tls.handshake.extension.type", "-e", "tls.handshake.cert_type")
    if "65400" not in fields:
        raise Failed("no multicast_group extension (65400) seen: " + fields)
    if not re.search(r"(^|[\t,])30([\t,]|$)", fields, re.M):
        raise Failed("no certificate type 30 seen: " + fields)
    # tshark has no name for type 240 and shows "Encrypted Handshake Message"; its debug log has the decrypted bytes.
    log = case.path("tls.debug")
    with_keys = ["-o", "tls.keylog_file:" + case.path("keys.log"), "-o", "tls.debug_file:" + log]
    changes = tshark(case, *with_keys, "-T", "fields", "-e", "tls.record.content_type",
                     "-Y", "tls.record.content_type == 20")
    if sum(line.count("20") for line in changes.splitlines()) != 4:
        raise Failed("expected four ChangeCipherSpec records: " + changes)
    with open(log, encoding="latin-1") as file:
        opened = re.findall(r"auth_tag\(OK\).*?Plaintext\[(\d+)\]:\n\| ([0-9a-f ]{11})", file.read(), re.S)
    messages = [start.split()[0] for size, start in opened if int(size) > 1]
    if "14" not in messages or "f0" not in messages:
        raise Failed(f"with ms1, Finished1 (14) and SMKE (f0) should be readable, tshark opened: {opened}")
    if sum(1 for size, start in opened if size == "1" and start.split()[0] == "01") < 2:
        raise Failed(f"both second ChangeCipherSpec should come under the first keys, tshark opened: {opened}")
    if messages.count("14") != 1:
        raise Failed(f"H2: neither Finished2 may be readable with ms1 alone, tshark opened: {opened}")
    plain = tshark(case, "-T", "fields", "-e", "tls.handshake.type", "-Y", "ip.src == 10.0.0.1")
    if re.search(r"(^|[\t,])240([\t,]|$)", plain, re.M):
        raise Failed("SMKE is seen without keys: " + plain)


def cases():
    return {"variant2_seen_by_tshark": variant2_seen_by_tshark}
