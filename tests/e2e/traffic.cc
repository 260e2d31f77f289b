// sealcast-traffic: an ordinary multicast sender and receiver for the end-to-end tests and the demo. It uses plain UDP
// sockets and knows nothing of Sealcast. Every datagram carries a sequence number, the time it was sent, and bytes
// derived from both, so that the receiver can report lost, doubled, reordered and changed ones. The result is one line
// of JSON on standard output.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace {

constexpr std::size_t max_datagram = 65507;              // IPv4 UDP payload
constexpr std::uint64_t max_sequence = 1'000'000'000;    // bounds the receiver's memory: one bit a number
constexpr std::uint64_t nanoseconds = 1'000'000'000ULL;  // in a second

struct Header {  // host order: both ends are this program on this machine
  std::uint32_t magic = 0x5ea1ca57;
  std::uint32_t size = 0;  // of the whole datagram
  std::uint64_t sequence = 0;
  std::uint64_t sent_ns = 0;  // CLOCK_MONOTONIC, which all namespaces of a machine share
};

struct Options {
  std::string group = "239.1.1.1";
  std::string local;  // address of the interface to use
  std::uint16_t port = 5005;
  std::uint32_t size = 1316;
  std::uint32_t rate = 10'000;
  double seconds = 5;
  std::uint64_t at_once = 0;
  std::uint64_t first = 0;
  std::uint32_t quiet_ms = 0;
  std::string record;  // file for one entry a datagram; empty: none
};

// Each end's record of a datagram, in host order: when it was sent, and when it came (0: at the sender).
struct Entry {
  std::uint64_t sequence = 0;
  std::uint64_t sent_ns = 0;
  std::uint64_t arrived_ns = 0;
};

// Writes entries of whole datagrams to the file after every burst, so that others can read them meanwhile.
class Record {
 public:
  Record() = default;
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  ~Record() {
    if (file_ != nullptr) std::fclose(file_);
  }
  bool open(const std::string& path) {
    if (!path.empty()) file_ = std::fopen(path.c_str(), "wbe");
    return path.empty() || file_ != nullptr;
  }
  void take(const Entry& entry) {
    if (file_ != nullptr) std::fwrite(&entry, sizeof entry, 1, file_);
  }
  void flush() {
    if (file_ != nullptr) std::fflush(file_);
  }

 private:
  std::FILE* file_ = nullptr;
};

std::uint64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * nanoseconds + static_cast<std::uint64_t>(t.tv_nsec);
}

void sleep_until(std::uint64_t moment_ns) {
  const timespec t{.tv_sec = static_cast<time_t>(moment_ns / nanoseconds),
                   .tv_nsec = static_cast<long>(moment_ns % nanoseconds)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
  }
}

// The bytes after the header: different in every datagram, cheap to make and to check (xorshift64*).
void fill(std::uint64_t sequence, std::uint8_t* out, std::size_t size) {
  std::uint64_t state = (sequence + 1) * 0x9e3779b97f4a7c15ULL;
  for (std::size_t at = 0; at < size; at += sizeof state) {
    state ^= state >> 12U;
    state ^= state << 25U;
    state ^= state >> 27U;
    const std::uint64_t word = state * 0x2545f4914f6cdd1dULL;
    std::memcpy(out + at, &word, std::min(sizeof word, size - at));
  }
}

int fail(const char* what) {
  std::fprintf(stderr, "sealcast-traffic: %s: %s\n", what, std::strerror(errno));
  return 1;
}

bool make_addresses(const Options& options, sockaddr_in& group, in_addr& local) {
  group = {};
  group.sin_family = AF_INET;
  group.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.group.c_str(), &group.sin_addr) != 1 ||
      inet_pton(AF_INET, options.local.c_str(), &local) != 1) {
    std::fprintf(stderr, "sealcast-traffic: expected IPv4 addresses, got group '%s', local '%s'\n",
                 options.group.c_str(), options.local.c_str());
    return false;
  }
  return true;
}

// sockaddr_in as the socket calls take it.
const sockaddr* generic(const sockaddr_in& address) {
  const void* raw = &address;
  return static_cast<const sockaddr*>(raw);
}

