"""The events of a soak. Each draws its particulars when it is planned, so that a seed means the same events, and
then runs as a generator in the soak's loop. An event that may lose packets names the gateways; all others may lose
none."""
import signal
import threading

from lab.process import LabError

import comers
from world import GROUPS, LEASE, ON_DEMAND, PASSING_AT

BEGINNING, STALL = "beginning", "machine stood still"
_REKEYED = 90.0  # seconds until all members have a requested epoch, with a key server lost meanwhile
# Seconds until a revocation is complete, from the last blow to a key server, with which its members' leases begin anew,
# and from the group's last revocation: a group reports all of them together.
_REVOKED = LEASE + 60.0
_RESTORED = 60.0  # seconds until all members have an epoch after etcd was restored: the leader's lease, and a hand-over


def beginning(soak, disturbance):
    """Everything was started: wait until all are joined."""
    if soak.world.cluster:
        yield from soak.until(lambda: len(soak.world.answering()) == 3, 40, "three key servers to serve")
    yield from _settle(soak, disturbance, soak.world.places.values(), bound=60)


def _settle(soak, disturbance, places, bound=None):
    since = soak.now()
    places = list(places)

    def wrong():
        for place in places:
            why = soak.why_not(place, since)
            if why:
                return why
        return None
    yield from soak.settle(disturbance, wrong, **({"bound": bound} if bound else {}))
    return disturbance


# ---------------------------------------------------------------- gateways

def kill_gateway(soak, place, down):
    disturbance = soak.judge.disturb("kill gateway", [place.name])
    disturbance.detail = place.name
    soak.say(f"kill -9 {place.name}, {down:.1f} s")
    soak.watch.expected.add(place.name)
    place.kill()
    yield from soak.pause(down)
    place.begin()
    soak.watch.expected.discard(place.name)
    return (yield from _settle(soak, disturbance, [place]))


def leave_and_join(soak, place, down):
    disturbance = soak.judge.disturb("leave and join", [place.name])
    disturbance.detail = place.name
    soak.say(f"{place.name} leaves for {down:.1f} s")
    soak.watch.expected.add(place.name)
    place.send_signal(signal.SIGTERM)
    yield from soak.until(lambda: not place.process.running(), 10, f"{place.name} to end at SIGTERM")
    code = place.process.child.returncode
    if code != 0:
        soak.judge.violate(f"{place.name} ended with {code} at SIGTERM: {place.process.tail()}")
    yield from soak.pause(down)
    place.begin()
    soak.watch.expected.discard(place.name)
    return (yield from _settle(soak, disturbance, [place]))


def pause_gateway(soak, place, seconds):
    disturbance = soak.judge.disturb("pause gateway", [place.name])
    disturbance.detail = place.name
    soak.say(f"SIGSTOP {place.name}, {seconds:.1f} s")
    place.send_signal(signal.SIGSTOP)
    yield from soak.pause(seconds)
    place.send_signal(signal.SIGCONT)
    return (yield from _settle(soak, disturbance, [place]))


def cut_control(soak, place, seconds):
    disturbance = soak.judge.disturb("cut off from key servers", [place.name])
    disturbance.detail = place.name
    soak.say(f"{place.name} is cut off from the key servers, {seconds:.1f} s")
    place.link(False)
    yield from soak.pause(seconds)
    place.link(True)
    return (yield from _settle(soak, disturbance, [place]))


def cut_black(soak, place, seconds):
    disturbance = soak.judge.disturb("cut off from black", [place.name])
    disturbance.detail = place.name
    soak.say(f"{place.name} is cut off from black, {seconds:.1f} s")
    soak.world.set_black(place, False)
    yield from soak.pause(seconds)
    soak.world.set_black(place, True)
    return (yield from _settle(soak, disturbance, [place]))


