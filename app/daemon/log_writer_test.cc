#include "app/daemon/log_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>

namespace sealcast::daemon {
namespace {

using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

std::string lost_line(std::uint64_t count) {
  return "lost " + std::to_string(count) + "\n";
}

// A pipe of one page, whose reader is the test.
class LogWriterTest : public ::testing::Test {
 protected:
  LogWriterTest() {
    std::signal(SIGPIPE, SIG_IGN);  // as the daemons do: a writer may still hold a line when the reader goes
    EXPECT_EQ(pipe(ends_), 0);
    EXPECT_GT(fcntl(ends_[1], F_SETPIPE_SZ, 4096), 0);
  }
  ~LogWriterTest() override {
    close(ends_[0]);
    if (ends_[1] >= 0) close(ends_[1]);
  }
  // What comes until the text does, or nothing comes for two seconds.
  std::string read_until(const std::string& text) {
    std::string all;
    char part[4096];
    pollfd ready{ends_[0], POLLIN, 0};
    while (all.find(text) == std::string::npos && poll(&ready, 1, 2000) > 0) {
      const ssize_t n = read(ends_[0], part, sizeof part);
      if (n <= 0) break;
      all.append(part, static_cast<std::size_t>(n));
    }
    return all;
  }

  int ends_[2] = {-1, -1};
};

TEST_F(LogWriterTest, H29_AStalledReaderKeepsNobodyWaitingAndTheGapIsTold) {
  LogWriter writer(ends_[1], lost_line, 16 * 1024);
  const std::string line = std::string(99, 'x') + "\n";
  const auto before = Clock::now();
  for (int i = 0; i < 10'000; ++i)
    writer.push(line);
  EXPECT_LT(Clock::now() - before, 1s);
  // 16 KiB wait, and a page is in the pipe.
  EXPECT_GT(writer.lost(), 9700u);
  EXPECT_LT(writer.lost(), 9900u);
  writer.push("after\n");  // lost, too, while the reader stalls, or there where the line of 100 bytes found no room
  const std::string all = read_until("lost ");
  EXPECT_THAT(all, HasSubstr(line));
  EXPECT_THAT(all, HasSubstr("lost "));
  writer.push("then\n");
  EXPECT_THAT(read_until("then\n"), EndsWith("then\n"));
}

TEST_F(LogWriterTest, LinesComeWholeAndInOrder) {
  std::string all;
  {
    LogWriter writer(ends_[1], lost_line);
    for (int i = 0; i < 20; ++i)
      writer.push(std::to_string(i) + "\n");
    all = read_until("19\n");
    EXPECT_EQ(writer.lost(), 0u);
  }
  std::string expected;
  for (int i = 0; i < 20; ++i)
    expected += std::to_string(i) + "\n";
  EXPECT_EQ(all, expected);
}

TEST_F(LogWriterTest, H29_AnEndWritesWhatItCanAndWaitsForAStalledReaderNoLonger) {
  const auto before = Clock::now();
  {
    LogWriter writer(ends_[1], lost_line);
    writer.push("goodbye\n");
  }
  EXPECT_LT(Clock::now() - before, 400ms) << "the reader takes it";
  EXPECT_EQ(read_until("goodbye\n"), "goodbye\n");
  const auto stalled = Clock::now();
  {
    LogWriter writer(ends_[1], lost_line);
    writer.push(std::string(100'000, 'y'));
  }
  EXPECT_GE(Clock::now() - stalled, 400ms);
  EXPECT_LT(Clock::now() - stalled, 5s);
}

TEST_F(LogWriterTest, H29_AReaderThatIsGoneKeepsNothingWaiting) {
  close(ends_[0]);
  ends_[0] = -1;
  const auto before = Clock::now();
  {
    LogWriter writer(ends_[1], lost_line);
    for (int i = 0; i < 1000; ++i)
      writer.push("nobody reads this\n");
  }
  EXPECT_LT(Clock::now() - before, 400ms);
}

TEST_F(LogWriterTest, H29_ACrashWritesWhatWasSaidBefore) {
  const pid_t child = fork();
  if (child == 0) {
    write_logs_at_a_crash();
    LogWriter writer(ends_[1], lost_line);
    writer.push("the last words\n");
    std::abort();
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  EXPECT_EQ(read_until("the last words\n"), "the last words\n");
}

}  // namespace
}  // namespace sealcast::daemon
