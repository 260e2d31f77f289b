"""The standard TLS 1.2 flow with independent peers (P1), and that no member falls back to it (H4)."""
from case import ALERT, LINE, Failed, message_types, records
from peers import PEERS

CLIENT_HELLO, CERTIFICATE, CLIENT_KEY_EXCHANGE = 1, 11, 16
HANDSHAKE_FAILURE = b"\x02\x28"
FLAG, USUAL = 30, (64, 1)  # the multicast flag; ecdsa_sign and rsa_sign


def client(case, peer, key, mutual):
    """P1: their client completes, data passes both ways, both send close_notify."""
    options = ["--standard"] + ["--mutual"] * mutual + ["--bye"] * peer.waits_for_bye
    server, port = case.our_server("server", key, *options)
    peer.converse(peer.client(case, port, key if mutual else None, rsa_server=key == "rsa"), "echo: " + LINE)
    out, _ = case.finish(server, "our server")
    flow = "standard, mutual" if mutual else "standard"
    if f"ESTABLISHED {flow}," not in out:
        raise Failed(f"expected flow {flow}, our server said: {out}")
    if mutual and 'peer "client"' not in out:
        raise Failed("our server did not learn who the client is: " + out)
    if "CLOSED" not in out:
        raise Failed("the client said no close_notify: " + out)


def server(case, peer, key, mutual):
    """P1: our client completes with their server, data passes both ways."""
    port = peer.server(case, key, mutual)
    options = ["--standard", "--say", peer.our_line] + ["--mutual"] * mutual + ["--rsa"] * (key == "rsa")
    ours = case.our_client(port, *options)
    if ours.returncode != 0 or peer.answer not in ours.stdout:
        raise Failed(f"our client against {peer.name}: {ours.returncode} {ours.stdout} {ours.stderr}")
    flow = "standard, mutual" if mutual else "standard"
    if f"ESTABLISHED {flow}," not in ours.stdout or 'peer "ks.example"' not in ours.stdout:
        raise Failed("unexpected: " + ours.stdout)


def member_refuses(case, peer, mutual):
    """H4: no fallback, the message says why, and we sent only a hello and an alert: no key material."""
    recorder = case.record(peer.server(case, "ecdsa", mutual))
    ours = case.our_client(recorder.port)
    recorder.wait()
    if ours.returncode != 1 or "ESTABLISHED" in ours.stdout:
        raise Failed(f"the member did not refuse: {ours.stdout} {ours.stderr}")
    reason = "flag_missing" if mutual else "standard_server_refused"
    if reason not in ours.stderr or "never falls back" not in ours.stderr:
        raise Failed("the message is not clear: " + ours.stderr)
    if message_types(recorder.sent) != [CLIENT_HELLO]:
        raise Failed(f"a ClientHello alone may be sent, these types were: {message_types(recorder.sent)}")
    if [entry for entry in records(recorder.sent)[1:]] != [(ALERT, HANDSHAKE_FAILURE)]:
        raise Failed(f"one alert must follow the ClientHello, this did: {records(recorder.sent)[1:]}")
    print(ours.stderr.strip())


def type_does_not_disturb(case, peer, types):
    """P10, P12: a ClientCertificateType that no standard peer knows, beside the usual ones, is passed over."""
    for key in ("ecdsa", "rsa"):
        options = ["--types", ",".join(map(str, types))] + ["--bye"] * peer.waits_for_bye
        puppet, port = case.our_server("puppet", key, *options)
        recorder = case.record(port)
        peer.converse(peer.client(case, recorder.port, key, options=peer.only_12, rsa_server=key == "rsa"), "echo: " + LINE)
        out, _ = case.finish(puppet, "the puppet")
        recorder.wait()
        if bytes([len(types), *types]) not in bytes(recorder.got):
            raise Failed(f"the CertificateRequest with {types} was not sent: {recorder.got.hex()}")
        if CERTIFICATE not in message_types(recorder.sent):
            raise Failed("the client did not answer the CertificateRequest with its Certificate")
        if "CLOSED" not in out:
            raise Failed("the client said no close_notify: " + out)


