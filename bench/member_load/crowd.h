// All members, and the phases that are measured one after another.
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/member_load/member.h"
#include "bench/member_load/own_server.h"
#include "bench/member_load/summary.h"

namespace sealcast::load {

class Crowd final : public Observer {
 public:
  // own: the key server if this program started it, else nullptr.
  Crowd(asio::io_context& io, const Options& options, OwnServer* own);
  ~Crowd() override;

  // Makes the members' certificates; they are not connected yet.
  Result<void> prepare();
  Result<void> join_all();
  Result<void> rekey();
  void hold();
  // Half of the members vanish and come back at once; meanwhile the others are rekeyed.
  Result<void> surge();
  Result<void> storm();
  // Whether every member is joined.
  bool complete() const { return joined_ == members_.size(); }
  const Summary& summary() const { return summary_; }

  void joined(LoadMember& member, Clock::duration took) override;
  void lost(LoadMember& member, const std::string& why) override;
  void failed(LoadMember& member, const std::string& why) override;
  void acknowledged(LoadMember& member, std::uint64_t epoch) override;
  void activated(LoadMember& member, std::uint64_t epoch) override;

 private:
  bool run_until(const std::function<bool()>& done);  // false: patience_s is over
  void connect_more();
  ProcessUse server_use() const;
  bool follows(const LoadMember& member) const { return member.stays && member.first_group() == options_.group; }
  std::uint32_t groups_each() const { return options_.apart ? 1 : options_.groups; }  // of a connection
  void ask_for_rekey();
  void note(const std::string& why) { ++summary_.why[why.substr(0, 160)]; }
  void churn_one();

  asio::io_context& io_;
  const Options& options_;
  OwnServer* own_;
  Surroundings around_;
  std::vector<std::shared_ptr<LoadMember>> members_;
  Summary summary_;
  Joining* joining_ = nullptr;  // the phase that joins count for
  std::vector<double> handshakes_;
  std::size_t staying_ = 0;  // members that must follow the rekey
  std::size_t joined_ = 0, next_ = 0, under_way_ = 0;
  bool first_time_ = true;  // handshakes under way are limited
  Clock::time_point asked_{};
  std::uint64_t expected_above_ = 0, rekey_epoch_ = 0;  // the epoch being handed over
  std::vector<double> acknowledged_, activated_;
  std::string answer_;  // to the requested rekey
  bool answered_ = false;
  std::thread asking_;
};

}  // namespace sealcast::load