def revoke(soak, place, hold):
    """Revoked everywhere, complete, silent, and admitted again."""
    judge = soak.judge
    disturbance = judge.disturb("revoke and reinstate", [place.name])
    disturbance.detail = place.name
    soak.say(f"revoke {place.name}")
    asked = soak.now()

    def since():
        others = [other.start for other in judge.disturbances if other.kind == disturbance.kind]
        return soak.last_blow(disturbance, max([asked, *others]))
    server = yield from _accepted(soak, {"command": "revoke", "member": place.name, "force": True})
    if server is None:
        return disturbance

    def complete():
        for one in soak.world.answering():
            told = one.ask({"command": "revocations"}) or {}
            if not any(r["member"] == place.name for r in told.get("revocations", [])):
                continue
            states = {state["group"]: state["complete"] for state in told.get("groups", [])}
            # Groups that it has only on demand may be missing.
            known = {**{group: True for group in place.demands()}, **states}
            if all(known.get(group) for group in (*place.roles, *place.demands())):
                return True
        return False
    if not (yield from soak.until(complete, _REVOKED, f"the revocation of {place.name} to be complete", since)):
        return disturbance
    soak.revocations.append(soak.now() - asked)
    soak.say(f"  revocation of {place.name} complete after {soak.now() - asked:.1f} s")
    judge.forbid(place.name, place.roles)
    place.keep_blocks()
    soak.black.forbid(place.name, place.red_keys)
    yield from soak.pause(hold)
    soak.black.allow(place.name)
    judge.allow(place.name, place.roles)
    soak.say(f"reinstate {place.name}")
    yield from _accepted(soak, {"command": "reinstate", "member": place.name})
    return (yield from _settle(soak, disturbance, [place]))


def _accepted(soak, request, seconds=40):
    """Asks key servers until one reports success; returns it."""
    end = soak.now() + seconds
    last = "no key server answers"
    while soak.now() < end:
        for server in soak.world.answering():
            answer = server.ask(request, 5)
            if answer and answer.get("ok"):
                return server
            last = (answer or {}).get("error", last)
        yield 0.2
    soak.judge.violate(f"{request}: no key server did it within {seconds} s: {last}")
    return None


# ---------------------------------------------------------------- rekeying

def _in_newer_epoch(soak, place, group, before):
    """Whether that epoch, a later one than `before`, is the active one there."""
    status = soak.watch.latest.get(place.name)
    state = next((g for g in status["agent"]["groups"] if g["group"] == group), {}) if status else {}
    return state.get("epoch", 0) > before and state.get("epoch_state") == "active"


def rekey(soak, group):
    asked = soak.now()
    before = soak.watch.newest[group]
    soak.say(f"rekey {group}")
    server = yield from _accepted(soak, {"command": "rekey", "group": group})
    if server is None:
        return None

    def have_it():
        return all(group not in place.roles or soak.judge.disturbed(place.name, group)
                   or _in_newer_epoch(soak, place, group, before) for place in soak.world.places.values())
    if (yield from soak.until(have_it, _REKEYED, f"all in {group} to have a newer epoch than {before}")):
        soak.rekeys.append(soak.now() - asked)
        soak.say(f"  rekey {group}: at all members {soak.now() - asked:.1f} s after")
    return None


# ---------------------------------------------------------------- key servers

def _members_back(soak, disturbance, above=None):
    """Every undisturbed gateway is joined somewhere, as the key servers report; with above (group → epoch) in a
    newer one."""
    world = soak.world

    def missing():
        joined = set()
        for server in world.servers:
            status = server.status()
            if status is None or status.get("cluster", {}).get("state", "serving") != "serving":
                return f"key server {server.name} does not serve"
            joined |= {(member["member"], group["group"]) for group in status["groups"] for member in group["members"]}
        for place in world.places.values():
            for group in place.roles:
                if soak.judge.disturbed(place.name, group):
                    continue
                if (place.name, group) not in joined:
                    return f"{place.name} is joined to {group} nowhere"
                if above and not _in_newer_epoch(soak, place, group, above[group]):
                    return f"{place.name} has no newer epoch of {group}"
        return None
    yield from soak.settle(disturbance, missing, **({"bound": _RESTORED} if above else {}))
    return disturbance


