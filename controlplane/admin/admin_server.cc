#include "controlplane/admin/admin_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <asio/buffer.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read_until.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace sealcast::admin {
namespace {

using Protocol = asio::local::stream_protocol;
using Json = nlohmann::json;

constexpr std::chrono::milliseconds accept_pause{200};  // after accept() failed for lack of descriptors

std::string error_line(std::string_view text) {
  return Json{{"error", text}}.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// True if a process accepts connections on path.
bool is_served(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;  // unknown: do not touch it
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  const int rc = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  ::close(fd);
  // Only a refusal proves that the socket is dead; EAGAIN is a full backlog, hence alive.
  return !(rc < 0 && error == ECONNREFUSED);
}

}  // namespace

struct AdminServer::State : std::enable_shared_from_this<AdminServer::State> {
  State(asio::io_context& context, std::string socket_path, std::chrono::milliseconds client_limit)
      : io(context), path(std::move(socket_path)), limit(client_limit), acceptor(context), accept_timer(context) {}

  asio::io_context& io;
  std::string path;
  std::chrono::milliseconds limit;  // per request or response
  std::map<std::string, Handler> handlers;
  Protocol::acceptor acceptor;
  asio::steady_timer accept_timer;
  bool stopped = false;
  dev_t device = 0;  // of the socket's file, so that stop() unlinks no other
  ino_t inode = 0;

  struct Session;
  std::map<Session*, std::weak_ptr<Session>> sessions;

  Result<void> listen();
  void accept();
  std::string answer(const std::string& line);
  std::optional<Caller> caller;  // while a handler runs
};

// One client. Lives as long as one of its operations is pending.
struct AdminServer::State::Session : std::enable_shared_from_this<Session> {
  Session(std::shared_ptr<State> owner, Protocol::socket peer)
      : state(std::move(owner)), socket(std::move(peer)), deadline(state->io) {}
  ~Session() { state->sessions.erase(this); }

  std::shared_ptr<State> state;
  Protocol::socket socket;
  asio::steady_timer deadline;
  std::string input;
  std::string output;

  void close() {
    asio::error_code ignored;
    deadline.cancel();
    socket.close(ignored);
  }

  void arm() {
    deadline.expires_after(state->limit);
    deadline.async_wait([self = weak_from_this()](const asio::error_code& error) {
      if (error) return;
      if (const auto session = self.lock()) session->close();
    });
  }

  void read() {
    arm();
    asio::async_read_until(socket, asio::dynamic_buffer(input, max_request_bytes), '\n',
                           [self = shared_from_this()](const asio::error_code& error, std::size_t length) {
                             self->on_line(error, length);
                           });
  }

  void on_line(const asio::error_code& error, std::size_t length) {
    if (error == asio::error::not_found) {
      write(error_line("request longer than " + std::to_string(max_request_bytes) + " bytes without a newline"), false);
      return;
    }
    if (error || state->stopped) {
      close();
      return;
    }
    std::string line = input.substr(0, length - 1);
    input.erase(0, length);
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
      state->caller = Caller{peer.uid, peer.pid};
    std::string answer = state->answer(line);
    state->caller.reset();
    write(std::move(answer), true);
  }

