#include "controlplane/etcd/client.h"

#include <curl/curl.h>

#include <asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "controlplane/etcd/json.h"

namespace sealcast::etcd {

std::string end_of(const std::string& prefix) {
  std::string end = prefix;
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t max_waiting = 4096;
constexpr auto longest_wait = 5s;
constexpr auto longest_now = 1500ms;

constexpr std::string_view revoke_path = "/v3/lease/revoke";

struct Request {
  std::string_view path;
  std::string body;
  std::function<void(Result<std::string>)> done;  // called on the worker's thread
  Clock::time_point asked;
};

struct Buffer {
  std::string text;
  std::size_t max = 0;
  bool overflow = false;
};

std::size_t take(char* data, std::size_t, std::size_t size, void* into) {
  auto& buffer = *static_cast<Buffer*>(into);
  if (buffer.text.size() + size > buffer.max) {
    buffer.overflow = true;
    return 0;
  }
  buffer.text.append(data, size);
  return size;
}

// libcurl needs this once, before any thread uses it.
bool curl_ready() {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ready;
}

}  // namespace

class Client::Worker {
 public:
  Worker(asio::io_context& io, ClientSettings settings) : io_(io), settings_(std::move(settings)) {
    if (curl_ready()) thread_ = std::thread([this] { run(); });
  }

  ~Worker() { stop(); }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      if (!stop_at_) stop_at_ = Clock::now() + longest_now;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  // first: ahead of all waiting requests.
  void ask(std::string_view path, std::string body, std::function<void(Result<std::string>)> done, bool first = false) {
    Request request{path, std::move(body), std::move(done), Clock::now()};
    {
      const std::lock_guard lock(mutex_);
      if (thread_.joinable() && !stop_at_ && waiting_.size() < max_waiting) {
        if (first)
          waiting_.push_front(std::move(request));
        else
          waiting_.push_back(std::move(request));
        wake_.notify_all();
        return;
      }
    }
    request.done(fail("etcd: too many requests wait"));
  }

  asio::io_context& io() { return io_; }

 private:
  void run() {
    curl_ = curl_easy_init();
    headers_ = curl_slist_append(nullptr, "Content-Type: application/json");
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return !waiting_.empty() || stop_at_; });
      if (stop_at_ && (waiting_.empty() || Clock::now() >= *stop_at_)) break;
      Request request = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      if (Clock::now() - request.asked > longest_wait)
        request.done(fail("etcd: the request waited too long"));
      else
        request.done(perform(request));
    }
    curl_slist_free_all(headers_);
    curl_easy_cleanup(curl_);
  }

  // An address that refused the connection has not got the request, so that the next one may be asked at once.
  Result<std::string> perform(const Request& request) {
    if (!curl_ || !headers_) return fail("etcd: no memory for requests");
    for (std::size_t tries = 1;; ++tries) {
      Buffer buffer{{}, settings_.max_answer, false};
      const std::string& address = settings_.addresses[address_];
      const CURLcode code = send(address + std::string(request.path), request.body, buffer);
      if (code == CURLE_OK) {
        long status = 0;
        curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
        answered_ = true;
        if (status == 200) return std::move(buffer.text);
        if (status != 404 || request.path != revoke_path) next_address();  // 404: the lease has ended already
        return fail("etcd at " + address + ": status " + std::to_string(status) + ": " + parse_error(buffer.text));
      }
      next_address();
      const bool unsent = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
                          code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR;
      if (unsent && tries < settings_.addresses.size()) continue;
      if (buffer.overflow)
        return fail("etcd at " + address + ": expected an answer of at most " + std::to_string(settings_.max_answer) +
                    " bytes, got more");
      return fail("etcd at " + address + ": " + hint(code, address) + (*error_ ? error_ : curl_easy_strerror(code)));
    }
  }

  // What to look at, before the library's own words: these may be long. With TLS 1.3 a client learns late and badly
  // that the server refused it, often only by a broken connection.
  std::string hint(CURLcode code, const std::string& address) const {
    if (address.rfind("https:", 0) != 0) return "";
    if (code == CURLE_PEER_FAILED_VERIFICATION)
      return "expected a certificate that a CA of " + settings_.ca.value_or("the system") +
             " signed, with the name or address that stands in etcd: ";
    if (answered_ || code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
        code == CURLE_OPERATION_TIMEDOUT)
      return "";
    if (settings_.certificate)
      return "does it speak TLS there, and does its CA know this key server's certificate, " + *settings_.certificate +
             "? ";
    return "does it speak TLS there, and does it want a client certificate? There is none in the configuration: ";
  }

  CURLcode send(const std::string& url, const std::string& body, Buffer& buffer) {
    curl_easy_reset(curl_);  // leaves connections open
    *error_ = '\0';
    curl_easy_setopt(curl_, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl_, CURLOPT_PROXY, "");
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(settings_.connect_timeout.count()));
    curl_easy_setopt(curl_, CURLOPT_TIMEOUT_MS, static_cast<long>(settings_.timeout.count()));
    curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, error_);
    curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &take);
    curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &buffer);
    curl_easy_setopt(curl_, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (settings_.ca) curl_easy_setopt(curl_, CURLOPT_CAINFO, settings_.ca->c_str());
    if (settings_.certificate) curl_easy_setopt(curl_, CURLOPT_SSLCERT, settings_.certificate->c_str());
    if (settings_.private_key) curl_easy_setopt(curl_, CURLOPT_SSLKEY, settings_.private_key->c_str());
    return curl_easy_perform(curl_);
  }

  void next_address() { address_ = (address_ + 1) % settings_.addresses.size(); }

  asio::io_context& io_;
  const ClientSettings settings_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Request> waiting_;               // guarded by mutex_
  std::optional<Clock::time_point> stop_at_;  // guarded by mutex_
  // Used by the worker alone:
  CURL* curl_ = nullptr;
  curl_slist* headers_ = nullptr;
  std::size_t address_ = 0;
  bool answered_ = false;  // once
  char error_[CURL_ERROR_SIZE] = {};
  std::thread thread_;
};

