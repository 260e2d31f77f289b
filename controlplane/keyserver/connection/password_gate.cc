#include "controlplane/keyserver/connection/password_gate.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <atomic>
#include <thread>

#include "controlplane/keyserver/audit/audit.h"
#include "handshake/endpoint.h"

namespace sealcast::keyserver {
namespace {

using passwords::PasswordFile;

constexpr int politeness = 10;  // nice

unsigned thread_count(unsigned wanted) {
  if (wanted != 0) return wanted;
  return std::thread::hardware_concurrency() >= 4 ? 2 : 1;
}

// Members that have joined are served first (H13).
class PoliteThreads final : public HashWorkers {
 public:
  explicit PoliteThreads(unsigned threads) : pool_(threads) {}
  ~PoliteThreads() override {
    pool_.stop();
    pool_.join();
  }
  void run(std::function<void()> job) override {
    asio::post(pool_, [job = std::move(job)] {
      be_polite();
      job();
    });
  }

 private:
  static void be_polite() {
    thread_local const bool done = ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), politeness) == 0;
    static_cast<void>(done);  // without it the hash is merely in the way a little more
  }

  asio::thread_pool pool_;
};

// One attempt. The pool holds it too, but never what done() refers to: that is the loop's.
struct Attempt {
  passwords::AttemptLimiter::Guess guess;
  SecretBytes password;
  IpAddress from;
  SteadyTime begun;
  std::shared_ptr<const PasswordFile> file;  // as it was at the beginning
  std::atomic<bool> given_up{false};
};

struct Waiting final : PasswordGate::Ticket {
  std::shared_ptr<Attempt> attempt;
  PasswordGate::Done done;
  std::unique_ptr<Timer> timer;  // of a limited attempt
  ~Waiting() override { attempt->given_up = true; }
};

}  // namespace

