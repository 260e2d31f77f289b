// etcd's HTTP/JSON gateway by libcurl: one thread sends one request at a time; answers come back on the loop. Bounded:
// 1 s a request, 16 MiB an answer, 4,096 waiting requests; a request that has waited 5 s is not sent any more. After an
// address that does not answer, the next one is asked.
#pragma once

#include <asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/etcd/etcd.h"

namespace sealcast::etcd {

struct ClientSettings {
  std::vector<std::string> addresses;  // "http://127.0.0.1:2379", tried in order
  std::optional<std::string> ca;       // paths to PEM files, for https
  std::optional<std::string> certificate;
  std::optional<std::string> private_key;
  std::chrono::milliseconds connect_timeout{300};
  std::chrono::milliseconds timeout{1000};
  std::size_t max_answer = 16 * 1024 * 1024;  // bytes
};

class Client final : public Etcd {
 public:
  Client(asio::io_context& io, ClientSettings settings);
  ~Client() override;  // sends waiting requests, for a second and a half at most; answers are dropped

  void transact(Transaction transaction, std::function<void(Result<Reply>)> done) override;
  Result<Reply> transact_now(Transaction transaction) override;
  void grant(std::chrono::seconds ttl, std::function<void(Result<Lease>)> done) override;
  void keep_alive(std::int64_t lease, std::function<void(Result<Lease>)> done) override;
  void revoke(std::int64_t lease) override;

 private:
  class Worker;
  std::shared_ptr<Worker> worker_;
};

}  // namespace sealcast::etcd
