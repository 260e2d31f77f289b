// One end of the handshake library on a blocking loopback TCP connection, for the interoperability tests. Test-only.
//
//   handshake_peer pki DIR                      writes certificates and keys for the cases
//   handshake_peer server DIR KEY [options]     prints "PORT n", serves one connection, echoes application data
//   handshake_peer puppet DIR KEY [--types T,…] the same by the puppet, in the standard mutual flow: CertificateRequest
//                                               lists these types (without: ecdsa_sign, rsa_sign, the flag)
//   handshake_peer client DIR PORT [options]    connects, sends one line (--say TEXT), prints what comes back
//   handshake_peer capture DIR                  runs variant 2 in memory, writes capture.pcap and keys.log
//   KEY: ecdsa | rsa        options: --standard --mutual --group NAME --rsa (the member's key, the group's suite)
//   --bye (server, puppet): says close_notify right after the answer, for clients that wait for it
//
// Both ends print ESTABLISHED with what they learnt, and CLOSED when the peer said close_notify.
// Exit codes: 0 done, 1 refused or failed (one line on stderr), 2 usage.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>

#include "handshake/testing/puppet.h"

namespace sealcast::handshake {
namespace {

using namespace testing;  // NOLINT: the fixtures

constexpr CipherSuite ecdsa_suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;
constexpr CipherSuite rsa_suite = CipherSuite::ecdhe_rsa_aes_128_gcm_sha256;

struct Options {
  std::string directory;
  bool standard = false;
  bool mutual = false;
  bool rsa = false;
  bool bye = false;
  std::string group = "tv";
  std::string line = "hello from sealcast";
  Bytes certificate_types;
};

std::int64_t now() {
  return std::time(nullptr);
}

int complain(const std::string& text) {
  std::fprintf(stderr, "%s\n", text.c_str());
  return 1;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

int make_pki(const std::string& directory) {
  TestPki pki(now());
  const auto save = [&directory](const std::string& name, const TestIdentity& identity) {
    write_file(directory + "/" + name + ".pem", identity.chain_pem);
    write_file(directory + "/" + name + ".key", identity.key_pem);
  };
  write_file(directory + "/ca.pem", pki.ca_pem());
  save("server-ecdsa", pki.server("ks.example"));
  save("server-rsa", pki.server("ks.example", KeyKind::rsa2048));
  save("client-ecdsa", pki.standard_client("client"));
  save("client-rsa", pki.standard_client("client", KeyKind::rsa2048));
  save("member-ecdsa", pki.member("member-a", {"tv"}));
  return 0;
}

Credentials load(const Options& options, const std::string& name) {
  auto loaded = Credentials::from_pem(read_file(options.directory + "/" + name + ".pem"),
                                      read_file(options.directory + "/" + name + ".key"));
  return loaded ? *loaded : Credentials();
}

TrustStore trust(const Options& options) {
  auto loaded = TrustStore::from_pem(read_file(options.directory + "/ca.pem"), "");
  return loaded ? *loaded : TrustStore();
}

class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  bool send(const Bytes& bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::send(fd_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (n <= 0) return false;
      done += static_cast<std::size_t>(n);
    }
    return true;
  }
  Bytes receive() {  // empty: closed
    Bytes buffer(16 * 1024);
    const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
    buffer.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return buffer;
  }

 private:
  int fd_;
};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Listens on a free port, prints it, takes one connection.
int accept_one() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener, 1) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return -1;
  std::printf("PORT %d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  const int connection = ::accept(listener, nullptr, nullptr);
  ::close(listener);
  return connection;
}

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback(port);
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? fd : -1;
}

void describe(const Established& established) {
  std::printf("ESTABLISHED %s, %s, peer \"%s\", group \"%s\"\n", std::string(name(established.flow)).c_str(),
              std::string(name(established.suite)).c_str(), established.peer.name.c_str(),
              established.group_id.c_str());
  std::fflush(stdout);
}

// Moves bytes until the peer closes or handle returns true. False with a line on stderr: the endpoint failed.
bool serve(Endpoint& endpoint, Connection& connection, const std::function<bool(Event&)>& handle) {
  bool done = false;
  while (!done) {
    if (!connection.send(endpoint.take_output())) return true;
    const Bytes bytes = connection.receive();
    if (bytes.empty()) {
      if (endpoint.established()) return true;
      complain("the peer closed the TCP connection within the handshake");
      return false;
    }
    const auto received = endpoint.receive(bytes, now());
    for (Event& event : endpoint.take_events()) {
      if (const auto* established = std::get_if<Established>(&event)) describe(*established);
      if (std::holds_alternative<PeerClosed>(event)) std::printf("CLOSED\n");
      done = handle(event) || done;
    }
    if (!received) {
      (void)connection.send(endpoint.take_output());
      complain(received.error().message());
      return false;
    }
  }
  return connection.send(endpoint.take_output());
}