class PasswordGate::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Loop& loop, PasswordSettings settings, handshake::Random& random)
      : loop_(loop),
        settings_(std::move(settings)),
        limiter_(settings_.limits, key(random)),
        threads_(thread_count(settings_.threads)),
        workers_(settings_.workers ? settings_.workers(threads_) : std::make_unique<PoliteThreads>(threads_)) {}

  void stop() {
    stopped_ = true;
    workers_.reset();
  }

  Result<PasswordFile> load(const std::string& path) {
    const auto before = loop_.now();
    auto file = PasswordFile::load(path, settings_.policy);
    // Another cost may have come with the file.
    if (file) usual_ = hash_time_ = loop_.now() - before;
    return file;
  }

  void use(PasswordFile file) {
    file_ = std::make_shared<const PasswordFile>(std::move(file));
    limiter_.forget_unless([this](const std::string& user, const std::string& stamp) { return stands(user, stamp); });
  }

  bool stands(const std::string& user, const std::string& stamp) const { return file_ && file_->stamp(user) == stamp; }

  std::size_t users() const { return file_ ? file_->users().size() : 0; }
  void add_users(std::set<std::string>& names) const {
    if (!file_) return;
    for (std::string& user : file_->users())
      names.insert(std::move(user));
  }
  std::size_t waiting() const { return waiting_; }
  std::vector<std::string> locked() const { return limiter_.locked(); }
  bool unlock(const std::string& user) { return limiter_.unlock(user); }

  std::shared_ptr<Ticket> check(std::string user, SecretBytes password, const IpAddress& from, Done done) {
    if (!file_ || waiting_ >= settings_.waiting || backlog() > settings_.longest_wait) return nullptr;
    auto ticket = std::make_shared<Waiting>();
    ticket->attempt = std::make_shared<Attempt>();
    ticket->done = std::move(done);
    Attempt& attempt = *ticket->attempt;
    attempt.begun = loop_.now();
    attempt.file = file_;
    attempt.from = from;
    std::string stamp = file_->stamp(user).value_or("");
    attempt.guess = {std::move(user), std::move(stamp), limiter_.tag_of(password)};
    using Taken = passwords::AttemptLimiter::Verdict;
    if (const Taken taken = limiter_.take(attempt.guess, from, attempt.begun); taken != Taken::allowed) {
      password.clear();
      answer_later(ticket, taken == Taken::locked ? Verdict::locked : Verdict::limited);
      return ticket;
    }
    attempt.password = std::move(password);
    ++waiting_;
    workers_->run([weak = weak_from_this(), self = this, attempt = ticket->attempt,
                   asker = std::weak_ptr<Waiting>(ticket)] { self->hash(weak, attempt, asker); });
    return ticket;
  }

  std::shared_ptr<Ticket> refuse(Done done) {
    auto ticket = std::make_shared<Waiting>();
    ticket->attempt = std::make_shared<Attempt>();
    ticket->done = std::move(done);
    answer_later(ticket, Verdict::wrong);
    return ticket;
  }

 private:
  // How long an attempt that comes now would wait and take.
  SteadyTime::duration backlog() const {
    return hash_time_ * static_cast<int>(waiting_ + 1) / static_cast<int>(threads_);
  }

  static Secret<16> key(handshake::Random& random) {
    Secret<16> out;
    random.fill(out.span());
    return out;
  }

  // Among the workers. `asker` is only handed on: letting go of the last reference here would destroy what is the
  // loop's.
  void hash(const std::weak_ptr<Impl>& weak, const std::shared_ptr<Attempt>& attempt,
            const std::weak_ptr<Waiting>& asker) {
    Verdict verdict = Verdict::failed;
    const auto begun = loop_.now();
    if (!attempt->given_up) {
      const auto right = attempt->file->verify(attempt->guess.user, attempt->password);
      if (right) verdict = *right ? Verdict::right : Verdict::wrong;
    }
    attempt->password.clear();
    loop_.post([weak, attempt, asker, verdict, took = loop_.now() - begun] {
      if (const auto self = weak.lock()) self->hashed(*attempt, asker, verdict, took);
    });
  }

  void hashed(const Attempt& attempt, const std::weak_ptr<Waiting>& asker, Verdict verdict, SteadyTime::duration took) {
    --waiting_;
    if (stopped_) return;
    if (verdict == Verdict::right) limiter_.right(attempt.guess, attempt.from);
    if (verdict == Verdict::wrong) tell(limiter_.wrong(attempt.guess, attempt.from), attempt);
    if (verdict == Verdict::failed)
      limiter_.unchecked(attempt.guess, attempt.from);
    else
      hash_time_ = (hash_time_ * 7 + took) / 8;
    const auto ticket = asker.lock();
    if (!ticket) return;
    usual_ = (usual_ * 7 + (loop_.now() - attempt.begun)) / 8;
    Answer answer{verdict, {}};
    if (verdict == Verdict::right) answer.stamp = attempt.guess.stamp;
    ticket->done(answer);
  }

  static void tell(passwords::AttemptLimiter::Told told, const Attempt& attempt) {
    using Told = passwords::AttemptLimiter::Told;
    const std::string address = attempt.from.text();
    if (told == Told::alarm)
      audit_warning(Event("password_guessing", {{"user", attempt.guess.user}, {"address", Word{address}}}));
    if (told == Told::locked)
      audit_error(Event("password_locked", {{"user", attempt.guess.user},
                                            {"address", Word{address}},
                                            {"why", "too many wrong passwords in a row; sealcast unlock USER"}}));
  }

  // As late as an attempt that was hashed, also while a queue stands.
  void answer_later(const std::shared_ptr<Waiting>& ticket, Verdict verdict) {
    ticket->timer = loop_.timer();
    ticket->timer->set(loop_.now() + (waiting_ == 0 ? usual_ : std::max(usual_, backlog())),
                       [asker = std::weak_ptr<Waiting>(ticket), verdict] {
                         if (const auto waiting = asker.lock()) waiting->done({verdict, {}});
                       });
  }

  Loop& loop_;
  const PasswordSettings settings_;
  passwords::AttemptLimiter limiter_;
  std::shared_ptr<const PasswordFile> file_;
  const unsigned threads_;
  SteadyTime::duration hash_time_{};  // of one hash lately
  SteadyTime::duration usual_{};      // how long an attempt takes lately, from its arrival to its answer
  std::size_t waiting_ = 0;
  bool stopped_ = false;
  std::unique_ptr<HashWorkers> workers_;  // empty once it is stopped
};

PasswordGate::PasswordGate(Loop& loop, PasswordSettings settings, handshake::Random& random)
    : impl_(std::make_shared<Impl>(loop, std::move(settings), random)) {}

PasswordGate::~PasswordGate() {
  impl_->stop();
}

Result<PasswordFile> PasswordGate::load(const std::string& path) const {
  return impl_->load(path);
}

void PasswordGate::use(PasswordFile file) {
  impl_->use(std::move(file));
}

bool PasswordGate::stands(const std::string& user, const std::string& stamp) const {
  return impl_->stands(user, stamp);
}

std::size_t PasswordGate::users() const {
  return impl_->users();
}

void PasswordGate::add_users(std::set<std::string>& names) const {
  impl_->add_users(names);
}

std::size_t PasswordGate::waiting() const {
  return impl_->waiting();
}

std::vector<std::string> PasswordGate::locked() const {
  return impl_->locked();
}

bool PasswordGate::unlock(const std::string& user) {
  return impl_->unlock(user);
}

std::shared_ptr<PasswordGate::Ticket> PasswordGate::refuse(Done done) {
  return impl_->refuse(std::move(done));
}

std::shared_ptr<PasswordGate::Ticket> PasswordGate::check(std::string user, SecretBytes password, const IpAddress& from,
                                                          Done done) {
  return impl_->check(std::move(user), std::move(password), from, std::move(done));
}

}  // namespace sealcast::keyserver
