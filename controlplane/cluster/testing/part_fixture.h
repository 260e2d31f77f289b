// One part of a node over a view that was read of an etcd in memory. The part's transactions are carried out where the
// test says so.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/departed.h"
#include "controlplane/cluster/testing/fake_etcd.h"
#include "controlplane/cluster/testing/plain_host.h"

namespace sealcast::cluster::testing {
using namespace std::chrono_literals;

class ClusterPart : public ::testing::Test {
 protected:
  ClusterPart() {
    view_.begin({self_, lease_, put(keys_.server(self_), "10.0.0.1:7400 self", lease_)}, host_.clock.steady);
    read();
  }

  // Returns the revision at which it was written.
  etcd::Revision put(const std::string& key, const std::string& value, std::int64_t lease = 0) {
    return store_.run({{}, {etcd::Put{key, value, lease}}, {}}).revision;
  }
  void remove(const std::string& key) { store_.run({{}, {etcd::Delete{key, ""}}, {}}); }
  // Another key server is alive from now on.
  void join(const std::string& incarnation) {
    put(keys_.server(incarnation), "10.0.0.2:7400 " + incarnation.substr(0, 2));
  }
  void lead() { put(keys_.leader(), self_, lease_); }
  // An epoch of the group "tv", begun now; it is the highest.
  EpochValue put_epoch(std::uint64_t number, std::uint64_t active, const std::vector<std::string>& assigned = {},
                       std::uint8_t slot_bits = 16) {
    EpochValue value;
    value.spi_prefix = 0x10000000 + static_cast<std::uint32_t>(number % 1000) * 0x10000;
    value.slot_bits = slot_bits;
    value.begun_ms = host_.clock.unix_ms;
    value.expires_ms = value.begun_ms + 3'600'000;
    value.sealed = "sealed";
    value.clock_id = clock_id_;
    value.assigned = assigned;
    put(keys_.epoch("tv", number), value.text());
    put(keys_.group("tv"), GroupValue{number, active}.text());
    return value;
  }
  void say(const std::string& incarnation, AtValue how_far) { put(keys_.at("tv", incarnation), how_far.text()); }

  // Another's question for the clock.
  etcd::Revision ask(const std::string& incarnation) { return put(keys_.asked(incarnation), ""); }

  // Everything that is new, into the view. Returns the key servers that vanished; nothing: this one did.
  std::optional<std::vector<Peer>> read() {
    const auto reply = store_.run({{},
                                   {etcd::Range{keys_.live(), etcd::end_of(keys_.live())},
                                    etcd::Range{keys_.shared(), etcd::end_of(keys_.shared()), view_.revision() + 1}},
                                   {}});
    auto vanished = view_.take_live(reply.ranges[0].entries, host_.clock.steady);
    for (const etcd::KeyValue& entry : reply.ranges[1].entries)
      view_.take(entry, host_.clock.steady, departed_);
    view_.read_up_to(reply.revision);
    return vanished;
  }
  // What a transaction would write where its comparisons hold.
  static std::vector<std::string> keys_of(const etcd::Transaction& transaction) {
    std::vector<std::string> keys;
    for (const etcd::Operation& operation : transaction.success) {
      if (const auto* put = std::get_if<etcd::Put>(&operation)) keys.push_back(put->key);
      if (const auto* gone = std::get_if<etcd::Delete>(&operation)) keys.push_back("-" + gone->key);
    }
    return keys;
  }

  const std::string self_ = std::string(32, 'a'), other_ = std::string(32, 'b'), third_ = std::string(32, 'c');
  const std::int64_t lease_ = 7;
  std::uint64_t clock_id_ = 0;  // of the epochs that are put
  const Keys keys_{"ks"};
  FakeStore store_;
  PlainHost host_;
  Departed departed_;
  ClusterView view_{"ks"};
};

}  // namespace sealcast::cluster::testing
