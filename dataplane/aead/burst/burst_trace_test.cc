// Whether branches or addresses of the kernels depend on secrets. A child runs the same burst twice, at the same
// addresses, with the same lengths, nonces and AADs, but with other keys and other data. Its parent makes it take
// single steps, and compares its place and its general registers after every instruction. Branches and addresses come
// from these registers alone: equal traces mean that no secret went into either. Valgrind, which the project uses for
// this elsewhere, does not know the kernels' instructions.
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "dataplane/aead/burst/burst_testing.h"

namespace sealcast::dataplane::aead {
namespace {

using namespace burst_testing;

constexpr int rounds = 3;
constexpr std::size_t burst_size = 5;

using Registers = std::array<std::uint64_t, 17>;

struct TraceCase {
  const char* engine;
  std::size_t key_bytes, keys;
  bool whole_words;  // lengths are multiples of four, as ESP's are
  std::size_t longest;
};

// Stops the child; the parent sees a trap that is not a single step's. Clears what earlier functions left in registers,
// which would look like a difference.
void mark() {
  asm volatile(
      "xor %%eax, %%eax\n xor %%ecx, %%ecx\n xor %%edx, %%edx\n xor %%esi, %%esi\n xor %%edi, %%edi\n"
      "xor %%r8d, %%r8d\n xor %%r9d, %%r9d\n xor %%r10d, %%r10d\n xor %%r11d, %%r11d\n"
      "xor %%ebx, %%ebx\n xor %%r12d, %%r12d\n xor %%r13d, %%r13d\n xor %%r14d, %%r14d\n xor %%r15d, %%r15d\n int3"
      :
      :
      : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
}

// The child: three rounds of {mark, seal, mark, open, mark}; exits with 0 if all went well. Unused bytes that are
// copied from the stack are the same from the second round on.
[[noreturn]] void child(const TraceCase& c, const Engine& engine) {
  std::mt19937_64 shape(5), secrets(6);
  std::vector<Line> memory(c.keys * engine.context_bytes() / sizeof(Line));
  std::vector<Key> keys(c.keys);
  std::vector<TestPacket> packets;
  for (std::size_t i = 0; i < burst_size; i++) {
    const std::size_t length = shape() % c.longest;
    packets.push_back(random_packet(shape, c.whole_words ? length / 4 * 4 : length, 8, i * c.keys / burst_size));
  }
  std::vector<SealItem> sealing(packets.size());
  std::vector<OpenItem> opening(packets.size());
  bool good = true;
  ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  for (int round = 0; round < rounds; round++) {
    for (std::size_t k = 0; k < c.keys; k++) {
      const std::size_t lines = engine.context_bytes() / sizeof(Line);
      keys[k] =
          engine.expand_key(random_bytes(secrets, c.key_bytes), Direction::seal, memory.data() + k * lines).value();
    }
    for (std::size_t i = 0; i < packets.size(); i++) {
      TestPacket& p = packets[i];
      const Bytes data = random_bytes(secrets, p.data.size());
      std::copy(data.begin(), data.end(), p.data.begin());
      sealing[i] = {&keys[p.key], p.data.data(), p.length(), 8, p.aad.data(), p.tag(), p.nonce, false};
      opening[i] = {&keys[p.key], p.data.data(), p.length(), 8, p.aad.data(), p.tag(), p.nonce, false};
    }
    mark();
    engine.seal(sealing);
    mark();
    engine.open(opening);
    mark();
    for (std::size_t i = 0; i < packets.size(); i++)
      good = good && sealing[i].ok && opening[i].ok;
  }
  _exit(good ? 0 : 1);
}

bool at_mark(pid_t pid) {
  siginfo_t info{};
  return ptrace(PTRACE_GETSIGINFO, pid, nullptr, &info) == 0 && info.si_code == SI_KERNEL;
}

// Steps from one mark to the next. Empty: the child did not reach it.
std::vector<Registers> trace(pid_t pid) {
  std::vector<Registers> out;
  while (out.size() < 1'000'000) {
    int status = 0;
    if (ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) != 0 || waitpid(pid, &status, 0) != pid ||
        !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
      return {};
    if (at_mark(pid)) return out;
    user_regs_struct r{};
    if (ptrace(PTRACE_GETREGS, pid, nullptr, &r) != 0) return {};
    out.push_back({r.rip, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12,
                   r.r13, r.r14, r.r15});
  }
  return {};
}

class BurstTrace : public testing::TestWithParam<TraceCase> {};

TEST_P(BurstTrace, NoBranchOrAddressDependsOnASecret) {
  const TraceCase& c = GetParam();
  const auto engine = create_engine(c.engine);
  if (!engine) GTEST_SKIP() << engine.error().message;
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) child(c, **engine);

  std::vector<std::vector<Registers>> traces;
  int status = 0;
  for (int stop = 0; stop < 3 * rounds;) {
    if (stop != 0) {
      ASSERT_EQ(ptrace(PTRACE_CONT, pid, nullptr, nullptr), 0);
    }
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSTOPPED(status) && at_mark(pid)) << "is tracing of child processes forbidden here?";
    stop++;
    if (stop <= 3) continue;
    traces.push_back(trace(pid));  // seal
    traces.push_back(trace(pid));  // open
    stop += 2;
  }
  ASSERT_EQ(ptrace(PTRACE_CONT, pid, nullptr, nullptr), 0);
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);

  for (std::size_t way = 0; way < 2; way++) {
    const auto& one = traces[way];
    const auto& other = traces[way + 2];
    ASSERT_GT(one.size(), 1000u);
    ASSERT_EQ(one.size(), other.size());
    for (std::size_t i = 0; i < one.size(); i++) {
      ASSERT_EQ(one[i][0], other[i][0]) << "instruction " << i << " is another one";
      // The 256-bit kernel moves one to three bytes behind a packet's last whole chunk through a general register. For
      // packets that may have such bytes, only the instructions' places are compared.
      if (c.whole_words) {
        ASSERT_EQ(one[i], other[i]) << "after instruction " << i;
      }
    }
  }
}

std::vector<TraceCase> trace_cases() {
  std::vector<TraceCase> out;
  for (const char* engine : {"burst-512", "burst-256"}) {
    for (const std::size_t key_bytes : {16u, 32u}) {
      for (const std::size_t keys : {1u, 3u})
        out.push_back({engine, key_bytes, keys, true, 400});
    }
    out.push_back({engine, 16, 1, true, 1100});
    out.push_back({engine, 16, 1, false, 200});
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Kernels, BurstTrace, testing::ValuesIn(trace_cases()), [](const auto& instance) {
  const TraceCase& c = instance.param;
  return std::string(std::string(c.engine) == "burst-512" ? "Vaes512" : "Vaes256") + "_Aes" +
         std::to_string(8 * c.key_bytes) + "_" + std::to_string(c.keys) + "Keys_UpTo" + std::to_string(c.longest) +
         (c.whole_words ? "_Words" : "_Bytes");
});

}  // namespace
}  // namespace sealcast::dataplane::aead
