#include "dataplane/dpdk/eal.h"

#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "dataplane/dpdk/log_limit.h"

namespace sealcast::dataplane {
namespace {

// Never destroyed: DPDK's own threads log until the process is gone.
struct State {
  std::mutex start_mutex;
  bool started = false;
  EalOptions options;

  std::mutex log_mutex;
  LogSink sink;
  std::string partial;               // a line without its end so far
  std::deque<std::string> warnings;  // newest last, bounded
  LogLimit limit;
};

State& state() {
  static State* const instance = new State;
  return *instance;
}

constexpr std::size_t kept_warnings = 8;
constexpr std::size_t longest_line = 512;

// Lines that DPDK logs at every start or reconnection and that need no action.
bool is_routine(const std::string& line) {
  for (const char* text : {"no mounted hugetlbfs found",                 // --in-memory needs none
                           "hugepages reported on node",                 // a page size this machine does not use
                           "No valid MAC in devargs or device",          // a random one will do
                           "waiting for client connection",              // our own stand-in will connect
                           "register mp action callback",                // only another process of ours would need it
                           "Failed to remove socket file",               // its name is removed as soon as it is bound
                           "Expected valid Vhost FD",                    // one hang-up, noticed more than once
                           "mismatches;", "some packets maybe resent"})  // normal when a ring is taken over after kill
    if (line.find(text) != std::string::npos) return true;
  return false;
}

void take_line(LogLevel level, std::string line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r' || line.back() == ' '))
    line.pop_back();
  if (line.empty()) return;
  std::replace(line.begin(), line.end(), '\n', ' ');
  if (is_routine(line)) level = LogLevel::debug;
  State& s = state();
  LogSink sink;
  std::uint64_t held_back = 0;
  {
    const std::lock_guard lock(s.log_mutex);
    if (level >= LogLevel::warning) {
      s.warnings.push_back(line);
      if (s.warnings.size() > kept_warnings) s.warnings.pop_front();
    }
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    if (level >= LogLevel::info &&
        !s.limit.pass(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count())))
      return;
    held_back = s.limit.take_held_back();
    sink = s.sink;
  }
  if (!sink) return;
  if (held_back != 0) sink(LogLevel::warning, "dpdk: " + std::to_string(held_back) + " lines were held back");
  sink(level, "dpdk: " + line);
}

// rte_log flushes after each message, so that one call is one message and its level is still at hand.
ssize_t write_log(void*, const char* text, std::size_t size) {
  const int rte_level = rte_log_cur_msg_loglevel();
  LogLevel level = LogLevel::debug;
  if (rte_level >= 0 && rte_level <= static_cast<int>(RTE_LOG_ERR))
    level = LogLevel::error;
  else if (rte_level == static_cast<int>(RTE_LOG_WARNING))
    level = LogLevel::warning;
  else if (rte_level == static_cast<int>(RTE_LOG_NOTICE))
    level = LogLevel::info;
  std::string line;
  {
    State& s = state();
    const std::lock_guard lock(s.log_mutex);
    s.partial.append(text, size);
    if (!s.partial.empty() && s.partial.back() != '\n' && s.partial.size() < longest_line)
      return static_cast<ssize_t>(size);
    line.swap(s.partial);
  }
  take_line(level, std::move(line));
  return static_cast<ssize_t>(size);
}

Result<void> redirect_log() {
  cookie_io_functions_t functions{};
  functions.write = write_log;
  std::FILE* const stream = fopencookie(nullptr, "w", functions);
  if (stream == nullptr) return fail("DPDK: out of memory for its log");
  rte_openlog_stream(stream);
  return {};
}

// "0@(0,1,5)": one logical core that may run on every CPU this process may run on.
std::string floating_lcore() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::string cpus;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &allowed)) cpus += (cpus.empty() ? "" : ",") + std::to_string(cpu);
  return "0@(" + (cpus.empty() ? "0" : cpus) + ")";
}

std::uint64_t read_number(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::uint64_t n = 0;
  in >> n;
  return in ? n : 0;
}

// Sum over page sizes of count(file) * size, bytes.
std::uint64_t hugepage_bytes(const char* counter) {
  std::uint64_t bytes = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", ignored)) {
    const std::string name = entry.path().filename().string();  // hugepages-2048kB
    const std::size_t dash = name.find('-');
    if (dash == std::string::npos) continue;
    const std::uint64_t kib = std::strtoull(name.c_str() + dash + 1, nullptr, 10);
    bytes += read_number(entry.path() / counter) * kib * 1024;
  }
  return bytes;
}