int run_server(const Options& options, const std::string& key) {
  const CipherSuite suite = key == "rsa" ? rsa_suite : ecdsa_suite;
  auto config = std::make_shared<ServerConfig>();
  config->credentials = load(options, "server-" + key);
  config->member_trust = trust(options);
  config->allow_standard = options.standard;
  config->standard_requests_certificate = options.mutual;
  TestAuthority authority(suite);
  const auto endpoint = make_server(config, authority, system_random());
  Connection connection(accept_one());
  const bool sound = serve(*endpoint, connection, [&](Event& event) {
    if (const auto* data = std::get_if<ApplicationData>(&event)) {
      Bytes answer = {'e', 'c', 'h', 'o', ':', ' '};
      answer.insert(answer.end(), data->data.begin(), data->data.end());
      (void)endpoint->send_data(answer);
      if (options.bye) endpoint->close();
    }
    if (const auto* control = std::get_if<ControlReceived>(&event))
      if (const auto* keepalive = std::get_if<Keepalive>(&control->message)) (void)endpoint->send(*keepalive);
    if (std::holds_alternative<PeerClosed>(event)) endpoint->close();
    return std::holds_alternative<PeerClosed>(event);
  });
  return sound ? 0 : 1;
}

int run_puppet(const Options& options, const std::string& key) {
  World world(KeyKind::p256, KeyKind::p256, key == "rsa" ? rsa_suite : ecdsa_suite);
  world.server_config.credentials = load(options, "server-" + key);
  Puppet puppet(Side::server, world, false);
  puppet.certificate_types = options.certificate_types;
  if (options.certificate_types.empty())
    puppet.certificate_types = Bytes{ecdsa_sign, rsa_sign, world.server_config.multicast_flag};
  puppet.curve = NamedGroup::secp256r1;
  Connection connection(accept_one());
  const auto until = [&](std::string_view wanted) {
    while (puppet.seen().empty() || puppet.seen().back() != wanted) {
      const Bytes bytes = connection.receive();
      if (bytes.empty()) return false;
      puppet.receive(bytes);
    }
    return true;
  };
  if (!until("ClientHello")) return complain("no ClientHello");
  for (const Step& step : flow_list::standard_mutual)
    if (step.from == Side::server && step.message != Message::change_cipher_spec && step.message != Message::finished)
      puppet.send(step);
  if (!connection.send(puppet.take_output()) || !until("Finished"))
    return complain("the client did not finish; last seen: " +
                    (puppet.seen().empty() ? "nothing" : puppet.seen().back()));
  if (!puppet.peer_finished_valid()) return complain("the client's Finished does not verify");
  puppet.send({Side::server, Message::change_cipher_spec, Keys::first});
  puppet.send({Side::server, Message::finished, Keys::first});
  (void)connection.send(puppet.take_output());
  while (puppet.application_data().empty()) {
    const Bytes bytes = connection.receive();
    if (bytes.empty()) return complain("no application data came");
    puppet.receive(bytes);
  }
  Bytes answer = {'e', 'c', 'h', 'o', ':', ' '};
  answer.insert(answer.end(), puppet.application_data().begin(), puppet.application_data().end());
  puppet.send_record(ContentType::application_data, answer);
  if (options.bye) puppet.send_record(ContentType::alert, Bytes{1, static_cast<std::uint8_t>(Alert::close_notify)});
  (void)connection.send(puppet.take_output());
  for (Bytes bytes = connection.receive(); !bytes.empty(); bytes = connection.receive())
    puppet.receive(bytes);
  if (puppet.alert_code() == static_cast<std::uint8_t>(Alert::close_notify)) std::printf("CLOSED\n");
  return 0;
}

int run_client(const Options& options, std::uint16_t port) {
  auto config = std::make_shared<ClientConfig>();
  config->server_trust = trust(options);
  config->server_name = "ks.example";
  GroupFlow flow;
  flow.suite = options.rsa ? rsa_suite : ecdsa_suite;
  if (!options.standard) config->multicast = MulticastWish{options.group, "ks.example", {flow}};
  if (!options.standard) config->credentials = load(options, "member-ecdsa");
  if (options.mutual) config->credentials = load(options, options.rsa ? "client-rsa" : "client-ecdsa");
  const auto endpoint = make_client(config, system_random());
  if (endpoint->failed()) return complain(endpoint->failure()->message());
  const int fd = connect_to(port);
  if (fd < 0) return complain("cannot connect");
  Connection connection(fd);
  const std::string line = options.line + "\n";
  std::string answer;
  const bool sound = serve(*endpoint, connection, [&](Event& event) {
    if (std::holds_alternative<Established>(event)) {
      if (options.standard)
        (void)endpoint->send_data(as_bytes(line));
      else
        (void)endpoint->send(Keepalive{42});
    }
    if (const auto* data = std::get_if<ApplicationData>(&event)) answer.append(data->data.begin(), data->data.end());
    if (const auto* control = std::get_if<ControlReceived>(&event))
      answer = "control message " + std::to_string(control->message.index()) + "\n";
    const bool done = answer.find('\n') != std::string::npos || std::holds_alternative<PeerClosed>(event);
    if (done) endpoint->close();
    return done;
  });
  std::printf("%s", answer.c_str());
  return sound && !answer.empty() ? 0 : 1;
}