int send_stream(const Options& options, int stop_fd) {
  sockaddr_in group{};
  in_addr local{};
  if (!make_addresses(options, group, local)) return 2;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail("socket");
  const unsigned char ttl = 1, loop = 0;
  if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &local, sizeof local) != 0 ||
      setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl) != 0 ||
      setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof loop) != 0)
    return fail("multicast options");

  std::vector<std::uint8_t> datagram(std::clamp<std::size_t>(options.size, sizeof(Header), max_datagram));
  Record record;
  if (!record.open(options.record)) return fail(options.record.c_str());
  const auto total = static_cast<std::uint64_t>(options.seconds * options.rate);
  std::uint64_t start = now_ns();
  std::uint64_t sent = 0, errors = 0;
  pollfd stop{.fd = stop_fd, .events = POLLIN, .revents = 0};
  while (sent < total && poll(&stop, 1, 0) == 0) {
    // All datagrams due by now go out at once: at high rates one sleep covers several.
    std::uint64_t due = std::min(total, (now_ns() - start) * options.rate / nanoseconds + 1);
    if (options.at_once != 0 && due - sent > options.at_once) {  // the machine delayed us: skip the rest of what is due
      start += (due - sent - options.at_once) * nanoseconds / options.rate;
      due = sent + options.at_once;
    }
    for (; sent < due; ++sent) {
      Header header;
      header.size = static_cast<std::uint32_t>(datagram.size());
      header.sequence = options.first + sent;
      header.sent_ns = now_ns();
      std::memcpy(datagram.data(), &header, sizeof header);
      fill(header.sequence, datagram.data() + sizeof header, datagram.size() - sizeof header);
      if (sendto(fd, datagram.data(), datagram.size(), 0, generic(group), sizeof group) < 0) ++errors;
      record.take({.sequence = header.sequence, .sent_ns = header.sent_ns});
    }
    record.flush();
    sleep_until(start + sent * nanoseconds / options.rate);
  }
  const double elapsed = static_cast<double>(now_ns() - start) / static_cast<double>(nanoseconds);
  std::printf("{\"sent\": %llu, \"errors\": %llu, \"first\": %llu, \"seconds\": %.3f}\n",
              static_cast<unsigned long long>(sent), static_cast<unsigned long long>(errors),
              static_cast<unsigned long long>(options.first), elapsed);
  close(fd);
  return errors == 0 ? 0 : 1;
}

// The receiver's counts of the stream so far.
class Tally {
 public:
  // Every sound datagram, doubled ones too, goes to `record`.
  void take(const std::vector<std::uint8_t>& datagram, std::size_t size, std::uint64_t arrived, Record& record) {
    Header header;
    if (size < sizeof header) {
      ++corrupt_;
      return;
    }
    std::memcpy(&header, datagram.data(), sizeof header);
    expected_.resize(size - sizeof header);
    fill(header.sequence, expected_.data(), expected_.size());
    if (header.magic != Header{}.magic || header.size != size || header.sequence >= max_sequence ||
        !std::equal(expected_.begin(), expected_.end(), datagram.data() + sizeof header)) {
      ++corrupt_;
      return;
    }
    record.take({.sequence = header.sequence, .sent_ns = header.sent_ns, .arrived_ns = arrived});
    if (header.sequence >= seen_.size()) seen_.resize(header.sequence + 1);
    if (seen_[header.sequence]) {
      ++duplicates_;
      return;
    }
    seen_[header.sequence] = true;
    if (received_ == 0) {
      first_ = last_ = header.sequence;
      first_ns_ = last_ns_ = arrived;
    }
    ++received_;
    if (header.sequence < last_) ++reordered_;
    if (arrived - last_ns_ > longest_gap_ns_) {
      longest_gap_ns_ = arrived - last_ns_;
    }
    first_ = std::min(first_, header.sequence);
    last_ = std::max(last_, header.sequence);
    last_ns_ = arrived;
    longest_delay_ns_ = std::max(longest_delay_ns_, arrived - std::min(arrived, header.sent_ns));
  }

  void print(std::uint64_t socket_drops) const {
    using Long = unsigned long long;
    const std::uint64_t missing = received_ == 0 ? 0 : last_ - first_ + 1 - received_;
    std::printf(
        "{\"received\": %llu, \"first\": %llu, \"last\": %llu, \"missing\": %llu, \"duplicates\": %llu, "
        "\"reordered\": %llu, \"corrupt\": %llu, \"socket_drops\": %llu, \"first_ns\": %llu, \"last_ns\": %llu, "
        "\"longest_gap_ms\": %.3f, \"longest_delay_ms\": %.3f}\n",
        static_cast<Long>(received_), static_cast<Long>(first_), static_cast<Long>(last_), static_cast<Long>(missing),
        static_cast<Long>(duplicates_), static_cast<Long>(reordered_), static_cast<Long>(corrupt_),
        static_cast<Long>(socket_drops), static_cast<Long>(first_ns_), static_cast<Long>(last_ns_),
        static_cast<double>(longest_gap_ns_) / 1e6, static_cast<double>(longest_delay_ns_) / 1e6);
  }

