#include "bench/member_load/own_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "bench/member_load/slurp.h"
#include "controlplane/pki/folder.h"

namespace sealcast::load {
namespace {

using namespace std::chrono_literals;

// A free port. The server keeps it, since members come back to it after a restart. It lies below Linux's range for
// outgoing connections, so that none of these takes it meanwhile.
Result<std::uint16_t> free_port() {
  std::random_device random;
  std::uniform_int_distribution<std::uint16_t> any(10240, 32767);
  for (int tries = 0; tries < 100; ++tries) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::uint16_t port = any(random);
    place.sin_port = htons(port);
    const void* raw = &place;
    const bool is_free = ::bind(fd, static_cast<const sockaddr*>(raw), sizeof place) == 0;
    ::close(fd);
    if (is_free) return port;
  }
  return fail(std::string("none of 100 ports of loopback is free: ") + std::strerror(errno));
}

}  // namespace

OwnServer::OwnServer(OwnServer&& other) noexcept
    : folder_(std::exchange(other.folder_, {})),
      program_(std::move(other.program_)),
      port_(other.port_),
      pid_(std::exchange(other.pid_, 0)),
      keep_(other.keep_) {}

OwnServer::~OwnServer() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  if (!folder_.empty() && !keep_) std::filesystem::remove_all(folder_, ignored);
}

Result<OwnServer> OwnServer::start(const Options& options) {
  OwnServer server;
  std::array<char, 32> folder{"/tmp/sealcast-load-XXXXXX"};
  if (::mkdtemp(folder.data()) == nullptr) return fail(std::string("no folder under /tmp: ") + std::strerror(errno));
  server.folder_ = folder.data();
  server.program_ = options.keyserver;
  server.keep_ = options.keep;
  SEALCAST_TRY_ASSIGN(server.port_, free_port());
  SEALCAST_TRY(server.write_configuration(options));
  SEALCAST_TRY(server.launch());
  return server;
}

Result<void> OwnServer::write_configuration(const Options& options) {
  pki::FolderOptions made;
  made.folder = folder_ + "/pki";
  made.now = std::time(nullptr);
  SEALCAST_TRY(pki::init(made, "Sealcast load"));
  SEALCAST_TRY(pki::make_server(made, options.server_name));
  // All come at once from one address, and an eighth of the places is for those that come for the first time.
  const std::string room = std::to_string(8 * (connections_of(options) + connections_of(options) / 10 + 100));
  std::ofstream file(folder_ + "/ks.toml");
  file << "[keyserver]\nid = \"" << options.server_id << "\"\nlisten = \"127.0.0.1:" << port_
       << "\"\ncertificate = \"pki/" << options.server_name << ".pem\"\nprivate_key = \"pki/" << options.server_name
       << ".key\"\nca = \"pki/ca.pem\"\nstate = \"ks.db\"\nadmin_socket = \"admin.sock\"\n"
       << "spi_range = [\"0x10000000\", \"0x1fffffff\"]\nmax_connections = " << room
       << "\nmax_connections_per_address = " << room << "\nmax_handshakes_per_address = " << room << "\n";
  std::string senders;
  for (std::uint32_t i = 0; i < options.senders; ++i)
    senders += (i ? ", \"load-" : "\"load-") + std::to_string(i) + '"';
  std::size_t number = 0;
  for (const std::string& group : group_names(options)) {
    file << "\n[[keyserver.group]]\nid = \"" << group << "\"\nselectors = [ { destination = \"239.1." << number / 256
         << '.' << number % 256 << "/32\" } ]\nactivation_delay = \"" << activation_delay.count()
         << "s\"\ndeactivation_delay = \"1s\"\nauthority_lease = \"60s\"\nsenders = [" << senders << "]\n";
    ++number;
  }
  file.close();
  return file ? Result<void>() : fail("cannot write " + folder_ + "/ks.toml");
}

Result<void> OwnServer::launch() {
  const std::string log = folder_ + "/log", config = folder_ + "/ks.toml";
  std::error_code ignored;
  std::filesystem::rename(log, log + ".before", ignored);
  std::vector<std::string> words = {program_, "--config", config};
  std::vector<char*> argv;
  for (std::string& word : words)
    argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) return fail(std::string("fork: ") + std::strerror(errno));
  if (pid_ == 0) {
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  for (const auto end = std::chrono::steady_clock::now() + 30s; std::chrono::steady_clock::now() < end;) {
    if (slurp(log).find("is running, port") != std::string::npos) return {};
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) break;
    std::this_thread::sleep_for(10ms);
  }
  return fail(program_ + " did not start: " + slurp(log));
}

void OwnServer::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

Result<void> OwnServer::restart() {
  return launch();
}

}  // namespace sealcast::load
