// sealcast-crowd: many members of one group in one process, for tests of the key server's memory and of crowds. It
// makes a certificate for each from the CA's key, joins them one after another over blocking sockets, prints as one
// line of JSON how long that took, and holds the connections until SIGTERM.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "controlplane/pki/certificates.h"
#include "handshake/endpoint.h"

namespace {

using sealcast::Bytes;
using sealcast::fail;
using sealcast::Result;
namespace handshake = sealcast::handshake;
namespace pki = sealcast::pki;

struct Options {
  std::string pki = "pki";
  std::string address;
  std::uint16_t port = 7400;
  std::string group = "tv";
  std::string key_server = "ks.example";
  int count = 100;
};

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Member {
 public:
  Member(std::unique_ptr<handshake::Endpoint> endpoint, int fd) : endpoint_(std::move(endpoint)), fd_(fd) {}
  ~Member() {
    if (fd_ >= 0) close(fd_);
  }
  Member(Member&& other) noexcept : endpoint_(std::move(other.endpoint_)), fd_(std::exchange(other.fd_, -1)) {}
  Member& operator=(Member&&) = delete;

  // Runs the handshake to its closing Finished.
  Result<void> join() {
    std::array<std::uint8_t, 16384> buffer{};
    for (;;) {
      const Bytes out = endpoint_->take_output();
      if (!out.empty() && ::send(fd_, out.data(), out.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(out.size()))
        return fail("the key server closed the connection while we sent");
      if (endpoint_->established()) return {};
      const ssize_t size = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (size <= 0) return fail("the key server closed the connection before the handshake was over");
      const auto taken = endpoint_->receive({buffer.data(), static_cast<std::size_t>(size)}, std::time(nullptr));
      if (!taken) return fail(taken.error().message());
    }
  }

 private:
  std::unique_ptr<handshake::Endpoint> endpoint_;
  int fd_;
};

Result<int> connect_to(const Options& options) {
  sockaddr_in server{};
  server.sin_family = AF_INET;
  server.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.address.c_str(), &server.sin_addr) != 1)
    return fail("expected an IPv4 address, got '" + options.address + "'");
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const void* raw = &server;
  if (fd < 0 || ::connect(fd, static_cast<const sockaddr*>(raw), sizeof server) != 0)
    return fail("cannot connect to " + options.address);
  return fd;
}

Result<Member> join_one(const Options& options, const pki::Authority& authority, const handshake::TrustStore& trust,
                        int number) {
  pki::MemberRequest request;
  request.name = "crowd-" + std::to_string(number);
  request.groups = {options.group};
  const std::int64_t now = std::time(nullptr);
  request.validity = {.not_before = now - 60, .not_after = now + 3600};
  SEALCAST_TRY_ASSIGN(const auto identity, authority.issue(request));
  const auto key = identity.private_key_pem.view();
  const void* key_text = key.data();
  SEALCAST_TRY_ASSIGN(
      auto credentials,
      handshake::Credentials::from_pem(identity.certificate_pem, {static_cast<const char*>(key_text), key.size()}));

  auto config = std::make_shared<handshake::ClientConfig>();
  config->credentials = credentials;
  config->server_trust = trust;
  config->server_name = options.key_server;
  config->multicast = handshake::MulticastWish{options.group, options.key_server};
  config->accept_keying = [](const handshake::GroupKeying&, const handshake::EpochId&) { return Result<void>{}; };
  SEALCAST_TRY_ASSIGN(const auto fd, connect_to(options));
  Member member(handshake::make_client(std::move(config), handshake::system_random()), fd);
  SEALCAST_TRY(member.join());
  return member;
}

int run(const Options& options) {
  const std::string ca = slurp(options.pki + "/ca.pem"), key = slurp(options.pki + "/ca.key");
  const auto authority = pki::Authority::load(ca, sealcast::as_bytes(key));
  const auto trust = handshake::TrustStore::from_pem(ca, "");
  if (!authority || !trust) {
    std::fprintf(stderr, "sealcast-crowd: cannot use the CA in %s: %s\n", options.pki.c_str(),
                 (authority ? trust.error() : authority.error()).message.c_str());
    return 1;
  }
  std::vector<Member> members;
  const auto started = std::chrono::steady_clock::now();
  for (int i = 0; i < options.count; ++i) {
    auto member = join_one(options, *authority, *trust, i);
    if (!member) {
      std::fprintf(stderr, "sealcast-crowd: member %d: %s\n", i, member.error().message.c_str());
      return 1;
    }
    members.push_back(std::move(*member));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  std::printf("{\"joined\": %zu, \"seconds\": %.3f}\n", members.size(), took.count());
  std::fflush(stdout);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  int signal = 0;
  sigwait(&stop, &signal);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  Options options;
  CLI::App app{"Many members of one group in one process"};
  app.add_option("--pki", options.pki, "folder with ca.pem and ca.key")->capture_default_str();
  app.add_option("--server", options.address, "the key server's IPv4 address")->required();
  app.add_option("--port", options.port, "its port")->capture_default_str();
  app.add_option("--group", options.group, "group to join")->capture_default_str();
  app.add_option("--key-server", options.key_server, "its name and id")->capture_default_str();
  app.add_option("--count", options.count, "members")->capture_default_str()->check(CLI::Range(1, 10000));
  CLI11_PARSE(app, argc, argv);
  return run(options);
}
