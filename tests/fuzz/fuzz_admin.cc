// The admin socket: bytes of any kind from a local client, as one or several lines, against the real server. Every
// request is answered by exactly one line that is a JSON object; the commands' own handlers read the request once more.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <cstring>
#include <nlohmann/json.hpp>

#include "controlplane/admin/admin_server.h"
#include "tests/fuzz/input.h"

namespace {

using namespace sealcast;  // NOLINT: a fuzzer of it
using fuzz::require;
using Json = nlohmann::json;

// As the key server's commands do: wrong input gets an answer, it is not a failure.
std::string echo_group(const std::string& request) {
  const Json json = Json::parse(request, nullptr, false);
  require(json.is_object());  // promised by AdminServer::Handler
  const auto group = json.find("group");
  if (group == json.end() || !group->is_string()) return R"({"error": "expected a group"})";
  return Json{{"group", group->get_ref<const std::string&>()}, {"lines", "a\nb"}}.dump(1, ' ', false,
                                                                                       Json::error_handler_t::replace);
}

struct Daemon {
  asio::io_context io;
  std::string path = "/tmp/sealcast-fuzz-admin." + std::to_string(getpid());
  admin::AdminServer server{io, path, std::chrono::seconds(60)};
  Daemon() {
    server.handle("status", [](const std::string&) { return std::string(R"({"daemon": "fuzz"})"); });
    server.handle("rekey", echo_group);
    require(server.start().has_value());
  }
};

int connect_to(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  require(fd >= 0 && connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Daemon daemon;
  const ByteView sent(data, std::min<std::size_t>(size, 64 * 1024));
  const int fd = connect_to(daemon.path);
  std::string answers;
  std::size_t done = 0;
  bool open = true;
  bool writing = true;
  for (int idle = 0; open && idle < 8;) {
    if (writing && done < sent.size()) {
      const ssize_t n = send(fd, sent.data() + done, sent.size() - done, MSG_NOSIGNAL);
      if (n > 0) done += static_cast<std::size_t>(n);
      if (n < 0 && errno != EAGAIN) writing = false;  // the server has hung up on us
    }
    if (writing && done == sent.size()) {
      shutdown(fd, SHUT_WR);
      writing = false;
    }
    const std::size_t ran = daemon.io.poll();
    char part[4096];
    const ssize_t n = recv(fd, part, sizeof part, 0);
    if (n > 0) answers.append(part, static_cast<std::size_t>(n));
    open = n > 0 || (n < 0 && errno == EAGAIN);
    idle = ran == 0 && n <= 0 ? idle + 1 : 0;
  }
  close(fd);
  require(!open);  // the server must hang up once it has answered
  daemon.io.poll();

  const auto lines = static_cast<std::size_t>(std::count(sent.begin(), sent.end(), '\n'));
  std::size_t answered = 0;
  while (!answers.empty()) {
    const std::size_t end = answers.find('\n');
    if (end == std::string::npos) break;  // cut off by our own reset
    require(Json::parse(answers.substr(0, end), nullptr, false).is_object());
    answers.erase(0, end + 1);
    ++answered;
  }
  require(answered <= lines + 1);  // one more for a line that is too long
  if (sent.size() <= admin::max_request_bytes) require(answered == lines);
  return 0;
}