  void write(std::string line, bool again) {
    output = std::move(line);
    arm();
    asio::async_write(socket, asio::buffer(output),
                      [self = shared_from_this(), again](const asio::error_code& error, std::size_t) {
                        if (error || !again || self->state->stopped)
                          self->close();
                        else
                          self->read();
                      });
  }
};

std::string AdminServer::State::answer(const std::string& line) {
  const Json request = Json::parse(line, nullptr, false);
  if (!request.is_object()) return error_line("expected one JSON object in a line, e.g. {\"command\": \"status\"}");
  const auto command = request.find("command");
  if (command == request.end() || !command->is_string())
    return error_line("expected a member \"command\" that is a string");
  const auto handler = handlers.find(command->get_ref<const std::string&>());
  if (handler == handlers.end()) {
    std::string known;
    for (const auto& [name, ignored] : handlers)
      known += (known.empty() ? "" : ", ") + name;
    return error_line("unknown command \"" + command->get_ref<const std::string&>() +
                      "\"; this daemon knows: " + known);
  }
  std::string text = handler->second(line);
  if (text.size() > max_response_bytes)
    return error_line("the answer has " + std::to_string(text.size()) + " bytes, more than the limit of " +
                      std::to_string(max_response_bytes));
  std::replace(text.begin(), text.end(), '\n', ' ');
  text += '\n';
  return text;
}

Result<void> AdminServer::State::listen() {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return fail("admin socket " + path + ": the path has " + std::to_string(path.size()) + " bytes, at most " +
                std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " are possible; choose a shorter one");
  struct stat found {};
  if (::lstat(path.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode))
      return fail("admin socket " + path + ": there is a file that is no socket; remove it or choose another path");
    if (is_served(path))
      return fail("admin socket " + path + ": another process serves it; stop that one or choose another path");
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      return fail("admin socket " + path + ": cannot remove the dead socket: " + std::strerror(errno));
  }
  const auto explain = [this](const char* what, const asio::error_code& error) {
    std::string hint;
    if (error.value() == ENOENT) hint = "; make its folder first";
    if (error.value() == EACCES) hint = "; run as a user who may write its folder";
    return fail("admin socket " + path + ": cannot " + what + ": " + error.message() + hint);
  };
  asio::error_code error;
  acceptor.open(Protocol(), error);
  if (error) return explain("open", error);
  // Linux gives a UNIX socket's file the descriptor's mode: at no moment can others connect.
  if (::fchmod(acceptor.native_handle(), 0600) != 0)
    return fail("admin socket " + path + ": cannot set mode 0600: " + std::strerror(errno));
  acceptor.bind(Protocol::endpoint(path), error);
  if (error) return explain("bind", error);
  struct stat made {};
  if (::lstat(path.c_str(), &made) != 0 || (made.st_mode & 0777) != 0600) {
    ::unlink(path.c_str());
    return fail("admin socket " + path + ": its mode is not 0600 after bind()");
  }
  device = made.st_dev;
  inode = made.st_ino;
  acceptor.listen(static_cast<int>(max_clients), error);
  if (error) return explain("listen", error);
  accept();
  return {};
}

void AdminServer::State::accept() {
  acceptor.async_accept([weak = weak_from_this()](const asio::error_code& error, Protocol::socket socket) {
    const auto self = weak.lock();
    if (!self || self->stopped || error == asio::error::operation_aborted) return;
    if (error) {  // descriptors are short: wait instead of spinning
      self->accept_timer.expires_after(accept_pause);
      self->accept_timer.async_wait([weak](const asio::error_code& waited) {
        const auto state = weak.lock();
        if (!waited && state && !state->stopped) state->accept();
      });
      return;
    }
    const auto session = std::make_shared<Session>(self, std::move(socket));
    if (self->sessions.size() >= max_clients) {
      session->write(error_line("too many clients (" + std::to_string(max_clients) + "); try again"), false);
    } else {
      self->sessions.emplace(session.get(), session);
      session->read();
    }
    self->accept();
  });
}

AdminServer::AdminServer(asio::io_context& io, std::string path, std::chrono::milliseconds deadline)
    : state_(std::make_shared<State>(io, std::move(path), deadline)) {}

AdminServer::~AdminServer() {
  stop();
}

std::optional<AdminServer::Caller> AdminServer::caller() const {
  return state_->caller;
}

void AdminServer::handle(std::string command, Handler handler) {
  state_->handlers[std::move(command)] = std::move(handler);
}

Result<void> AdminServer::start() {
  if (state_->path.empty()) return {};
  return state_->listen();
}

void AdminServer::stop() {
  if (std::exchange(state_->stopped, true)) return;
  asio::error_code ignored;
  state_->accept_timer.cancel();
  state_->acceptor.close(ignored);
  for (const auto& [key, weak] : state_->sessions)
    if (const auto session = weak.lock()) session->close();
  state_->handlers.clear();  // the objects they refer to may end right after this call
  struct stat found {};
  if (state_->inode != 0 && ::lstat(state_->path.c_str(), &found) == 0 && found.st_dev == state_->device &&
      found.st_ino == state_->inode)
    ::unlink(state_->path.c_str());
}

}  // namespace sealcast::admin