def kill_keyserver(soak, server, down, kind="kill key server"):
    disturbance = soak.judge.disturb(kind)
    disturbance.takes_servers_away = True
    disturbance.detail = server.name
    soak.say(f"kill -9 key server {server.name}, {down:.1f} s")
    soak.watch.expected.add(server.name)
    server.process.kill()
    yield from soak.pause(down)
    server.begin()
    soak.watch.expected.discard(server.name)
    return (yield from _members_back(soak, disturbance))


def kill_leader(soak, down):
    server = soak.world.leader()
    if server is None:
        soak.say("no key server leads just now")
        return None
    return (yield from kill_keyserver(soak, server, down, "kill leader"))


def pause_keyserver(soak, server, seconds):
    disturbance = soak.judge.disturb("pause key server")
    disturbance.takes_servers_away = True
    disturbance.detail = server.name
    soak.say(f"SIGSTOP key server {server.name}, {seconds:.1f} s")
    server.send_signal(signal.SIGSTOP)
    yield from soak.pause(seconds)
    server.send_signal(signal.SIGCONT)
    return (yield from _members_back(soak, disturbance))


def reload_keyservers(soak):
    disturbance = soak.judge.disturb("reload key servers")
    soak.say("SIGHUP to all key servers")
    for server in soak.world.servers:
        if server.answers():
            server.send_signal(signal.SIGHUP)
    return (yield from _members_back(soak, disturbance))


def cut_machine(soak, server, seconds):
    disturbance = soak.judge.disturb("cut off machine")
    disturbance.takes_servers_away = True
    disturbance.detail = server.name
    soak.say(f"machine {server.name} is cut off with its etcd, {seconds:.1f} s")
    server.machine.link("down")
    yield from soak.pause(seconds)
    server.machine.link("up")
    return (yield from _members_back(soak, disturbance))


def kill_etcd(soak, servers, down):
    disturbance = soak.judge.disturb("kill etcd" if len(servers) == 1 else "kill all etcd")
    disturbance.takes_servers_away = True
    disturbance.detail = " ".join(server.name for server in servers)
    soak.say(f"kill -9 etcd {disturbance.detail}, {down:.1f} s")
    for server in servers:
        server.machine.etcd.kill()
    yield from soak.pause(down)
    for server in servers:
        server.machine.start_etcd()
    return (yield from _members_back(soak, disturbance))


def _beside(soak, what, work):
    """Runs a slow command (etcdctl) beside the loop; False if it failed."""
    failures = []

    def attempt():
        try:
            work()
        except (LabError, OSError) as error:
            failures.append(error)
    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    while thread.is_alive():
        yield 0.1
    if failures:
        soak.judge.violate(f"the laboratory could not {what}: {failures[0]}")
    return not failures


def restore_etcd(soak, group):
    """A backup, an epoch that it does not know, and then etcd is set back to it."""
    cluster = soak.world.cluster
    backup = soak.world.lab.work / "backup.db"
    backup.unlink(missing_ok=True)
    soak.say("etcd's data is saved")
    if not (yield from _beside(soak, "save etcd's data", lambda: cluster.save(backup))):
        return None
    yield from rekey(soak, group)
    disturbance = soak.judge.disturb("restore etcd")
    disturbance.takes_servers_away = True
    before = dict(soak.watch.newest)
    soak.say("all etcd are killed, set back to the backup and started")
    if not (yield from _beside(soak, "restore etcd's data", lambda: cluster.set_back(backup))):
        return None
    for machine in cluster.machines:
        machine.start_etcd()
    # Key servers make new epochs when etcd was restored from a backup: that shows that they noticed.
    return (yield from _members_back(soak, disturbance, above={group: before[group] for group in GROUPS}))


# ---------------------------------------------------------------- the black network

def impair(soak, seconds):
    """Reordering within a replay window and doubled frames: the streams must not notice."""
    disturbance = soak.judge.disturb("double and reorder")
    soak.say(f"the wire doubles and reorders, {seconds:.1f} s")
    soak.world.wire.order("duplicate 0.02")
    soak.world.wire.order("reorder 0.02")
    yield from soak.pause(seconds)
    soak.world.wire.order("duplicate 0")
    soak.world.wire.order("reorder 0")
    disturbance.over = disturbance.settled = soak.now()
    return disturbance