def nss_wants_key_encipherment_of_rsa_servers(case):
    """Why tstclnt gets -o with our RSA servers: exactly this reason, and no other."""
    peer = PEERS["nss"]
    server_, port = case.our_server("server", "rsa", "--standard")
    said = peer.end(peer.client(case, port, rsa_server=True, strict=True), code=None)
    case.finish(server_, "our server", code=1)
    if "SEC_ERROR_INADEQUATE_KEY_USAGE" not in said:
        raise Failed("tstclnt said: " + said)


def standard_client_refused_by_default(case):
    """H4: without allow_standard the server ends the handshake at ClientHello, with a clear line."""
    server, port = case.our_server("server", "ecdsa")
    peer = PEERS["openssl"]
    said = peer.end(peer.client(case, port, say=False), code=None)
    _, err = case.finish(server, "our server", code=1)
    if "standard_client_refused" not in err:
        raise Failed("our server said: " + err)
    if peer.refused_as not in said:
        raise Failed("openssl said: " + said)


def rsa_key_exchange_refused(case):
    """Variant 1's suites do not open a standard connection: this server never decrypts with its key."""
    peer = PEERS["openssl"]
    server_, port = case.our_server("server", "rsa", "--standard")
    hello = peer.client(case, port, say=False, options=("-tls1_2", "-cipher", "AES128-GCM-SHA256:AES256-GCM-SHA384"))
    said = peer.end(hello, code=None)
    _, err = case.finish(server_, "our server", code=1)
    if "no_common_suite" not in err or peer.refused_as not in said:
        raise Failed(f"our server said: {err}; openssl said: {said}")


def old_version_refused(case):
    """DOWN-1: TLS 1.0, 1.1 and 1.3-only hellos get protocol_version."""
    peer = PEERS["openssl"]
    for option in ("-tls1", "-tls1_1", "-tls1_3"):
        server, port = case.our_server("server", "ecdsa", "--standard")
        hello = peer.client(case, port, say=False, options=(option, "-cipher", "ALL:@SECLEVEL=0"))
        said = peer.end(hello, code=None)
        _, err = case.finish(server, "our server", code=1)
        if "protocol_version" not in err or "alert protocol version" not in said:
            raise Failed(f"{option}: our server said: {err}; openssl said: {said}")


def variant2_over_tcp(case):
    """P43: the multicast flow over an ordinary TCP connection."""
    server_, port = case.our_server("server", "ecdsa")
    ours = case.our_client(port)
    if ours.returncode != 0 or "ESTABLISHED variant 2" not in ours.stdout or "control message" not in ours.stdout:
        raise Failed(f"{ours.stdout} {ours.stderr}")
    out, _ = case.finish(server_, "our server")
    if 'peer "member-a", group "tv"' not in out:
        raise Failed("our server said: " + out)


def cases():
    found = {
        "standard_client_refused_by_default": standard_client_refused_by_default,
        "nss_wants_key_encipherment_of_rsa_servers": nss_wants_key_encipherment_of_rsa_servers,
        "rsa_key_exchange_refused": rsa_key_exchange_refused,
        "old_version_refused": old_version_refused,
        "variant2_over_tcp": variant2_over_tcp,
    }
    for name, peer in PEERS.items():
        for key in ("ecdsa", "rsa"):
            for mutual in (False, True):
                kind = ("mutual_" if mutual else "") + key
                found[f"{name}_client_{kind}"] = lambda c, p=peer, k=key, m=mutual: client(c, p, k, m)
                found[f"{name}_server_{kind}"] = lambda c, p=peer, k=key, m=mutual: server(c, p, k, m)
        found[f"member_refuses_{name}_server"] = lambda c, p=peer: member_refuses(c, p, False)
        found[f"member_refuses_{name}_server_that_asks_for_a_certificate"] = lambda c, p=peer: member_refuses(c, p, True)
        found[f"flag_does_not_disturb_{name}"] = lambda c, p=peer: type_does_not_disturb(c, p, (*USUAL, FLAG))
        found[f"private_type_does_not_disturb_{name}"] = lambda c, p=peer: type_does_not_disturb(c, p, (250, *USUAL, FLAG))
    return found
