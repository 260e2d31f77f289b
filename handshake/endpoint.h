// The two ends of the modified TLS handshake, sans-IO: bytes in, bytes out, events out. No socket, clock, thread, file
// or global; randomness and wall-clock time are injected. One object per TCP connection.
//
//   ClientEndpoint client(config, random);            ServerEndpoint server(config, authority, random);
//   send(client.take_output());                       server.receive(bytes, unix_now) …
//
// After a failure the endpoint holds no key any more; take_output() still yields the one alert to send.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"
#include "handshake/control_message.h"
#include "handshake/error.h"
#include "handshake/group_keying.h"

namespace sealcast::handshake {

class Random {  // a CSPRNG; tests inject a seeded one
 public:
  virtual ~Random() = default;
  virtual void fill(ByteSpan out) = 0;
};
Random& system_random();  // OpenSSL's RAND_priv_bytes
// Takes fresh entropy from the kernel: after a machine is resumed from a snapshot, its twin has the same generator
// state (H9).
void reseed_system_random();

// A certificate chain with its private key, or a set of trust anchors with revocation lists; wraps OpenSSL objects.
class Credentials {
 public:
  static Result<Credentials> from_pem(std::string_view chain_pem, std::string_view private_key_pem);
  Credentials();
  ~Credentials();
  Credentials(Credentials&&) noexcept;
  Credentials& operator=(Credentials&&) noexcept;
  Credentials(const Credentials&);  // shares the underlying objects
  Credentials& operator=(const Credentials&);
  const struct CredentialsData* operator->() const { return data_.get(); }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  std::shared_ptr<const struct CredentialsData> data_;
};

class TrustStore {
 public:
  static Result<TrustStore> from_pem(std::string_view ca_pem, std::string_view crl_pem /* may be empty */);
  TrustStore();
  const struct TrustStoreData* operator->() const { return data_.get(); }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  std::shared_ptr<const struct TrustStoreData> data_;
};

// The identity that the peer proved; from a verified chain only (H8).
struct PeerIdentity {
  std::string name;                                // first dNSName of subjectAltName, else commonName
  std::vector<std::string> names;                  // every dNSName
  Bytes leaf_der;                                  // for the re-check at every rekey; any intermediates follow the leaf
  bool may_decrypt = false;                        // P40
  std::optional<std::vector<std::string>> groups;  // groups named in the multicast extension; nullopt = not limited
  std::string serial_hex;
  // The verified user of variant 3, else empty. With a password alone name is the user too and leaf_der is empty.
  std::string user;
};

// How long after its end a certificate, or a revocation list, still counts for a peer (H19). Seconds; 0: not at all.
// Who is named by a list is revoked however late the list is.
struct Grace {
  std::int64_t certificate = 0;
  std::int64_t list = 0;
};
// Asked for a peer whose chain stands but for its dates. Empty: none.
using GraceFor = std::function<Grace(const PeerIdentity& peer)>;

// Checks a member's leaf again against the current trust store (H8: at join and again at every rekey).
Outcome<void> recheck_member(const Bytes& leaf_der, const TrustStore& trust, const std::string& group_id,
                             std::int64_t unix_now, Grace grace = {});
struct Rechecked {
  // The last Unix second up to which the result certainly holds if the trust store stays the same: nothing in the chain
  // ends before it, and no revocation list ends or begins. Callers that check often need not verify again until then.
  std::int64_t until = 0;
  std::string late;  // what has ended and counts by the grace alone; empty: nothing
};
Outcome<Rechecked> recheck_member_until(const Bytes& leaf_der, const TrustStore& trust, const std::string& group_id,
                                        std::int64_t unix_now, Grace grace = {});

// Checks a key server's certificate again, likewise: DER, any intermediates after it.
Outcome<void> recheck_key_server(const Bytes& leaf_der, const TrustStore& trust, const std::string& server_name,
                                 std::int64_t unix_now, Grace grace = {});

enum class Flow : std::uint8_t {
  standard,                  // RFC 5246, ECDHE, server-authenticated
  standard_mutual,           // the same with a client certificate
  variant1,                  // the group's secret under the member's RSA key (P13-P19)
  variant2_claim5,           // the group's secret over the secured channel (P21-P27); the server's second CCS first
  variant2_description,      // the same, the member's second CCS first
  variant3_password_claim5,  // variant 2 with a password asked for before (P28-P30), no member certificate
  variant3_password_description,
  variant3_both_claim5,  // variant 3 with certificate and password
  variant3_both_description,
};
std::string_view name(Flow flow);

// ---------------------------------------------------------------- server

struct ServerConfig {
  Credentials credentials;
  TrustStore member_trust;
  std::uint8_t multicast_flag = standard_multicast_flag;
  bool allow_standard = false;  // P1: default refused
  bool standard_requests_certificate = false;
  std::uint32_t max_handshake_bytes = 64 * 1024;  // inbound, whole handshake (H13)
  std::string key_server_id;  // 1..64 bytes; variant 3 alone needs it: ClientAuthRequest names it before any keying
  std::string realm;          // 0..64 bytes of ClientAuthRequest: tells people which password is asked for
};

// Where the multicast flag stands beside SMKE, which always carries it (P10-P12).
enum class FlagPlace : std::uint8_t { certificate_request, smke };
// How a member proves its identity.
enum class Authentication : std::uint8_t { certificate, password, certificate_and_password };

// How a group is keyed; looked up when a ClientHello names the group. The member's configuration allows one or several.
struct GroupFlow {
  CipherSuite suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;  // variant 1: TLS_RSA_*, else ECDHE_*
  std::uint8_t variant = 2;                                         // 1, 2 or 3
  SecondCcs second_ccs = SecondCcs::claim5;                         // variant 1 has no second CCS: ignored there
  FlagPlace flag_place = FlagPlace::certificate_request;            // without a CertificateRequest: ignored
  Authentication authentication = Authentication::certificate;      // variants 1 and 2: certificate; 3: the others
  bool operator==(const GroupFlow&) const = default;
};

// The key server's group state as the handshake needs it. Called synchronously from receive().
class GroupAuthority {
 public:
  virtual ~GroupAuthority() = default;
  // nullopt: no such group here (the client gets access_denied, the same answer as for a group it may not join).
  virtual std::optional<GroupFlow> find_group(const std::string& group_id) = 0;
  // Authorises the member and issues the epoch. The slots in the answer are burnt durably before this returns (H9).
  // From the moment SMKE is sent the member holds the epoch (H3), Finished or not. An error refuses the member
  // (access_denied); its text is for our log only. The keying must pass check_keying() (messages/keying_codec.h):
  // spi_prefix >= 256 with spi_slot_bits zero bits at its end, 1-64 valid selectors, …
  virtual Result<GroupKeying> issue(const std::string& group_id, const PeerIdentity& member) = 0;
  // How late certificate and lists may be for this member; asked before its possession of the key is proved.
  virtual Grace grace(const std::string& /*group_id*/, const PeerIdentity& /*member*/) { return {}; }
  // After issue() has failed: true if the member is not at fault. It is told to come again (internal_error,
  // group_unavailable) instead of being refused.
  virtual bool may_come_again() const { return false; }
};

// ---------------------------------------------------------------- client

// A variant 3 member's user name and password.
struct PasswordCredential {
  std::string user;    // 1..64 bytes, no control characters
  SecretBytes secret;  // 1..128 bytes: password or PIN
};

struct MulticastWish {
  std::string group_id;
  std::string key_server_id;
  // What the member accepts, and nothing else (H4). One: pinned. Several: the server's flag, suite and messages choose
  // among them (P3, H30). Those that the member has no key or password for are left out.
  std::vector<GroupFlow> flows = {GroupFlow{}};
};

struct ClientConfig {
  Credentials credentials;  // empty for a standard client without certificate
  TrustStore server_trust;
  std::string server_name;  // must match a dNSName of the server's certificate
  GraceFor grace;           // for the key server
  std::uint8_t multicast_flag = standard_multicast_flag;
  std::optional<MulticastWish> multicast;    // set: multicast or nothing (H4); unset: standard flow only
  std::vector<CipherSuite> standard_suites;  // offered when multicast is unset; empty: all four ECDHE suites
  std::uint32_t max_handshake_bytes = 64 * 1024;
  // Called with SMKE's content after its verify_data is checked and before anything is installed or answered. Applies
  // the member's own policy (H5 epochs, H12 selectors, SPI range, lifetime). An error text refuses.
  std::function<Result<void>(const GroupKeying&, const EpochId&)> accept_keying;
  // Variant 3: called once, only after the server's chain and name and ClientAuthRequest's server_verify_data are
  // verified (H7, AUTH-1). An error's text is for our log only.
  std::function<Result<PasswordCredential>()> password;
};

// ---------------------------------------------------------------- events

// The closing Finished of both sides is verified (H3). Only the state machine can make one.
struct Established {
  explicit Established(const class EstablishedProof&) {}
  Flow flow{};
  CipherSuite suite{};
  PeerIdentity peer;                        // server: the member; client: the key server
  std::string group_id;                     // empty in standard flows
  std::optional<GroupKeying> keying;        // client, multicast flows: what to install
  std::optional<GroupMaster> group_master;  // client, multicast flows
};
struct KeyingSent {  // server: SMKE was sent; audit and revocation count the holder from here (H3)
  std::string group_id;
  std::uint64_t epoch;
  std::string member_id;
};
// Server, variant 3: the endpoint waits for password_checked(). The check is costly: do it outside the event loop.
struct PasswordPresented {
  std::string group_id;
  std::string user;
  SecretBytes secret;
  std::vector<std::string> certificate_names;  // of the member's certificate, proved; empty: the flow asks for none
};
struct ApplicationData {  // standard flows only
  Bytes data;
};
struct ControlReceived {  // multicast flows only (protocol.md "The control channel")
  ControlMessage message;
};
struct PeerClosed {};  // close_notify
using Event = std::variant<KeyingSent, Established, ApplicationData, ControlReceived, PeerClosed, PasswordPresented>;

class Endpoint {
 public:
  virtual ~Endpoint() = default;
  // Consumes bytes from the peer, however split. On error the alert is in take_output() and the endpoint is dead.
  virtual Outcome<void> receive(ByteView bytes, std::int64_t unix_now) = 0;
  virtual Bytes take_output() = 0;
  virtual std::vector<Event> take_events() = 0;
  virtual bool established() const = 0;
  virtual bool failed() const = 0;
  // Why it failed; nullptr while it has not. A client whose configuration cannot work has failed from the start.
  virtual const HandshakeError* failure() const = 0;
  // Control messages of unknown types that were marked optional: ignored and counted.
  virtual std::uint64_t ignored_messages() const = 0;
  // Multicast flows, established: one control message.
  virtual Outcome<void> send(const ControlMessage& message) = 0;
  // Standard flows, established: application data.
  virtual Outcome<void> send_data(ByteView data) = 0;
  // Server, variant 3: the answer to PasswordPresented. The handshake goes on, or ends with access_denied, the same for
  // a wrong password, an unknown user and too many attempts (H7, AUTH-2). Without a question: an error, and nothing
  // else happens.
  virtual Outcome<void> password_checked(bool accepted, std::int64_t unix_now) = 0;
  // Sends close_notify; nothing can be sent after it.
  virtual void close() = 0;
};

std::unique_ptr<Endpoint> make_server(std::shared_ptr<const ServerConfig> config, GroupAuthority& authority,
                                      Random& random);
// The ClientHello is in take_output() at once.
std::unique_ptr<Endpoint> make_client(std::shared_ptr<const ClientConfig> config, Random& random);

}  // namespace sealcast::handshake