// ---------------------------------------------------------------- a capture for tshark

// One TCP segment in a raw IPv4 packet of a pcap file (link type 101); checksums are wrong, which the reader tolerates.
void write_segment(std::string& pcap, bool from_client, std::uint32_t sequence, std::uint32_t acknowledged,
                   const Bytes& payload) {
  Writer ip;
  ip.u16(0x4500);
  ip.u16(static_cast<std::uint16_t>(40 + payload.size()));
  ip.u32(0);
  ip.u16(0x4006);
  ip.u16(0);
  ip.u32(from_client ? 0x0a000002 : 0x0a000001);
  ip.u32(from_client ? 0x0a000001 : 0x0a000002);
  ip.u16(from_client ? 40000 : 443);
  ip.u16(from_client ? 443 : 40000);
  ip.u32(sequence);
  ip.u32(acknowledged);
  ip.u16(0x5018);
  ip.u16(0xffff);
  ip.u32(0);
  ip.bytes(payload);
  Writer header;
  header.u32(0);
  header.u32(0);
  header.u32(static_cast<std::uint32_t>(ip.view().size()));
  header.u32(static_cast<std::uint32_t>(ip.view().size()));
  pcap.append(header.view().begin(), header.view().end());
  pcap.append(ip.view().begin(), ip.view().end());
}

int write_capture(const std::string& directory) {
  World world;
  const auto server = world.server();
  Puppet member(Side::client, world, true);  // a puppet, so that ms1 can be written for the analyser
  Writer header;                             // big-endian pcap, raw IP
  header.u32(0xa1b2c3d4);
  header.u16(2);
  header.u16(4);
  header.u32(0);
  header.u32(0);
  header.u32(65535);
  header.u32(101);
  std::string pcap(header.view().begin(), header.view().end());
  std::uint32_t client_sequence = 1, server_sequence = 1;
  const auto exchange = [&] {
    const Bytes up = member.take_output();
    if (!up.empty()) write_segment(pcap, true, client_sequence, server_sequence, up);
    client_sequence += static_cast<std::uint32_t>(up.size());
    (void)server->receive(up, test_now);
    const Bytes down = server->take_output();
    if (!down.empty()) write_segment(pcap, false, server_sequence, client_sequence, down);
    server_sequence += static_cast<std::uint32_t>(down.size());
    member.receive(down);
  };
  for (const Step& step : flow_list::variant2_claim5) {
    if (step.from != Side::client) continue;
    member.send(step);
    exchange();
  }
  if (!server->established()) return complain(server->failure() ? server->failure()->message() : "not established");
  write_file(directory + "/capture.pcap", pcap);
  write_file(directory + "/keys.log",
             "CLIENT_RANDOM " + to_hex(member.client_random()) + " " + to_hex(member.first_master().view()) + "\n");
  return 0;
}

}  // namespace
}  // namespace sealcast::handshake

int main(int argc, char** argv) {
  using namespace sealcast::handshake;  // NOLINT
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 2) {
    std::fprintf(stderr, "usage: handshake_peer pki|server|puppet|client|capture DIR …\n");
    return 2;
  }
  Options options;
  options.directory = words[1];
  for (std::size_t i = 2; i < words.size(); ++i) {
    if (words[i] == "--standard") options.standard = true;
    if (words[i] == "--mutual") options.mutual = true;
    if (words[i] == "--rsa") options.rsa = true;
    if (words[i] == "--bye") options.bye = true;
    if (i + 1 == words.size()) continue;
    if (words[i] == "--group") options.group = words[i + 1];
    if (words[i] == "--say") options.line = words[i + 1];
    std::istringstream types(words[i] == "--types" ? words[i + 1] : "");
    for (std::string type; std::getline(types, type, ',');)
      options.certificate_types.push_back(static_cast<std::uint8_t>(std::atoi(type.c_str())));
  }
  if (words[0] == "pki") return make_pki(options.directory);
  if (words[0] == "capture") return write_capture(options.directory);
  if (words.size() < 3) return 2;
  if (words[0] == "server") return run_server(options, words[2]);
  if (words[0] == "puppet") return run_puppet(options, words[2]);
  if (words[0] == "client") return run_client(options, static_cast<std::uint16_t>(std::atoi(words[2].c_str())));
  return 2;
}
