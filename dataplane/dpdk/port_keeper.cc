#include "dataplane/dpdk/port_keeper.h"

#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/port.h"

namespace sealcast::dataplane {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto look_every = 100ms;
constexpr auto look_every_when_lost = 20ms;
constexpr auto first_pause = 100ms;
constexpr auto longest_pause = 2s;

struct Kept {
  Port* port = nullptr;
  std::uint16_t PortPair::*place = nullptr;
  bool attached = false;  // the workers use it
  bool link = false;
  Clock::time_point next_try{};
  Clock::duration pause = first_pause;
  Clock::time_point lost_at{};
  std::string last_reason;
};

// Kinds that only this thread watches: their drivers have no link event.
bool watch_link(const Port& port) {
  const PortKind kind = port.config().spec.kind;
  return kind == PortKind::af_packet || kind == PortKind::af_xdp;
}

}  // namespace

struct PortKeeper::State {
  Settings settings;
  Kept kept[2];
  std::atomic<bool> stop{false};
  std::thread thread;

  void attach(Kept& k, bool give);
  void tend(Kept& k, bool urgent);
  void run();
};

void PortKeeper::State::attach(Kept& k, bool give) {
  PortPair pair = settings.active->get();
  pair.*k.place = give ? k.port->id() : no_port;
  settings.active->set(pair);
  k.attached = give;
  if (!give) settings.synchronize();
}

void PortKeeper::State::tend(Kept& k, bool urgent) {
  const std::string role = k.port->config().role;
  const bool memif = k.port->config().spec.kind == PortKind::memif;
  if (k.port->tend() == Port::Condition::ready) {
    if (!k.attached) {
      attach(k, true);
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - k.lost_at).count();
      Eal::log(LogLevel::info,
               role + ": " + (memif ? "link is up" : "the device is back after " + std::to_string(seconds) + " s"));
      k.pause = first_pause;
      k.last_reason.clear();
    }
    if (watch_link(*k.port)) {
      const bool up = k.port->link_up();
      if (up != k.link) Eal::log(LogLevel::info, role + ": link is " + (up ? "up" : "down"));
      k.link = up;
    }
    return;
  }
  const auto now = Clock::now();
  if (k.attached) {
    attach(k, false);
    k.lost_at = now;
    k.next_try = now;
    k.link = false;
    Eal::log(memif ? LogLevel::info : LogLevel::warning,
             role + ": " +
                 (memif ? "link is down: the peer is gone"
                        : "the device of port \"" + k.port->config().spec.text +
                              "\" is gone; it is opened again as soon as it is back"));
  }
  if (!urgent && now < k.next_try) return;
  const auto tried = k.port->recover();
  if (memif) return;  // timed differently
  if (tried) {
    k.pause = first_pause;
    return;
  }
  k.next_try = now + k.pause;
  k.pause = std::min<Clock::duration>(2 * k.pause, longest_pause);
  if (tried.error().message != k.last_reason) Eal::log(LogLevel::debug, tried.error().message);
  k.last_reason = tried.error().message;
}

void PortKeeper::State::run() {
  auto next_tenth = Clock::now();
  std::vector<pollfd> list;
  bool urgent = false;
  while (!stop) {
    for (Kept& k : kept)
      tend(k, urgent);
    if (settings.every_tenth && Clock::now() >= next_tenth) {
      next_tenth = Clock::now() + look_every;
      settings.every_tenth();
    }
    list.clear();
    for (const Kept& k : kept)
      k.port->add_to(list);
    const bool all = kept[0].attached && kept[1].attached;
    const auto wait = all ? look_every : look_every_when_lost;
    urgent = ::poll(list.data(), list.size(), static_cast<int>(wait.count())) > 0;
  }
}

Result<std::unique_ptr<PortKeeper>> PortKeeper::start(Settings settings) {
  auto state = std::make_unique<State>();
  state->settings = std::move(settings);
  State& s = *state;
  s.kept[0].port = s.settings.red;
  s.kept[0].place = &PortPair::red;
  s.kept[1].port = s.settings.black;
  s.kept[1].place = &PortPair::black;
  PortPair both;  // both at once: frames from one side go to the other
  for (Kept& k : s.kept) {
    k.lost_at = Clock::now();
    if (k.port->tend() == Port::Condition::lost) continue;
    both.*k.place = k.port->id();
    k.attached = true;
    k.link = k.port->link_up();
  }
  s.settings.active->set(both);
  std::unique_ptr<PortKeeper> keeper(new PortKeeper(std::move(state)));
  try {
    s.thread = std::thread([&s] { s.run(); });
  } catch (const std::system_error& error) {
    return fail(std::string("ports: cannot start a thread: ") + error.what());
  }
  pthread_setname_np(s.thread.native_handle(), "sc-ports");
  return keeper;
}

PortKeeper::PortKeeper(std::unique_ptr<State> state) : state_(std::move(state)) {}

PortKeeper::~PortKeeper() {
  state_->stop = true;
  if (state_->thread.joinable()) state_->thread.join();
}

}  // namespace sealcast::dataplane
