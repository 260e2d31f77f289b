#include "handshake/testing/in_process.h"

#include <algorithm>

#include "handshake/flows.h"

namespace sealcast::handshake::testing {

GroupKeying clone(const GroupKeying& keying) {
  GroupKeying copy;
  copy.key_server_id = keying.key_server_id;
  copy.group_id = keying.group_id;
  copy.epoch = keying.epoch;
  copy.state = keying.state;
  copy.remaining_ms = keying.remaining_ms;
  copy.policy = keying.policy;
  copy.assignment = keying.assignment;
  copy.premaster = keying.premaster.clone();
  return copy;
}

GroupKeying sample_keying(CipherSuite suite) {
  GroupKeying keying;
  keying.key_server_id = "ks.example";
  keying.group_id = "tv";
  keying.epoch = std::uint64_t{1'800'000'000} << 20;
  keying.remaining_ms = 3'600'000;
  keying.zero = {0x1234567890, 40'000};
  keying.clock = {0x1234567890, 100'000, 7};
  Selector selector;
  selector.destination = Prefix{IpAddress::v4(0xef010100), 24};
  selector.protocol = 17;
  selector.ports = PortRange{5000, 5010};
  keying.policy.selectors = {selector};
  keying.policy.cipher_suite = suite;
  keying.policy.spi_prefix = 0x10000000;
  keying.policy.slots_used = 3;
  keying.assignment.member_id = "member-a";
  keying.assignment.roles = sender_and_receiver;
  keying.assignment.first_slot = 2;
  keying.assignment.slot_count = 1;
  for (std::size_t i = 0; i < 48; ++i)
    keying.premaster.data()[i] = static_cast<std::uint8_t>(i + 1);
  return keying;
}

Result<GroupKeying> TestAuthority::issue(const std::string&, const PeerIdentity& member) {
  if (refusal) return fail(*refusal);
  ++issued;
  GroupKeying answer = clone(keying);
  if (!member.name.empty()) answer.assignment.member_id = member.name;
  if (tamper) tamper(answer);
  return answer;
}

GroupFlow group_flow(Flow flow) {
  const FlowDefinition& wanted = definition(flow);
  GroupFlow group;
  group.variant = wanted.variant;
  group.second_ccs = wanted.second_ccs;
  group.authentication = wanted.authentication;
  if (wanted.smke_sealed()) group.suite = CipherSuite::rsa_aes_256_gcm_sha384;
  return group;
}

std::string test_name(Flow flow) {
  std::string text;
  bool upper = true;
  for (const char c : name(flow)) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (letter) text += upper && c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
    upper = !letter;
  }
  return text;
}

namespace {

bool is_sealed(Flow flow) {
  return definition(flow).smke_sealed();
}
CipherSuite suite_of(Flow flow) {
  return definition(flow).multicast ? group_flow(flow).suite : CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;
}

// Answers every PasswordPresented from the book, at once.
class PasswordAnswerer final : public Endpoint {
 public:
  PasswordAnswerer(std::unique_ptr<Endpoint> inner, std::shared_ptr<PasswordBook> book)
      : inner_(std::move(inner)), book_(std::move(book)) {}

  Outcome<void> receive(ByteView bytes, std::int64_t unix_now) override {
    auto received = inner_->receive(bytes, unix_now);
    for (Event& event : inner_->take_events()) {
      const auto* presented = std::get_if<PasswordPresented>(&event);
      if (presented == nullptr) {
        events_.push_back(std::move(event));
        continue;
      }
      ++book_->asked;
      const auto known = book_->passwords.find(presented->user);
      const ByteView secret = presented->secret.view();
      const bool right = known != book_->passwords.end() && std::string(secret.begin(), secret.end()) == known->second;
      if (received) received = inner_->password_checked(right, unix_now);
    }
    return received;
  }
  Bytes take_output() override { return inner_->take_output(); }
  std::vector<Event> take_events() override {
    for (Event& event : inner_->take_events())
      events_.push_back(std::move(event));
    return std::exchange(events_, {});
  }
  bool established() const override { return inner_->established(); }
  bool failed() const override { return inner_->failed(); }
  const HandshakeError* failure() const override { return inner_->failure(); }
  std::uint64_t ignored_messages() const override { return inner_->ignored_messages(); }
  Outcome<void> send(const ControlMessage& message) override { return inner_->send(message); }
  Outcome<void> send_data(ByteView data) override { return inner_->send_data(data); }
  Outcome<void> password_checked(bool accepted, std::int64_t unix_now) override {
    return inner_->password_checked(accepted, unix_now);
  }
  void close() override { inner_->close(); }

 private:
  std::unique_ptr<Endpoint> inner_;
  std::shared_ptr<PasswordBook> book_;
  std::vector<Event> events_;
};

}  // namespace

World::World(Flow flow)
    : World(is_sealed(flow) ? KeyKind::rsa2048 : KeyKind::p256, is_sealed(flow) ? KeyKind::rsa2048 : KeyKind::p256,
            suite_of(flow)) {
  const FlowDefinition& wanted = definition(flow);
  passwords = std::make_shared<PasswordBook>();
  if (!wanted.multicast) {
    make_standard(flow == Flow::standard_mutual);
    client_config.standard_suites = {authority.flow.suite};
    return;
  }
  set_group_flow(group_flow(flow));
  if (!wanted.has(Side::client, Message::certificate)) client_config.credentials = Credentials();
  if (!wanted.has(Side::client, Message::client_auth_response)) return;
  passwords->passwords[test_user] = test_password;
  client_config.password = [this]() -> Result<PasswordCredential> {
    ++passwords_fetched;
    const std::string_view text = test_password;
    PasswordCredential credential{test_user, SecretBytes(text.size())};
    std::copy(text.begin(), text.end(), credential.secret.data());
    return credential;
  };
}

World::World(KeyKind server_key, KeyKind client_key, CipherSuite suite) : authority(suite) {
  server_config.key_server_id = authority.keying.key_server_id;
  server_config.credentials = pki.server("ks.example", server_key).credentials;
  server_config.member_trust = pki.trust();
  client_config.credentials = is_ecdhe(suite) ? pki.member("member-a", {"tv"}, client_key).credentials
                                              : pki.decrypting_member("member-a", {"tv"}).credentials;
  client_config.server_trust = pki.trust();
  client_config.server_name = "ks.example";
  client_config.multicast = MulticastWish{"tv", "ks.example", {authority.flow}};
}

void World::make_standard(bool mutual) {
  client_config.multicast.reset();
  server_config.allow_standard = true;
  server_config.standard_requests_certificate = mutual;
}

void World::set_group_flow(const GroupFlow& flow) {
  authority.flow = flow;
  authority.keying.policy.cipher_suite = flow.suite;
  if (client_config.multicast) client_config.multicast->flows = {flow};
}

std::unique_ptr<Endpoint> World::server() {
  auto endpoint = make_server(std::make_shared<ServerConfig>(server_config), authority, system_random());
  if (!passwords) return endpoint;
  return std::make_unique<PasswordAnswerer>(std::move(endpoint), passwords);
}

std::unique_ptr<Endpoint> World::client() {
  return make_client(std::make_shared<ClientConfig>(client_config), system_random());
}

void pump(Endpoint& a, Endpoint& b, std::size_t chunk, std::int64_t now) {
  const auto deliver = [&](Endpoint& from, Endpoint& to) {
    const Bytes bytes = from.take_output();
    ByteView rest = bytes;
    while (!rest.empty()) {
      const ByteView part = rest.first(chunk == 0 ? rest.size() : std::min(chunk, rest.size()));
      rest = rest.subspan(part.size());
      if (!to.failed()) (void)to.receive(part, now);
    }
    return !bytes.empty();
  };
  bool moved = true;
  while (moved) {
    moved = deliver(a, b);
    moved = deliver(b, a) || moved;
  }
}

}  // namespace sealcast::handshake::testing