  std::uint64_t received() const { return received_; }

 private:
  std::vector<bool> seen_;
  std::vector<std::uint8_t> expected_;
  std::uint64_t received_ = 0, first_ = 0, last_ = 0, duplicates_ = 0, reordered_ = 0, corrupt_ = 0;
  std::uint64_t first_ns_ = 0, last_ns_ = 0, longest_gap_ns_ = 0, longest_delay_ns_ = 0;
};

int receive_stream(const Options& options, int stop_fd) {
  sockaddr_in group{};
  in_addr local{};
  if (!make_addresses(options, group, local)) return 2;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail("socket");
  const int on = 1, buffer = 32 << 20;
  const ip_mreq join{.imr_multiaddr = group.sin_addr, .imr_interface = local};
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on) != 0 ||
      (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0 &&
       setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0) ||
      bind(fd, generic(group), sizeof group) != 0)
    return fail("socket options or bind");
  if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) != 0) return fail("joining the group");
  Record record;
  if (!record.open(options.record)) return fail(options.record.c_str());
  std::fprintf(stderr, "receiving\n");

  Tally tally;
  std::vector<std::uint8_t> datagram(max_datagram);
  std::uint32_t socket_drops = 0;
  std::uint64_t last_arrival = now_ns();
  std::array<pollfd, 2> waiting{pollfd{.fd = fd, .events = POLLIN, .revents = 0},
                                pollfd{.fd = stop_fd, .events = POLLIN, .revents = 0}};
  for (;;) {
    poll(waiting.data(), waiting.size(), 50);
    for (;;) {
      alignas(cmsghdr) std::array<std::uint8_t, 64> control{};
      iovec part{.iov_base = datagram.data(), .iov_len = datagram.size()};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t size = recvmsg(fd, &message, 0);
      if (size < 0) break;
      last_arrival = now_ns();
      const cmsghdr* drops = CMSG_FIRSTHDR(&message);
      if (drops != nullptr && drops->cmsg_level == SOL_SOCKET && drops->cmsg_type == SO_RXQ_OVFL)
        std::memcpy(&socket_drops, CMSG_DATA(drops), sizeof socket_drops);
      tally.take(datagram, static_cast<std::size_t>(size), last_arrival, record);
    }
    record.flush();
    if (waiting[1].revents != 0) break;
    if (options.quiet_ms != 0 && tally.received() != 0 && now_ns() - last_arrival > options.quiet_ms * 1'000'000ULL)
      break;
  }
  tally.print(socket_drops);
  close(fd);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // SIGTERM and SIGINT end either side cleanly: it prints its result first.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int stop_fd = signalfd(-1, &signals, SFD_CLOEXEC);
  if (stop_fd < 0) return fail("signalfd");

  Options options;
  CLI::App app{"An ordinary multicast sender and receiver that count"};
  app.require_subcommand(1);
  app.add_option("--group", options.group, "IPv4 multicast group")->capture_default_str();
  app.add_option("--local", options.local, "address of the interface to use")->required();
  app.add_option("--port", options.port, "UDP port")->capture_default_str();
  CLI::App* send = app.add_subcommand("send", "send a numbered stream");
  send->add_option("--size", options.size, "UDP payload bytes")->capture_default_str()->check(CLI::Range(24, 65507));
  send->add_option("--rate", options.rate, "datagrams per second")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  send->add_option("--seconds", options.seconds, "how long")->capture_default_str();
  send->add_option("--at-once", options.at_once,
                   "most datagrams sent together to catch up after a stall; the stream ends later then. 0: any number");
  send->add_option("--first", options.first, "first sequence number")->capture_default_str();
  CLI::App* receive = app.add_subcommand("receive", "receive it, until SIGTERM or silence");
  receive->add_option("--quiet-ms", options.quiet_ms, "end after so much silence once something came; 0: never");
  for (CLI::App* end : {send, receive})
    end->add_option("--record", options.record, "file: number and times of every datagram, as 64-bit numbers");
  CLI11_PARSE(app, argc, argv);
  return send->parsed() ? send_stream(options, stop_fd) : receive_stream(options, stop_fd);
}
