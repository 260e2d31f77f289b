#include "handshake/adversary/judge.h"

#include <algorithm>

namespace sealcast::handshake::adversary {
namespace {

using testing::test_now;

bool begins(const Bytes& text, const Bytes& longer) {
  return text.size() <= longer.size() && std::equal(text.begin(), text.end(), longer.begin());
}

}  // namespace

void Stream::add(ByteView bytes) {
  size_ += bytes.size();
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  while (!broken_ && pending_.size() >= record_header_size) {
    const std::uint8_t type = pending_[0];
    const std::size_t size = record_header_size + load_be<std::uint16_t>(pending_.data() + 3);
    if (type < 20 || type > 23) {
      broken_ = true;
      items_.push_back({type, pending_});
      return;
    }
    if (pending_.size() < size) return;
    const Bytes body(pending_.begin() + record_header_size, pending_.begin() + static_cast<std::ptrdiff_t>(size));
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(size));
    handshake_records_ += type == 22;
    alerts_ += type == 21;
    if (type == 21 && !protected_) continue;
    if (type == 22 && !protected_ && !items_.empty() && items_.back().type == 22)
      items_.back().bytes.insert(items_.back().bytes.end(), body.begin(), body.end());
    else
      items_.push_back({type, body});
    protected_ |= type == 20;
  }
}

bool Stream::begins(const Stream& longer) const {
  std::size_t count = items_.size();
  while (count > 0 && items_[count - 1].type == 21)
    --count;  // the alert of an end that fails does not count
  if (count > longer.items_.size()) return false;
  for (std::size_t i = 0; i < count; ++i) {
    const Item& mine = items_[i];
    const Item& theirs = longer.items_[i];
    if (mine == theirs) continue;
    if (i + 1 != count || mine.type != theirs.type || mine.bytes.size() > theirs.bytes.size() ||
        !std::equal(mine.bytes.begin(), mine.bytes.end(), theirs.bytes.begin()))
      return false;
  }
  return true;
}

// How many handshake messages of this side stand before a place of the list.
std::size_t Judge::messages_of(Side side, std::size_t before) const {
  const auto steps = definition(reported_[0] ? reported_[0]->flow : reported_[1] ? reported_[1]->flow : flow_).steps;
  std::size_t count = 0;
  for (std::size_t i = 0; i < before && i < steps.size(); ++i)
    count += steps[i].from == side && steps[i].message != Message::change_cipher_spec;
  return count;
}

// Did the other end receive all that one end sent so far, unchanged? More may follow it.
bool Judge::complete(Side from, Side to) const {
  if (messages) return begins(messages(from, from), messages(to, from));
  return sent_[index(from)].begins(delivered_[index(to)]);
}

// Did this end receive exactly what the other end sent, all of it and unchanged? If the other end has noticed nothing:
// did it receive this end's messages unchanged, as far as it got?
bool Judge::received_everything(Side end) const {
  const Side peer = other(end);
  if (!complete(peer, end)) return false;
  if (failed(peer) || complete(end, peer)) return true;
  return messages ? begins(messages(peer, end), messages(end, end)) : delivered_[index(peer)].begins(sent_[index(end)]);
}

void Judge::observe(Side end, const Event& event) {
  if (const auto* established_event = std::get_if<Established>(&event)) established(end, *established_event);
  if (std::holds_alternative<KeyingSent>(event)) {
    const auto steps = definition(flow_).steps;
    std::size_t smke = 0;
    while (smke < steps.size() && steps[smke].message != Message::server_master_key_exchange)
      ++smke;
    std::size_t proving = messages_of(Side::client, smke);
    // A password proves that its sender knows it, no more: an attacker with the connection's keys may send it in the
    // member's place, in a response taken from elsewhere.
    if (messages && definition(flow_).authentication != Authentication::certificate) --proving;
    if (end != Side::server || smke == steps.size())
      broken("keying was sent where the flow has none");
    else if (static_cast<std::size_t>(sent_[0].handshake_records()) < proving)
      broken("keying was sent before the member had sent all of its proof");
  }
  const bool multicast = definition(flow_).multicast;
  if (multicast && std::holds_alternative<ApplicationData>(event)) broken("application data in a multicast flow");
  if (!multicast && std::holds_alternative<ControlReceived>(event)) broken("a control message in a standard flow");
}

