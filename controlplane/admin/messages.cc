#include "controlplane/admin/messages.h"

#include <algorithm>
#include <type_traits>

#include "controlplane/admin/fields.h"

namespace sealcast {

// The data plane's statistics: in their own namespace, so that Writer and Reader find the lists of their fields.

template <typename F, admin::Is<DropCount> S>
void fields(F& f, S& s) {
  f("reason", s.reason);
  f("packets", s.packets);
}

template <typename F, admin::Is<PortStatistics> S>
void fields(F& f, S& s) {
  f("name", s.name);
  f("device", s.device);
  f("link_up", s.link_up);
  f.figures(s, port_figures);
}

template <typename F, admin::Is<SenderEstimate> S>
void fields(F& f, S& s) {
  f.figures(s, sender_figures);
  f.or_null("silent_s", s.silent_s);
}

template <typename F, admin::Is<SaStatistics> S>
void fields(F& f, S& s) {
  f("group", s.group_id);
  f("epoch", s.epoch);
  f.spi("spi", s.spi);
  f("worker", s.worker);
  f.either("direction", s.outbound, "out", "in");
  f("active", s.active);
  f.figures(s, sa_figures);
  f.by_reason("drops", s.drops);
  f("sender", s.sender);
}

template <typename F, admin::Is<GroupStatistics> S>
void fields(F& f, S& s) {
  f("group", s.group_id);
  f.or_null("active_epoch", s.active_epoch);
  f.figures(s, group_figures);
  f.or_null("silent_s", s.silent_s);
  f.by_reason("drops", s.drops);
}

template <typename F, admin::Is<WorkerStatistics> S>
void fields(F& f, S& s) {
  f("worker", s.index);
  f.figures(s, worker_figures);
  f.by_reason("drops", s.drops);
}

template <typename F, admin::Is<NeighbourStatistics> S>
void fields(F& f, S& s) {
  f("name", s.name);
  f("site", s.site);
  f("mac", s.mac);
  f("state", s.state);
  f("ignored", s.ignored);
}

template <typename F, admin::Is<RedSegmentStatistics> S>
void fields(F& f, S& s) {
  f("state", s.state);
  f("neighbours", s.neighbours);
  f("last_moved", s.last_moved);
}

template <typename F, admin::Is<BypassStatistics> S>
void fields(F& f, S& s) {
  f("rule", s.rule);
  f("direction", s.direction);
  f.figures(s, bypass_figures);
  f("last_loop", s.last_loop);
}

namespace admin {
namespace {

template <typename F>
void gateway_answers(F& f) {
  std::string daemon = "gateway";
  f("daemon", daemon);
}

// What ports and top show of the plane.
template <typename F, Is<DataPlaneStatistics> S>
void port_fields(F& f, S& s) {
  f.time("taken_s", s.taken);
  f("ports", s.ports);
  f("drops", s.drops);
  f("workers", s.workers);
  f.figures(s, detour_figures);
}

}  // namespace

template <typename F, Is<DatagramCounts> S>
void fields(F& f, S& s) {
  f("taken", s.taken);
  f("old", s.old);
  f("refused", s.refused);
  f("held_back", s.held_back);
}

template <typename F, Is<HeldEpoch> S>
void fields(F& f, S& s) {
  f("epoch", s.epoch);
  f("epoch_id", s.epoch_id);
  f("epoch_state", s.epoch_state);
  f("remaining_s", s.remaining);
  f("lease_remaining_s", s.lease_remaining);
  f("clock_error_s", s.clock_error);
  f("slots_known", s.slots_known);
  f.spis("own_slots", s.own_slots);
}

template <typename F, Is<AgentEpoch> S>
void fields(F& f, S& s) {
  f("epoch", s.epoch);
  f("epoch_id", s.epoch_id);
  f("state", s.state);
  f("remaining_s", s.remaining);
  f("slots_derived", s.slots_derived);
}

template <typename F, Is<AgentGroup> S>
void fields(F& f, S& s) {
  f("group", s.group);
  f("state", s.state);
  f("why", s.why);
  f("role", s.role);
  f("carriage", s.carriage);
  f("keyserver", s.keyserver);
  f("keyserver_id", s.keyserver_id);
  f("member_id", s.member_id);
  f.flat("epoch", s.held);
  f("joins", s.joins);
  f("failures", s.failures);
  f("rekeys", s.rekeys);
  f("alarm", s.alarm);
  f("alarms", s.alarms);
  f("datagrams", s.datagrams);
  f("epochs", s.epochs);
}

template <typename F, Is<Validity> S>
void fields(F& f, S& s) {
  f("what", s.what);
  f("ends", s.ends);
  f("left_s", s.left);
  f("used_percent", s.used_percent);
  f("stage", s.stage);
}

template <typename F, Is<AgentStatus> S>
void fields(F& f, S& s) {
  f("groups", s.groups);
  f("joined", s.joined);
  f("connections", s.connections);
  f("snapshot_resumes", s.snapshot_resumes);
  f("validity", s.validity);
}

template <typename F, Is<EpochStatus> S>
void fields(F& f, S& s) {
  f("epoch", s.epoch);
  f("epoch_id", s.epoch_id);
  f("state", s.state);
  f("age_s", s.age);
  f("remaining_s", s.remaining);
  f.spi("spi_prefix", s.spi_prefix);
  f("slots_used", s.slots_used);
  f("slots_capacity", s.slots_capacity);
  f("holders", s.holders);
}

template <typename F, Is<ActiveEpoch> S>
void fields(F& f, S& s) {
  f("epoch", s.epoch);
  f("remaining_s", s.remaining);
  f("slots_used", s.slots_used);
  f("slots_capacity", s.slots_capacity);
}

template <typename F, Is<MemberReport> S>
void fields(F& f, S& s) {
  f("epoch", s.epoch);
  f("sealed", s.sealed);
  f("opened", s.opened);
  f("dropped", s.dropped);
  f("age_s", s.age);
}

template <typename F, Is<MemberStatus> S>
void fields(F& f, S& s) {
  f("member", s.member);
  f.unless_empty("keyserver", s.keyserver);
  f("address", s.address);
  f("carriage", s.carriage);
  f("roles", s.roles);
  f("joined_s", s.joined);
  f.spis("slots", s.slots);
  f("behind", s.behind);
  f("acknowledged", s.acknowledged);
  f("activated", s.activated);
  f("report", s.report);
}

template <typename F, Is<ListedMember> S>
void fields(F& f, S& s) {
  f("group", s.group);
  f("newest_epoch", s.newest_epoch);
  fields(f, s.status);
}

template <typename F, Is<MemberList> S>
void fields(F& f, S& s) {
  f("members", s.members);
}

template <typename F, Is<RekeyStatus> S>
void fields(F& f, S& s) {
  f("epoch", s.epoch);
  f("why", s.why);
  f("age_s", s.age);
  f("told", s.told);
  f("acknowledged", s.acknowledged);
  f.unless_empty("slowest", s.slowest);
  f("slowest_after_ms", s.slowest_after_ms);
  f("active_after_ms", s.active_after_ms);
  f("unacknowledged", s.unacknowledged);
}

template <typename F, Is<ClusterGroup::Server> S>
void fields(F& f, S& s) {
  f("name", s.name);
  f("installed", s.installed);
  f("switched", s.switched);
}

template <typename F, Is<ClusterGroup> S>
void fields(F& f, S& s) {
  f("highest", s.highest);
  f("active", s.active);
  f("wanted", s.wanted);
  f("servers", s.servers);
}

template <typename F, Is<KeyserverGroup> S>
void fields(F& f, S& s) {
  f("group", s.group);
  f("suite", s.suite);
  f("variant", s.variant);
  f("mode", s.mode);
  f("numbers", s.numbers);
  f("handing_over", s.handing_over);
  f("epoch_lifetime_s", s.epoch_lifetime);
  f("authority_lease_s", s.authority_lease);
  f("joined", s.joined);
  f("joined_here", s.joined_here);
  f("expected", s.expected);
  f("expected_by", s.expected_by);
  f("missing", s.missing);
  f("missing_count", s.missing_count);
  f("behind", s.behind);
  f("behind_count", s.behind_count);
  f("selectors", s.selectors);
  f("epochs", s.epochs);
  f.flat("epoch", s.active);
  f("last_rekey", s.last_rekey);
  f("members", s.members);
  f("cluster", s.cluster);
}

template <typename F, Is<ClusterStatus::Server> S>
void fields(F& f, S& s) {
  f("name", s.name);
  f("address", s.address);
  f("leader", s.leader);
  f("self", s.self);
  f("known_s", s.known);
  f("incarnation", s.incarnation);
  f("seen_s", s.seen);
}

template <typename F, Is<ClusterStatus::Gone> S>
void fields(F& f, S& s) {
  f("name", s.name);
  f("incarnation", s.incarnation);
  f("gone_s", s.gone);
  f("leases_end_in_s", s.leases_end_in);
}

template <typename F, Is<ClusterStatus> S>
void fields(F& f, S& s) {
  f("name", s.name);
  f("state", s.state);
  f("incarnation", s.incarnation);
  f("leader", s.leader);
  f("leading", s.leading);
  f("revision", s.revision);
  f("servers", s.servers);
  f("gone", s.gone);
  f("lease_ttl_s", s.lease_ttl);
  f("answered_s", s.answered);
  f("lease_left_s", s.lease_left);
  f("cut_off_s", s.cut_off);
  f("clock_error_s", s.clock_error);
  f.unless_empty("alarm", s.alarm);
}

template <typename F, Is<HandshakeCounts> S>
void fields(F& f, S& s) {
  f("completed", s.completed);
  f("standard", s.standard);
  f("failed", s.failed);
}

template <typename F, Is<PasswordStatus> S>
void fields(F& f, S& s) {
  f("users", s.users);
  f("waiting", s.waiting);
  f("locked", s.locked);
}

template <typename F, Is<IsakmpStatus> S>
void fields(F& f, S& s) {
  f("connections", s.connections);
  f("cookies_shown", s.cookies_shown);
}

template <typename F, Is<ClockStatus> S>
void fields(F& f, S& s) {
  f("agrees", s.agrees);
  f("apart_s", s.apart);
  f("judged_by", s.judged_by);
}

template <typename F, Is<KeyserverStatus> S>
void fields(F& f, S& s) {
  f.unless_empty("daemon", s.daemon);
  f.unless_empty("version", s.version);
  f("id", s.id);
  f("uptime_s", s.uptime);
  f("connections", s.connections);
  f("members", s.members);
  f("handshakes", s.handshakes);
  f("refused", s.refused);
  f("groups", s.groups);
  f.unless_empty("listen", s.listen);
  f.unless_empty("listen_isakmp", s.listen_isakmp);
  f("passwords", s.passwords);
  f("isakmp", s.isakmp);
  f("cluster", s.cluster);
  f("clock", s.clock);
  f("validity", s.validity);
}

template <typename F, Is<KeyserverGroups> S>
void fields(F& f, S& s) {
  f.unless_empty("daemon", s.daemon);
  f.unless_empty("version", s.version);
  f("id", s.id);
  f("groups", s.groups);
  f("cluster", s.cluster);
}

template <typename F, Is<Done> S>
void fields(F& f, S&) {
  bool ok = true;
  f("ok", ok);
}

template <typename F, Is<RekeyRequest> S>
void fields(F& f, S& s) {
  f.required("group", s.group);
}

template <typename F, Is<RevokeRequest> S>
void fields(F& f, S& s) {
  f.required("member", s.member);
  f("group", s.group);
  f("force", s.force);
}

template <typename F, Is<ReinstateRequest> S>
void fields(F& f, S& s) {
  f.required("member", s.member);
  f("group", s.group);
}

template <typename F, Is<UnlockRequest> S>
void fields(F& f, S& s) {
  f.required("user", s.user);
}

template <typename F, Is<ClockAcceptRequest> S>
void fields(F&, S&) {}

template <typename F, Is<Revoked> S>
void fields(F& f, S& s) {
  f("ok", s.ok);
  f("unknown", s.unknown);
  if (s.unknown) f("similar", s.similar);
}

template <typename F, Is<Revocations::Entry> S>
void fields(F& f, S& s) {
  f("member", s.member);
  f("since", s.since);
  f.unless_empty("group", s.group);
}

template <typename F, Is<Revocations::Progress> S>
void fields(F& f, S& s) {
  f("group", s.group);
  f("complete", s.complete);
  f("since_s", s.since);
  f("senders_awaited", s.senders_awaited);
  f("members_behind", s.members_behind);
  f("keyservers_awaited", s.keyservers_awaited);
  f("after_s", s.after);
  f("leases_end_in_s", s.leases_end_in);
  f("epoch", s.epoch);
}

template <typename F, Is<Revocations> S>
void fields(F& f, S& s) {
  f("revocations", s.revocations);
  f("groups", s.groups);
}

template <typename F, Is<AuditAnswer::Event> S>
void fields(F& f, S& s) {
  f("time", s.time);
  f("level", s.level);
  f("event", s.event);
  f.pairs("fields", s.fields);
}

template <typename F, Is<AuditAnswer> S>
void fields(F& f, S& s) {
  f("events", s.events);
  f("more", s.more);
}

template <typename F, Is<AuditRequest> S>
void fields(F& f, S& s) {
  f("since_ms", s.since_ms);
  f.unless_empty("group", s.group);
  f.unless_empty("member", s.member);
  f.unless_empty("event", s.event);
  f("epoch", s.epoch);
  f("count", s.count);
}

template <typename F, typename S>
requires Is<S, RevocationsRequest> || Is<S, PortsRequest> || Is<S, TopRequest> || Is<S, GroupsRequest>
void fields(F&, S&) {}

template <typename F, Is<PlaneStatus> S>
void fields(F& f, S& s) {
  auto& all = s.statistics;
  f.time("taken_s", all.taken);
  f("engine", all.engine);
  f.figures(all, plane_figures);
  f("ports", all.ports);
  f("groups", all.groups);
  f("sas", all.sas);
  f("sas_unheard", s.sas_unheard);
  f("workers", all.workers);
  f("bypass", all.bypass);
  f("red_segment", all.red_segment);
  f("drops", all.drops);
  f.by_reason("events_lost", all.events_lost);
  f.figures(all, detour_figures);
}

template <typename F, Is<StatusRequest> S>
void fields(F& f, S& s) {
  f("all", s.all);
}

template <typename F, Is<GatewayStatus> S>
void fields(F& f, S& s) {
  gateway_answers(f);
  f("version", s.version);
  f("agent", s.agent);
  f("dataplane", s.dataplane);
  f("keyserver", s.keyserver);
}

template <typename F, Is<PortsAnswer> S>
void fields(F& f, S& s) {
  gateway_answers(f);
  port_fields(f, s.statistics);
}

template <typename F, Is<TopAnswer> S>
void fields(F& f, S& s) {
  gateway_answers(f);
  port_fields(f, s.statistics);
  f("groups", s.statistics.groups);
}

template <typename F, Is<PlaneGroups> S>
void fields(F& f, S& s) {
  gateway_answers(f);
  f.time("taken_s", s.statistics.taken);
  f("groups", s.statistics.groups);
  f("keyserver", s.keyserver);
}

template <typename F, Is<SasAnswer> S>
void fields(F& f, S& s) {
  gateway_answers(f);
  f.time("taken_s", s.statistics.taken);
  f("sas", s.statistics.sas);
  f("sas_unheard", s.sas_unheard);
}

template <typename F, Is<SasRequest> S>
void fields(F& f, S& s) {
  f.unless_empty("group", s.group);
  f("all", s.all);
}

template <typename F, Is<WhatIfAnswer::Step> S>
void fields(F& f, S& s) {
  f("step", s.step);
  f("text", s.text);
}

template <typename F, Is<WhatIfAnswer> S>
void fields(F& f, S& s) {
  gateway_answers(f);
  f("verdict", s.verdict);
  f("key_decides", s.key_decides);
  f("worker", s.worker);
  f("bytes_in", s.bytes_in);
  f("bytes_out", s.bytes_out);
  f.unless_empty("reason", s.reason);
  f.unless_empty("text", s.text);
  f.unless_empty("group", s.group);
  f.unless_empty("selector", s.selector);
  f.spi("spi", s.spi);
  f("epoch", s.epoch);
  f("number", s.number);
  f("steps", s.steps);
}

template <typename F, Is<WhatIfRequest> S>
void fields(F& f, S& s) {
  f.word("side", s.side, {Side::red, Side::black});
  f.hex("frame", s.frame);
  f("worker", s.worker);
  f.spi("spi", s.spi);
  f("number", s.number);
}

template <typename F, Is<DropsAnswer::Drop> S>
void fields(F& f, S& s) {
  f.word("side", s.side, {Side::red, Side::black});
  f("reason", s.reason);
  f("bytes", s.bytes);
  f("headers", s.headers);
  f("hex", s.hex);
}

template <typename F, Is<DropsAnswer> S>
void fields(F& f, S& s) {
  gateway_answers(f);
  f("drops", s.drops);
}

template <typename F, Is<DropsRequest> S>
void fields(F& f, S& s) {
  f("further", s.further);
}

namespace {

std::string text_of(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string clear_of(const OrderedJson& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// An object that keeps the order of its keys is searched one by one for each new key: a daemon that answers with a
// million of them would keep the tool busy for hours. What is beyond the bound is dropped.
class BoundedKeys {
 public:
  bool operator()(int depth, OrderedJson::parse_event_t event, const OrderedJson&) {
    const auto level = static_cast<std::size_t>(depth);
    if (event == OrderedJson::parse_event_t::object_start) {
      if (keys_.size() <= level + 1) keys_.resize(level + 2);
      keys_[level + 1] = 0;
    }
    return event != OrderedJson::parse_event_t::key || ++keys_[level] <= most;
  }

 private:
  static constexpr std::size_t most = 10'000;
  std::vector<std::size_t> keys_;  // so far, of the object that is open at each depth
};

template <typename Answer>
Result<Read<Answer>> read_object(const OrderedJson& object) {
  Read<Answer> read;
  Reader::Notes notes;
  Reader reader(object, notes);
  fields(reader, read.value);
  read.untold.assign(notes.untold.begin(), notes.untold.end());
  return read;
}

// The gateway's answer or the key server's, as "daemon" says.
template <typename Gateway, typename Keyserver>
Result<Read<std::variant<Gateway, Keyserver>>> read_either(const OrderedJson& object) {
  const std::string daemon = clear_of(object, "daemon");
  const auto either = [](auto read) {
    return read.map([](auto&& one) {
      return Read<std::variant<Gateway, Keyserver>>{std::move(one.value), std::move(one.untold)};
    });
  };
  if (daemon == "gateway") return either(read_object<Gateway>(object));
  if (daemon == "keyserver") return either(read_object<Keyserver>(object));
  return fail("expected the answer of a gateway or a key server, got \"" + daemon + "\"");
}

}  // namespace

std::string_view name(Side side) {
  return side == Side::red ? "red" : "black";
}

const std::string& AuditAnswer::Event::field(std::string_view name) const {
  static const std::string none;
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.first == name; });
  return found == fields.end() ? none : found->second;
}

std::string error_json(const Error& error) {
  return text_of({{"error", error.message}});
}

template <typename Request>
std::string request_json(const Request& request) {
  Writer writer;
  writer("command", std::string(Request::command));
  fields(writer, request);
  return text_of(writer.take());
}

template <typename Request>
Result<Request> read_request(const std::string& json) {
  const OrderedJson object = OrderedJson::parse(json, nullptr, false);
  if (!object.is_object()) return fail("expected a JSON object");
  Request request;
  Reader::Notes notes;
  Reader reader(object, notes);
  fields(reader, request);
  if (!notes.error.empty()) return fail(notes.error);
  return request;
}

template <typename Answer>
std::string to_json(const Answer& answer) {
  Writer writer;
  fields(writer, answer);
  return text_of(writer.take());
}

template <typename Request>
Result<Read<typename Request::Answer>> read_answer(const std::string& json) {
  const OrderedJson object = OrderedJson::parse(json, BoundedKeys(), false);
  if (!object.is_object()) return fail("expected a JSON object as answer");
  if (const auto error = object.find("error"); error != object.end())
    return fail(error->is_string() ? error->get<std::string>() : "it says that it failed, and not why");
  if constexpr (std::is_same_v<Request, StatusRequest>)
    return read_either<GatewayStatus, KeyserverStatus>(object);
  else if constexpr (std::is_same_v<Request, GroupsRequest>)
    return read_either<PlaneGroups, KeyserverGroups>(object);
  else
    return read_object<typename Request::Answer>(object);
}

#define SEALCAST_MESSAGE(Request)                            \
  template std::string request_json(const Request&);         \
  template Result<Request> read_request(const std::string&); \
  template Result<Read<Request::Answer>> read_answer<Request>(const std::string&)
SEALCAST_MESSAGE(StatusRequest);
SEALCAST_MESSAGE(GroupsRequest);
SEALCAST_MESSAGE(PortsRequest);
SEALCAST_MESSAGE(TopRequest);
SEALCAST_MESSAGE(SasRequest);
SEALCAST_MESSAGE(WhatIfRequest);
SEALCAST_MESSAGE(DropsRequest);
SEALCAST_MESSAGE(RekeyRequest);
SEALCAST_MESSAGE(RevokeRequest);
SEALCAST_MESSAGE(ReinstateRequest);
SEALCAST_MESSAGE(UnlockRequest);
SEALCAST_MESSAGE(ClockAcceptRequest);
SEALCAST_MESSAGE(RevocationsRequest);
SEALCAST_MESSAGE(AuditRequest);
#undef SEALCAST_MESSAGE

template std::string to_json(const Done&);
template std::string to_json(const AgentStatus&);
template std::string to_json(const KeyserverStatus&);
template std::string to_json(const KeyserverGroups&);
template std::string to_json(const Revoked&);
template std::string to_json(const Revocations&);
template std::string to_json(const MemberList&);
template std::string to_json(const AuditAnswer&);
template std::string to_json(const GatewayStatus&);
template std::string to_json(const PortsAnswer&);
template std::string to_json(const TopAnswer&);
template std::string to_json(const PlaneGroups&);
template std::string to_json(const SasAnswer&);
template std::string to_json(const WhatIfAnswer&);
template std::string to_json(const DropsAnswer&);
template std::string to_json(const DropsAnswer::Drop&);

}  // namespace admin
}  // namespace sealcast
