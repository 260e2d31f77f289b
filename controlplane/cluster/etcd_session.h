// This key server's session at etcd: a lease, a key of its own bound to it, and looking at etcd often enough to know
// that both are still there. It ends when etcd has not answered for too long, or shows something that ends it; then
// another one begins. What was asked in a session that is over is never answered, and no answer of an etcd that was set
// back is taken. It has no timer: tick() is called from time to time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/dataplane_control.h"
#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/kept_memory.h"
#include "controlplane/cluster/node_host.h"
#include "controlplane/cluster/outage.h"
#include "controlplane/etcd/etcd.h"
#include "handshake/endpoint.h"

namespace sealcast::cluster {

// What a session tells its node, from tick(), lose() and etcd's answers.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  // This key server is registered; nothing is read yet. started_over: it has made a new generation with that.
  virtual void joined(bool started_over) = 0;
  virtual void looked(const std::vector<Peer>& vanished) = 0;  // the view shows which key servers are alive
  virtual void read(const etcd::KeyValue& entry) = 0;       // something below shared(), as ClusterView::take() has it
  virtual void all_read() = 0;                              // everything up to the view's revision
  virtual void lost(const std::string& why, bool had) = 0;  // had: there was a session; the view is empty now
};

class EtcdSession {
 public:
  enum class Stage : std::uint8_t {
    cut_off,     // no session; one begins with a tick()
    joining,     // the lease, a look at how far etcd is, and registration are under way
    registered,  // others see this key server; what lies in etcd is being read
    synced,      // all is read
    trusted,     // and may be gone on with (Trust)
    serving,     // members may come
  };

  // All must outlive it.
  EtcdSession(const NodeSettings& settings, NodeHost& host, etcd::Etcd& etcd, handshake::Random& random,
              KeptMemory& memory, ClusterView& view, Outage& outage, SessionOwner& owner);

  void tick();
  void poll();  // looks at etcd now, unless that is under way
  // Within a session. then: with nullptr where there was no answer, and it is not known whether it was done. It is not
  // called where the session ends first.
  void ask(etcd::Transaction transaction, std::function<void(const etcd::Reply*)> then);
  void lose(const std::string& why);
  void leave();  // gives up the lease, so that others need not wait for it to end

  Stage stage() const { return stage_; }
  bool open() const { return stage_ >= Stage::registered; }
  void advance(Stage to);  // within a session, and never back
  // Within a session in which etcd has answered lately.
  bool fresh(SteadyTime now) const;
  bool quiet(SteadyTime now) const;  // nothing has changed in etcd for a while
  // Within a session: when that was asked which etcd answered last.
  SteadyTime kept_alive() const { return lease_.kept_alive; }
  SteadyTime looked() const { return look_.answered; }
  SteadyTime answered() const;  // the earlier of the two

 private:
  struct Entering {
    std::string incarnation;
    std::int64_t lease = 0;
    std::uint64_t cluster = 0;
  };
  struct Lease {
    SteadyTime kept_alive{}, due{};
    bool asked = false;
  };
  struct Look {
    SteadyTime answered{}, changed{};  // changed: something had
    bool asked = false;
  };

  // An answer to what is asked now, with the moment of asking; of no interest once the session is over.
  template <typename Value>
  std::function<void(Result<Value>)> answer(void (EtcdSession::*then)(Result<Value>&&, SteadyTime));
  void join();
  void on_granted(Result<etcd::Lease>&& lease, SteadyTime asked);
  void on_looked(Result<etcd::Reply>&& reply, SteadyTime asked);
  void on_registered(Result<etcd::Reply>&& reply, SteadyTime asked);
  void on_kept_alive(Result<etcd::Lease>&& lease, SteadyTime asked);
  void on_polled(Result<etcd::Reply>&& reply, SteadyTime asked);
  void fetch_changes();
  void on_changes(Result<etcd::Reply>&& reply, SteadyTime asked);
  std::string set_back(const etcd::Reply& reply) const;
  bool check_revision(const etcd::Reply& reply);
  void end();
  // Without an answer for so long this key server counts itself out, before the others do.
  std::chrono::milliseconds patience() const { return std::chrono::milliseconds(settings_.lease_ttl) * 4 / 5; }

  const NodeSettings& settings_;
  NodeHost& host_;
  etcd::Etcd& etcd_;
  handshake::Random& random_;
  KeptMemory& memory_;
  ClusterView& view_;
  Outage& outage_;
  SessionOwner& owner_;
  Stage stage_ = Stage::cut_off;
  std::optional<SteadyTime> try_again_;
  bool start_over_ = false;  // etcd was set back: until a registration makes a new generation
  Entering entering_;
  Lease lease_;
  Look look_;
  std::shared_ptr<int> guard_ = std::make_shared<int>(0);  // another one with each session
};

}  // namespace sealcast::cluster