void Judge::established(Side end, const Established& event) {
  const std::size_t self = index(end);
  if (reported_[self]) return broken("Established was reported twice");
  reported_[self] = Reported{event.flow, event.suite, event.peer, event.group_id};
  const Stream& theirs = sent_[index(other(end))];
  const std::size_t all = definition(event.flow).steps.size();
  if (static_cast<std::size_t>(theirs.handshake_records()) < messages_of(other(end), all))
    broken(std::string(end == Side::client ? "client" : "server") +
           " established before the other end sent its Finished");
  if (!received_everything(end)) broken("established although a message was changed on the way");
  testing::World& world = world_of(flow_);
  const bool multicast = definition(flow_).multicast;
  if (event.flow != flow_)
    broken("established in " + std::string(name(event.flow)) + " instead of " + std::string(name(flow_)));
  if (event.group_id != (multicast ? "tv" : "")) broken("established for another group");
  if (event.suite != world.authority.flow.suite) broken("established under another suite");
  const bool anonymous = event.flow == Flow::standard;
  if (event.peer.name != (end == Side::client ? "ks.example" : anonymous ? "" : "member-a"))
    broken("established with the wrong peer: \"" + event.peer.name + "\"");
  if (end == Side::client && multicast) {
    if (!event.keying || !event.group_master) return broken("a member established without keying");
    const GroupKeying& real = world.authority.keying;
    if (!event.keying->premaster.equals(real.premaster) || event.keying->epoch != real.epoch ||
        event.keying->policy.selectors != real.policy.selectors || event.keying->remaining_ms != real.remaining_ms ||
        event.keying->policy.spi_prefix != real.policy.spi_prefix)
      broken("the member's keying is not what the key server issued");
    if (!event.group_master->equals(derive_group_master(event.suite, real.premaster)))
      broken("the member's group master is not the group's");
  } else if (event.keying || event.group_master) {
    broken("keying was reported where there is none");
  }
  if (reported_[0] && reported_[1]) compare();
}

void Judge::compare() {
  if (reported_[0]->flow != reported_[1]->flow) broken("the ends finished in different flows");
  if (reported_[0]->suite != reported_[1]->suite) broken("the ends finished under different suites");
  if (reported_[0]->group_id != reported_[1]->group_id) broken("the ends finished for different groups");
}

void Judge::password_leaves() {
  if (!received_everything(Side::client))
    broken("AUTH-1: the password leaves although the handshake was tampered with");
}

void Judge::finish(Endpoint& client, Endpoint& server, bool exchange) {
  for (const Side side : {Side::client, Side::server}) {
    const Endpoint& end = side == Side::client ? client : server;
    const int wanted = end.failed() && !end.failure()->from_peer ? 1 : 0;
    const int alerts = sent_[index(side)].alerts();
    if (alerts != wanted)
      broken(std::to_string(alerts) + " alerts instead of " + std::to_string(wanted) +
             (end.failed() ? ", " + end.failure()->message() : ""));
    if (end.established() && !reported_[index(side)]) broken("established without an Established event");
    if (sent_[index(side)].size() > 64 * 1024) broken("an end sent more than 64 KiB");
  }
  if (!exchange || !reported_[0] || !reported_[1] || client.failed() || server.failed()) return;
  // Half a record left there by an attacker would be joined with what comes next.
  if (sent_[0].size() != delivered_[1].size() || sent_[1].size() != delivered_[0].size()) return;
  const bool multicast = definition(flow_).multicast;
  const auto across = [&](Endpoint& from, Endpoint& to) {
    const auto sent = multicast ? from.send(Keepalive{7}) : from.send_data(Bytes{7});
    if (!sent) return true;  // this side has closed
    if (!to.receive(from.take_output(), test_now)) return false;
    const auto events = to.take_events();
    return !events.empty();
  };
  if (!across(client, server) || !across(server, client)) broken("both ends finished, but their keys differ");
}

}  // namespace sealcast::handshake::adversary
