#include "tests/wire/control.h"

#include <unistd.h>

#include <asio.hpp>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

namespace sealcast::wire {
namespace {

using asio::local::stream_protocol;

nlohmann::json to_json(const HubStatistics& s) {
  nlohmann::json ports = nlohmann::json::array();
  for (std::size_t i = 0; i < s.ports.size(); ++i) {
    const auto& p = s.ports[i];
    ports.push_back({{"port", i},
                     {"device", p.device},
                     {"link_up", p.link_up},
                     {"rx_packets", p.rx_packets},
                     {"rx_bytes", p.rx_bytes},
                     {"tx_packets", p.tx_packets},
                     {"tx_bytes", p.tx_bytes},
                     {"tx_dropped", p.tx_dropped}});
  }
  nlohmann::json links = nlohmann::json::array();
  for (const LinkStatistics& l : s.links)
    links.push_back({{"from", l.from},
                     {"to", l.to},
                     {"delivered", l.delivered},
                     {"dropped", l.dropped},
                     {"duplicated", l.duplicated},
                     {"reordered", l.reordered},
                     {"partitioned", l.partitioned},
                     {"no_peer", l.no_peer},
                     {"overflow", l.overflow},
                     {"queued", l.queued}});
  const Impairments& i = s.settings.impairments;
  return {{"ports", ports},
          {"links", links},
          {"captured", s.captured},
          {"capture_failed", s.capture_failed},
          {"seed", s.settings.seed},
          {"partition", s.settings.partition.text()},
          {"impairments",
           {{"drop", i.drop},
            {"duplicate", i.duplicate},
            {"reorder", i.reorder},
            {"reorder_depth", i.reorder_depth},
            {"delay_ms", i.delay_ms},
            {"jitter_ms", i.jitter_ms}}}};
}

std::string in_one_line(const Result<void>& result) {
  return result ? "ok" : "error: " + result.error().message;
}

Result<void> change_impairment(Hub& hub, const std::string& word, std::istringstream& arguments) {
  Impairments now = hub.statistics().settings.impairments;
  double value = 0;
  if (!(arguments >> value)) return fail(word + ": expected a number");
  if (word == "drop") now.drop = value;
  if (word == "duplicate") now.duplicate = value;
  if (word == "reorder") {
    now.reorder = value;
    arguments >> now.reorder_depth;
  }
  if (word == "delay") {
    now.delay_ms = value;
    now.jitter_ms = 0;
    arguments >> now.jitter_ms;
  }
  std::string rest;
  if (!arguments.eof() && (arguments.fail() || arguments >> rest)) return fail(word + ": too many or malformed values");
  SEALCAST_TRY(validate(now));
  hub.set_impairments(now);
  return {};
}

}  // namespace

std::string answer(Hub& hub, const std::string& line) {
  std::istringstream words(line);
  std::string word;
  words >> word;
  if (word == "stats") return to_json(hub.statistics()).dump();
  if (word == "heal") {
    hub.set_partition({});
    return "ok";
  }
  if (word == "partition") {
    std::string islands;
    words >> islands;
    const auto partition = Partition::parse(islands, hub.port_count());
    if (!partition) return "error: " + partition.error().message;
    hub.set_partition(*partition);
    return "ok";
  }
  if (word == "drop" || word == "duplicate" || word == "reorder" || word == "delay")
    return in_one_line(change_impairment(hub, word, words));
  return "error: expected stats, heal, partition, drop, duplicate, reorder or delay, got \"" + word + "\"";
}

struct ControlSocket::State {
  // One client; lives as long as one of its operations is pending.
  struct Client : std::enable_shared_from_this<Client> {
    Client(stream_protocol::socket s, Hub& h) : socket(std::move(s)), input(4096), hub(h) {}
    void read() {
      asio::async_read_until(socket, input, '\n', [self = shared_from_this()](std::error_code error, std::size_t) {
        if (error) return;
        std::istream stream(&self->input);
        std::string line;
        std::getline(stream, line);
        self->reply = answer(self->hub, line) + "\n";
        asio::async_write(self->socket, asio::buffer(self->reply), [self](std::error_code failed, std::size_t) {
          if (!failed) self->read();
        });
      });
    }
    stream_protocol::socket socket;
    asio::streambuf input;
    std::string reply;
    Hub& hub;
  };

  State(std::string p, Hub& h) : path(std::move(p)), hub(h), acceptor(io) {}
  void accept() {
    acceptor.async_accept([this](std::error_code error, stream_protocol::socket socket) {
      if (error) return;
      std::make_shared<Client>(std::move(socket), hub)->read();
      accept();
    });
  }

  std::string path;
  Hub& hub;
  asio::io_context io;
  stream_protocol::acceptor acceptor;
  std::thread thread;
};

Result<std::unique_ptr<ControlSocket>> ControlSocket::listen(const std::string& path, Hub& hub) {
  if (path.empty() || path.size() > 107) return fail("control socket: expected a path of 1 to 107 bytes");
  auto state = std::make_unique<State>(path, hub);
  std::error_code error;
  const stream_protocol::endpoint endpoint(path);
  {
    stream_protocol::socket probe(state->io);
    probe.connect(endpoint, error);
    if (!error) return fail("control socket: another process listens on " + path);
    if (error == asio::error::connection_refused) ::unlink(path.c_str());  // left behind by a killed process
  }
  error.clear();
  state->acceptor.open(endpoint.protocol(), error);
  if (!error) state->acceptor.bind(endpoint, error);
  if (!error) state->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail("control socket " + path + ": " + error.message());
  state->accept();
  State* const raw = state.get();
  state->thread = std::thread([raw] { raw->io.run(); });
  return std::unique_ptr<ControlSocket>(new ControlSocket(std::move(state)));
}

ControlSocket::ControlSocket(std::unique_ptr<State> state) : state_(std::move(state)) {}

ControlSocket::~ControlSocket() {
  state_->io.stop();
  state_->thread.join();
  ::unlink(state_->path.c_str());
}

}  // namespace sealcast::wire
