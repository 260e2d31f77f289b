#include "controlplane/admin/admin_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/descriptor.h"
#include "controlplane/admin/admin_server.h"

namespace sealcast::admin {
namespace {

using Clock = std::chrono::steady_clock;

// True once fd is ready for events; false when the deadline passed.
bool wait_for(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    pollfd entry{fd, events, 0};
    const int rc = ::poll(&entry, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60000)));
    if (rc > 0) return true;
    if (rc < 0 && errno != EINTR) return true;  // let the following call report it
  }
}

std::string hint(int error) {
  switch (error) {
    case ENOENT:
      return "; is the daemon running, and is this its admin_socket?";
    case ECONNREFUSED:
      return "; the daemon that made it has ended: start it again";
    case EACCES:
    case EPERM:
      return "; run as the daemon's user or root";
    default:
      return "";
  }
}

}  // namespace

Result<std::string> ask(const std::string& path, const std::string& request_json, std::chrono::milliseconds deadline) {
  const auto until = Clock::now() + deadline;
  const auto late = [&](const char* what) {
    return fail("admin socket " + path + ": the daemon did not " + what + " within " +
                std::to_string(deadline.count()) + " ms");
  };
  const auto broken = [&](const char* what, int error) {
    return fail("admin socket " + path + ": cannot " + what + ": " + std::strerror(error) + hint(error));
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path))
    return fail("admin socket \"" + path + "\": expected a path of 1 to " +
                std::to_string(sizeof(address.sun_path) - 1) + " bytes");
  std::memcpy(address.sun_path, path.data(), path.size());

  const Descriptor socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (socket.get() < 0) return broken("open a socket", errno);
  // A full backlog answers EAGAIN at once: try again until the deadline.
  while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return broken("connect", errno);
    if (Clock::now() >= until) return late("accept");
    ::poll(nullptr, 0, 20);
  }

  std::string request = request_json;
  std::replace(request.begin(), request.end(), '\n', ' ');
  request += '\n';
  for (std::size_t sent = 0; sent < request.size();) {
    const ssize_t n = ::send(socket.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      if (!wait_for(socket.get(), POLLOUT, until)) return late("read the request");
    } else if (errno != EINTR) {
      return broken("send", errno);
    }
  }

  std::string answer;
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t n = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
      const std::string_view got(buffer.data(), static_cast<std::size_t>(n));
      const auto newline = got.find('\n');
      answer.append(got.substr(0, newline));
      if (newline != std::string_view::npos) return answer;
      if (answer.size() > max_response_bytes) return fail("admin socket " + path + ": the answer has no end");
    } else if (n == 0) {
      return fail("admin socket " + path + ": the daemon closed the connection before its answer was complete");
    } else if (errno == EAGAIN) {
      if (!wait_for(socket.get(), POLLIN, until)) return late("answer");
    } else if (errno != EINTR) {
      return broken("receive", errno);
    }
  }
}

}  // namespace sealcast::admin