# ---------------------------------------------------------------- choice and schedule

CONTROL = ("kill key server", "kill leader", "pause key server", "cut off machine", "kill etcd", "kill all etcd",
           "restore etcd", "reload key servers")
KINDS = {"kill gateway": 4, "leave and join": 3, "pause gateway": 3, "cut off from key servers": 3,
         "cut off from black": 3, "revoke and reinstate": 4, "rekey": 7, "kill key server": 3, "kill leader": 3,
         "pause key server": 3, "reload key servers": 1, "cut off machine": 3, "kill etcd": 2, "kill all etcd": 1,
         "restore etcd": 3, "double and reorder": 2, "listen on demand": 3, "group comes and goes": 2}
_OF_A_CLUSTER = ("kill leader", "cut off machine", "kill etcd", "kill all etcd", "restore etcd")
_MACHINE = frozenset({"machine"})  # one of the key servers' machines at a time: etcd keeps its majority


def usable(world, only):
    return [kind for kind in KINDS if (not only or kind in only) and (world.cluster or kind not in _OF_A_CLUSTER)]


def plan(soak, kinds):
    """(kind, generator, locks) of the next event; None if the drawn one cannot run now."""
    draw = soak.random
    kind = draw.choices(kinds, [KINDS[kind] for kind in kinds])[0]
    place = draw.choice(list(soak.world.places.values()))
    server = draw.choice(soak.world.servers)
    group = draw.choice(list(GROUPS))
    short, long = draw.uniform(0.2, 4), draw.uniform(2, 14)
    at_place = {"kill gateway": lambda: kill_gateway(soak, place, short),
                "leave and join": lambda: leave_and_join(soak, place, short),
                "pause gateway": lambda: pause_gateway(soak, place, short),
                "cut off from key servers": lambda: cut_control(soak, place, long),
                "cut off from black": lambda: cut_black(soak, place, short),
                "revoke and reinstate": lambda: revoke(soak, place, short)}
    at_server = {"kill key server": lambda: kill_keyserver(soak, server, short),
                 "kill leader": lambda: kill_leader(soak, short),
                 "pause key server": lambda: pause_keyserver(soak, server, long),
                 "reload key servers": lambda: reload_keyservers(soak),
                 "cut off machine": lambda: cut_machine(soak, server, long),
                 "kill etcd": lambda: kill_etcd(soak, [server], long),
                 "kill all etcd": lambda: kill_etcd(soak, soak.world.servers, short)}
    if kind in at_place:
        locks = frozenset({f"gateway {place.name}"})
        if kind == "revoke and reinstate":
            locks |= {f"standing of {place.name}"}
        make = at_place[kind]
    elif kind in at_server:
        locks = _MACHINE
        make = at_server[kind]
    elif kind == "restore etcd":
        # A backup lacks later reinstatements: no member is revoked and reinstated meanwhile.
        locks = _MACHINE | {f"rekey {group}", *(f"standing of {name}" for name in soak.world.places)}
        make = lambda: restore_etcd(soak, group)
    elif kind == "rekey":
        locks = frozenset({f"rekey {group}"})
        make = lambda: rekey(soak, group)
    elif kind == "listen on demand":
        place = soak.world.places[draw.choice(list(ON_DEMAND))]
        locks = frozenset({f"gateway {place.name}"})
        make = lambda: comers.listen_on_demand(soak, place, short)
    elif kind == "group comes and goes":
        locks = frozenset({"passing group", *(f"gateway {name}" for name in PASSING_AT)})
        make = lambda: comers.group_comes_and_goes(soak, short)
    else:
        locks = frozenset({"wire"})
        make = lambda: impair(soak, long)
    return None if locks & soak.held else (kind, make(), locks)


# ---------------------------------------------------------------- broken on purpose, to prove that the soak notices

def _lose(soak):
    soak.world.wire.order("drop 0.01")


def _stay_away(soak):
    """A gateway that ends without being asked to."""
    next(iter(soak.world.places.values())).kill()


SABOTAGE = {"loss": _lose, "death": _stay_away}