Result<void> check_hugepages(std::uint32_t memory_mb) {
  const std::uint64_t needed = std::uint64_t{memory_mb} << 20;
  const std::uint64_t free = free_hugepage_bytes();
  if (free >= needed) return {};
  const std::uint64_t page = 2U << 20;
  const std::uint64_t now = read_number("/proc/sys/vm/nr_hugepages");
  return fail(
      "hugepages: " + std::to_string(memory_mb) + " MiB are needed, " + std::to_string(free >> 20) +
      " MiB are free; reserve them: sysctl vm.nr_hugepages=" + std::to_string(now + (needed - free + page - 1) / page));
}

}  // namespace

std::uint64_t free_hugepage_bytes() {
  return hugepage_bytes("free_hugepages");
}

Result<void> Eal::start(const EalOptions& options) {
  State& s = state();
  const std::lock_guard lock(s.start_mutex);
  if (options.memory_mb < memory_limits.least)
    return fail("memory_mb: expected at least " + std::to_string(memory_limits.least) + ", got " +
                std::to_string(options.memory_mb));
  if (s.started) {
    if (options.memory_mb > s.options.memory_mb)
      return fail("DPDK runs already with " + std::to_string(s.options.memory_mb) +
                  " MiB and cannot be restarted with " + std::to_string(options.memory_mb) +
                  " MiB; restart the process");
    for (const std::string& device : options.pci_devices)
      if (std::find(s.options.pci_devices.begin(), s.options.pci_devices.end(), device) == s.options.pci_devices.end())
        return fail("DPDK runs already without PCI device " + device + "; restart the process");
    const std::lock_guard log_lock(s.log_mutex);
    s.sink = options.log;
    return {};
  }
  SEALCAST_TRY(check_hugepages(options.memory_mb));
  {
    const std::lock_guard log_lock(s.log_mutex);
    s.sink = options.log;
    s.warnings.clear();
  }
  SEALCAST_TRY(redirect_log());

  // No telemetry unless asked for: its socket is a file that a killed process leaves behind, and two processes must not
  // share its name. --in-memory: no files, so that a killed process leaves nothing behind and processes do not clash.
  // --single-file-segments: a virtio-user port hands all memory to its peer as file descriptors, eight at most.
  std::vector<std::string> words{
      "sealcast",       "--in-memory", "--single-file-segments",          "--no-shconf",       "--lcores",
      floating_lcore(), "-m",          std::to_string(options.memory_mb), "--log-level=notice"};
  words.push_back(options.telemetry.empty() ? "--no-telemetry" : "--file-prefix=" + options.telemetry);
  if (options.pci_devices.empty()) {
    words.insert(words.end(), {"--no-pci", "--iova-mode=va"});
  } else {
    for (const std::string& device : options.pci_devices)
      words.insert(words.end(), {"-a", device});
  }
  std::vector<char*> arguments;
  for (std::string& word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);

  // The vhost and virtio drivers write to sockets after the peer may have died.
  std::signal(SIGPIPE, SIG_IGN);
  int result = 0;
  int error = 0;
  std::thread([&] {
    pthread_setname_np(pthread_self(), "dpdk-start");
    result = rte_eal_init(static_cast<int>(words.size()), arguments.data());
    error = rte_errno;
  }).join();
  if (result < 0)
    return fail("DPDK did not start (" + std::string(rte_strerror(error)) + "): " + recent_log() +
                (error == EALREADY ? "; an environment that failed to start needs a new process" : ""));
  s.started = true;
  s.options = options;
  return {};
}

bool Eal::started() {
  State& s = state();
  const std::lock_guard lock(s.start_mutex);
  return s.started;
}

void Eal::mark_log() {
  State& s = state();
  const std::lock_guard lock(s.log_mutex);
  s.warnings.clear();
}

std::string Eal::recent_log() {
  State& s = state();
  const std::lock_guard lock(s.log_mutex);
  std::string text;
  for (const std::string& line : s.warnings)
    text += (text.empty() ? "" : " | ") + line;
  return text.empty() ? "DPDK gave no reason" : text;
}

void Eal::log(LogLevel level, std::string_view line) {
  LogSink sink;
  {
    State& s = state();
    const std::lock_guard lock(s.log_mutex);
    sink = s.sink;
  }
  if (sink) sink(level, line);
}

}  // namespace sealcast::dataplane
