"""Events of groups that come and go: one that a gateway has only while a host listens, and one that is added to
running gateways and key servers (SIGHUP) and removed again. Neither may cost a packet of any other group's stream."""
import signal

from lab import igmp
from world import GROUPS, PASSING, PASSING_AT

_AGAIN = 1.5      # seconds between two SIGHUPs to a key server that was starting when the first came
_ON_ITS_WAY = 0.5  # seconds that a datagram may still take when its group is gone


def _membership(place, group):
    status = place.status()
    if status is None:
        return None
    return next((one for one in status["agent"]["groups"] if one["group"] == group), {"state": "none"})


def listen_on_demand(soak, place, hold):
    """A host listens, the gateway joins and the stream arrives; when no host listens any more the gateway gives the
    key back."""
    group = place.demands()[0]
    disturbance = soak.judge.disturb("listen on demand")
    disturbance.detail = f"{place.name} {group}"
    soak.say(f"a host listens to {group} at {place.name}, {hold:.1f} s")
    listener, record = soak.world.listen(place, group)
    sender = soak.world.first_sender(group)

    def wrong():
        one = _membership(place, group)
        if one is None or one["state"] != "joined":
            return f"{place.name} is {one and one['state']} in {group}"
        if soak.judge.disturbed(sender, group):
            return None  # the group may have no stream
        return None if record.exists() and record.stat().st_size > 0 else f"nothing of {sender} arrives"
    yield from soak.settle(disturbance, wrong)
    yield from soak.pause(hold)
    listener.process.stop()
    with igmp.link(place.red) as querier:
        querier.send(igmp.query(f"{GROUPS[group]}.1"))

    def let_go():
        one = _membership(place, group)
        return one is not None and one["state"] == "idle" and not one.get("epochs")
    yield from soak.until(let_go, 8, f"{place.name} to let go of {group}, which has no listener")
    return disturbance


def _servers_have(soak, wanted, signalled):
    """What is not as it should be yet; makes key servers without the wanted groups read their files again."""
    for server in soak.world.servers:
        status = server.status()
        if status is None:
            return f"key server {server.name} does not answer"
        if any(one["group"] == PASSING for one in status["groups"]) == wanted:
            continue
        if soak.now() > signalled.get(server.name, 0) + _AGAIN:
            signalled[server.name] = soak.now()
            server.send_signal(signal.SIGHUP)
        return f"key server {server.name} has {'not ' if wanted else ''}taken up {PASSING}"
    return None


def group_comes_and_goes(soak, hold):
    world = soak.world
    disturbance = soak.judge.disturb("group comes and goes")
    disturbance.detail = PASSING
    soak.say(f"{PASSING} comes, for {hold:.1f} s")
    places = [world.places[name] for name in PASSING_AT]
    sender = next(place for place in places if PASSING_AT[place.name] == "sender")
    listening = next(place for place in places if PASSING_AT[place.name] == "receiver")
    for server in world.servers:
        server.write(True)
    signalled = {}
    yield from soak.settle(disturbance, lambda: _servers_have(soak, True, signalled))
    for place in places:
        world.write(place, passing=True)
        place.send_signal(signal.SIGHUP)

    def not_joined():
        for place in places:
            one = _membership(place, PASSING)
            if one is None or one["state"] != "joined" or (place is sender and one.get("epoch_state") != "active"):
                return f"{place.name} is {one and one['state']} in {PASSING}: {(one or {}).get('why', '')}"
        return None
    yield from soak.settle(disturbance, not_joined)
    listener, record = world.listen(listening, PASSING)
    stream = world.send_passing(sender)

    def heard():
        return record.stat().st_size if record.exists() else 0
    yield from soak.settle(disturbance, lambda: None if heard() else f"nothing of {PASSING} arrives")
    yield from soak.pause(hold)

    soak.say(f"{PASSING} goes")
    for place in places:
        world.write(place)
        place.send_signal(signal.SIGHUP)

    def gone():
        found = [_membership(place, PASSING) for place in places]
        return all(one is not None and one["state"] == "none" for one in found)
    yield from soak.until(gone, 8, f"{PASSING} to be gone from its gateways")
    yield from soak.pause(_ON_ITS_WAY)
    before = heard()
    yield from soak.pause(_ON_ITS_WAY)
    if heard() != before:
        soak.judge.violate(f"H10: datagrams of {PASSING} arrive although its gateways have let go of it")
    stream.process.stop()
    listener.process.stop()
    for server in world.servers:
        server.write(False)
    signalled.clear()
    yield from soak.settle(disturbance, lambda: _servers_have(soak, False, signalled))
    return disturbance
