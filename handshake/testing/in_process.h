// Two endpoints and their surroundings in one process: a group authority with fixed answers, and a pump that carries
// bytes between them. For tests, benchmarks and fuzzers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "handshake/flow_lists.h"
#include "handshake/testing/test_pki.h"

namespace sealcast::handshake::testing {

// A keying that passes every check: group "tv", 239.1.1.0/24 UDP, one slot for the member.
GroupKeying sample_keying(CipherSuite suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384);
GroupKeying clone(const GroupKeying& keying);

class TestAuthority : public GroupAuthority {
 public:
  explicit TestAuthority(CipherSuite suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384) {
    flow.suite = suite;
    keying = sample_keying(suite);
  }
  std::optional<GroupFlow> find_group(const std::string& group_id) override {
    return group_id == keying.group_id ? std::optional(flow) : std::nullopt;
  }
  Result<GroupKeying> issue(const std::string& group_id, const PeerIdentity& member) override;
  Grace grace(const std::string&, const PeerIdentity&) override { return grace_of_all; }
  bool may_come_again() const override { return only_for_now; }

  GroupFlow flow;
  GroupKeying keying;
  std::function<void(GroupKeying&)> tamper;  // applied to the keying that issue() returns
  std::optional<std::string> refusal;
  Grace grace_of_all;
  bool only_for_now = false;  // may_come_again() after a refusal
  int issued = 0;
};

// The known users, and the questions asked.
struct PasswordBook {
  std::map<std::string, std::string> passwords;  // by user
  int asked = 0;
};

inline constexpr const char* test_user = "member-a";
inline constexpr const char* test_password = "correct horse battery staple";

// Everything one handshake needs, with sound defaults that a test may change.
struct World {
  // Both ends set up for this flow, standard ones included: certificates, suite, user and password.
  explicit World(Flow flow);
  explicit World(KeyKind server_key = KeyKind::p256, KeyKind client_key = KeyKind::p256,
                 CipherSuite suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384);

  TestPki pki;
  TestAuthority authority;
  ServerConfig server_config;
  ClientConfig client_config;  // a member that wants "tv"

  // server() answers PasswordPresented from it, at once and within receive(); callers do not see the event. World(Flow)
  // makes one. nullptr: server() returns the endpoint itself and the test answers.
  std::shared_ptr<PasswordBook> passwords;
  int passwords_fetched = 0;  // by the member

  void make_standard(bool mutual);  // both ends run the standard flow
  // Changes the group's flow at both ends, e.g. flag_place.
  void set_group_flow(const GroupFlow& flow);
  std::unique_ptr<Endpoint> server();
  std::unique_ptr<Endpoint> client();

 private:
  World(const World&) = delete;  // the configuration refers to it
};
inline World world_for(Flow flow) {
  return World(flow);
}
// A group that runs this multicast flow, flag in CertificateRequest.
GroupFlow group_flow(Flow flow);
// "Variant2Claim5": the flow in tests' names.
std::string test_name(Flow flow);

// Carries bytes both ways until nothing moves; chunk 0: all at once, else at most chunk bytes per receive(). Stops when
// an end failed and all that was sent before has been delivered.
void pump(Endpoint& a, Endpoint& b, std::size_t chunk = 0, std::int64_t now = test_now);

// The last event of this kind, taken out of events; fails with nullopt.
template <typename T>
std::optional<T> find_event(std::vector<Event>& events) {
  for (auto it = events.rbegin(); it != events.rend(); ++it)
    if (T* found = std::get_if<T>(&*it)) return std::move(*found);
  return std::nullopt;
}

}  // namespace sealcast::handshake::testing
