// The handshake library under BoringSSL's test runner, in the standard flow: one TLS 1.2 connection that the runner
// asks for by flags. Test-only; README.md beside this file says how it is run.
//
// The shim connects to the runner's port, also as a server. After the handshake it sends back every byte it reads, each
// complemented. Exit codes: 0 the connection ended well; 1 it failed, with one line on stderr; 89 a flag asks for what
// the library does not have, so the runner passes the test over; 90 the shim itself failed.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "handshake/endpoint.h"
#include "handshake/testing/in_process.h"

namespace sealcast::handshake {
namespace {

constexpr int unimplemented = 89;
constexpr int must_not_pass = 90;  // whatever the runner expects
constexpr int tls12_version = 0x0303;

struct Flags {
  std::uint16_t port = 0;
  std::optional<std::uint64_t> shim_id;
  bool server = false;
  bool request_certificate = false;
  bool writes_first = false;
  bool shuts_down = false;
  bool check_close_notify = false;
  std::string key_file, cert_file, trust_file;
};

// nullopt: a flag that is not known, or asks for what is not there.
std::optional<Flags> read_flags(int argc, char** argv) {
  // These change nothing here: there is no other version, and no blocking mode either.
  static const std::set<std::string> nothing = {"-no-tls13", "-no-tls11", "-no-tls1", "-no-ssl3", "-async", "-ipv6"};
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto value = [&]() -> std::string { return i + 1 < argc ? argv[++i] : ""; };
    if (flag == "-port")
      flags.port = static_cast<std::uint16_t>(std::stoi(value()));
    else if (flag == "-shim-id")
      flags.shim_id = std::stoull(value());
    else if (flag == "-server")
      flags.server = true;
    else if (flag == "-key-file")
      flags.key_file = value();
    else if (flag == "-cert-file")
      flags.cert_file = value();
    else if (flag == "-trust-cert")
      flags.trust_file = value();
    else if (flag == "-require-any-client-certificate")
      flags.request_certificate = true;
    else if (flag == "-shim-writes-first")
      flags.writes_first = true;
    else if (flag == "-shim-shuts-down")
      flags.shuts_down = true;
    else if (flag == "-check-close-notify")
      flags.check_close_notify = true;
    else if (flag == "-min-version" || flag == "-expect-version") {
      if (std::stoi(value()) > tls12_version) return std::nullopt;
    } else if (flag == "-max-version") {
      if (std::stoi(value()) < tls12_version) return std::nullopt;
    } else if (!nothing.contains(flag)) {
      return std::nullopt;
    }
  }
  return flags;
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

int complain(const std::string& text) {
  std::fprintf(stderr, "%s\n", text.c_str());
  return 1;
}

// Runners listen on ::1 where there is one.
int connect_to(std::uint16_t port) {
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  six.sin6_addr = in6addr_loopback;
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = ::socket(AF_INET6, SOCK_STREAM, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&six), sizeof six) != 0) {
    ::close(fd);
    fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&four), sizeof four) != 0) return -1;
  }
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return fd;
}

bool send_all(int fd, const Bytes& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

// The last words leave, and the runner reads them before the connection is reset.
void part(int fd, const Bytes& last_words) {
  (void)send_all(fd, last_words);
  ::shutdown(fd, SHUT_WR);
  timeval wait{5, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  char rest[4096];
  while (::recv(fd, rest, sizeof rest, 0) > 0) {
  }
  ::close(fd);
}

std::unique_ptr<Endpoint> make_endpoint(const Flags& flags, GroupAuthority& authority) {
  const char* ca = std::getenv("SEALCAST_BOGO_CA");
  const std::string trust = flags.trust_file.empty() && ca != nullptr ? ca : flags.trust_file;
  auto anchors = TrustStore::from_pem(contents(trust), "");
  Credentials credentials;
  if (!flags.key_file.empty()) {
    auto loaded = Credentials::from_pem(contents(flags.cert_file), contents(flags.key_file));
    if (!loaded) {
      complain(loaded.error().message);
      return nullptr;
    }
    credentials = std::move(*loaded);
  }
  if (flags.server) {
    auto config = std::make_shared<ServerConfig>();
    config->credentials = std::move(credentials);
    if (anchors) config->member_trust = std::move(*anchors);
    config->allow_standard = true;
    config->standard_requests_certificate = flags.request_certificate;
    return make_server(config, authority, system_random());
  }
  auto config = std::make_shared<ClientConfig>();
  config->credentials = std::move(credentials);
  if (anchors) config->server_trust = std::move(*anchors);
  config->server_name = flags.trust_file.empty() ? "ks.example" : "test";
  return make_client(config, system_random());
}

int run(const Flags& flags) {
  testing::TestAuthority authority(CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384);  // asked for nothing
  const auto endpoint = make_endpoint(flags, authority);
  if (!endpoint) return unimplemented;  // a key or certificate that the library does not take
  const int fd = connect_to(flags.port);
  if (fd < 0) {
    complain("cannot connect to the runner");
    return must_not_pass;
  }
  if (flags.shim_id) {
    Bytes id(8);
    for (std::size_t i = 0; i < 8; ++i)
      id[i] = static_cast<std::uint8_t>(*flags.shim_id >> (8 * i));
    (void)send_all(fd, id);
  }
  bool closed = false;
  while (!closed) {
    if (!send_all(fd, endpoint->take_output())) return complain("the runner closed the connection");
    Bytes buffer(16 * 1024);
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n <= 0) {
      if (endpoint->established() && !flags.check_close_notify) break;
      return complain("the connection ended without close_notify");
    }
    buffer.resize(static_cast<std::size_t>(n));
    const auto received = endpoint->receive(buffer, std::time(nullptr));
    for (Event& event : endpoint->take_events()) {
      if (std::holds_alternative<Established>(event)) {
        const std::string hello = "hello";
        if (flags.writes_first) (void)endpoint->send_data(as_bytes(hello));
        if (flags.shuts_down) {
          endpoint->close();
          closed = !flags.check_close_notify;
        }
      }
      if (auto* data = std::get_if<ApplicationData>(&event)) {
        for (std::uint8_t& byte : data->data)
          byte = static_cast<std::uint8_t>(~byte);
        if (!flags.shuts_down) (void)endpoint->send_data(data->data);
      }
      if (std::holds_alternative<PeerClosed>(event)) {
        endpoint->close();
        closed = true;
      }
    }
    if (!received) {
      part(fd, endpoint->take_output());
      return complain(received.error().message());
    }
  }
  part(fd, endpoint->take_output());
  return 0;
}

}  // namespace
}  // namespace sealcast::handshake

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "-is-handshaker-supported") {  // the runner's first question
    std::puts("No");
    return 0;
  }
  const auto flags = sealcast::handshake::read_flags(argc, argv);
  if (!flags) return sealcast::handshake::unimplemented;
  return sealcast::handshake::run(*flags);
}