Client::Client(asio::io_context& io, ClientSettings settings)
    : worker_(std::make_shared<Worker>(io, std::move(settings))) {}

Client::~Client() {
  worker_->stop();
}

namespace {

// Parsed on the worker's thread, delivered on the loop's.
template <typename Answer>
std::function<void(Result<std::string>)> answer(asio::io_context& io, std::weak_ptr<void> alive,
                                                Result<Answer> (*parse)(std::string_view),
                                                std::function<void(Result<Answer>)> done) {
  return [&io, alive = std::move(alive), parse, done = std::move(done)](Result<std::string> text) {
    Result<Answer> parsed = text ? parse(*text) : Result<Answer>(tl::unexpected(text.error()));
    asio::post(io, [alive, done, parsed = std::move(parsed)]() mutable {
      if (!alive.expired()) done(std::move(parsed));
    });
  };
}

}  // namespace

void Client::transact(Transaction transaction, std::function<void(Result<Reply>)> done) {
  worker_->ask("/v3/kv/txn", transaction_json(transaction),
               answer<Reply>(worker_->io(), worker_, &parse_reply, std::move(done)));
}

Result<Reply> Client::transact_now(Transaction transaction) {
  const auto promise = std::make_shared<std::promise<Result<std::string>>>();
  auto future = promise->get_future();
  worker_->ask(
      "/v3/kv/txn", transaction_json(transaction),
      [promise](Result<std::string> text) { promise->set_value(std::move(text)); }, true);
  if (future.wait_for(longest_now) != std::future_status::ready)
    return fail("etcd did not answer in time; the request may have been carried out: check, or ask again");
  SEALCAST_TRY_ASSIGN(const auto text, future.get());
  return parse_reply(text);
}

void Client::grant(std::chrono::seconds ttl, std::function<void(Result<Lease>)> done) {
  worker_->ask("/v3/lease/grant", grant_json(ttl),
               answer<Lease>(worker_->io(), worker_, &parse_lease, std::move(done)));
}

void Client::keep_alive(std::int64_t lease, std::function<void(Result<Lease>)> done) {
  worker_->ask("/v3/lease/keepalive", lease_json(lease),
               answer<Lease>(worker_->io(), worker_, &parse_lease, std::move(done)), true);
}

void Client::revoke(std::int64_t lease) {
  worker_->ask(revoke_path, lease_json(lease), [](const Result<std::string>&) {});
}

}  // namespace sealcast::etcd
