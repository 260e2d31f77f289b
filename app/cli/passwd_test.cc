// `sealcast passwd` as its users run it: at a terminal, behind a pipe, with wrong arguments (H7, docs/key-server.md).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "app/cli/testing/tool_fixture.h"
#include "app/exit_code.h"
#include "base/testing/places.h"
#include "controlplane/passwords/password_file.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// The least cost that is allowed: these tests are not about Argon2id's strength.
constexpr const char* cheap = " --cost m=19456,t=2 ";

class Passwd : public ToolTest {
 protected:
  Ran run(const std::string& arguments, const std::string& input = "") {
    return run_tool("passwd " + arguments, input);
  }
  struct Typed {
    std::string prompt, line;
  };
  // Sleeping, as a process that waits in read().
  static bool sleeps(pid_t process) {
    std::ifstream in("/proc/" + std::to_string(process) + "/stat");
    std::string stat;
    std::getline(in, stat);
    const std::size_t name_end = stat.rfind(')');
    return name_end != std::string::npos && stat.compare(name_end, 4, ") S ") == 0;
  }
  // True once three things hold. The prompt is the last text shown. The program has switched the echo off, which throws
  // away earlier input. The program is reading: a control-C before that would be noted, but the read would wait all the
  // same.
  static bool waits_for(const std::string& shown, const std::string& prompt, int terminal, pid_t child) {
    termios settings{};
    return shown.size() >= prompt.size() && shown.compare(shown.size() - prompt.size(), prompt.size(), prompt) == 0 &&
           ::tcgetattr(terminal, &settings) == 0 && (settings.c_lflag & ECHO) == 0 && sleeps(child);
  }
  // Runs it at a terminal of its own: gives each answer once its prompt is there, as a person would, and returns all
  // that the terminal showed.
  Ran run_at_terminal(const std::string& arguments, const std::vector<Typed>& typed) {
    int terminal = -1;
    const std::string command = "cd " + folder_ + " && exec " + places::program("sealcast") + " passwd " + arguments;
    const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    if (child == 0) {
      ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      ::_exit(127);
    }
    Ran ran;
    std::size_t answered = 0;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    for (;;) {
      pollfd readable{terminal, POLLIN, 0};
      // No event reports a changed setting: while an answer is due, look again soon.
      if (::poll(&readable, 1, answered < typed.size() ? 5 : 1000) > 0) {
        char part[512];
        const ssize_t n = ::read(terminal, part, sizeof part);
        if (n <= 0) break;  // the child closed the terminal
        ran.out.append(part, static_cast<std::size_t>(n));
      } else if (answered < typed.size() && waits_for(ran.out, typed[answered].prompt, terminal, child)) {
        const std::string& line = typed[answered++].line;
        EXPECT_EQ(::write(terminal, line.data(), line.size()), static_cast<ssize_t>(line.size()));
      } else if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "still running after a minute; it showed: " << ran.out;
        ::kill(child, SIGKILL);
        break;
      }
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    ::close(terminal);
    EXPECT_EQ(answered, typed.size()) << "prompts that never came; it showed: " << ran.out;
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return ran;
  }
  bool is_password(const std::string& user, const std::string& text) {
    const auto file = passwords::PasswordFile::load(folder_ + "/users");
    EXPECT_TRUE(file.has_value()) << file.error().message;
    SecretBytes password(text.size());
    std::memcpy(password.data(), text.data(), text.size());
    return file && file->verify(user, password).value();
  }
};

TEST_F(Passwd, H7_SetsListsReplacesAndRemoves) {
  const Ran first = run(cheap + std::string("users anna"), "correct horse\nnever read\n");
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out + first.err, "") << "silent success";
  struct stat status {};
  ASSERT_EQ(::stat((folder_ + "/users").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_THAT(content(folder_ + "/users"),
              AllOf(HasSubstr("anna:$argon2id$v=19$m=19456,t=2,p=1$"), Not(HasSubstr("horse"))));
  EXPECT_TRUE(is_password("anna", "correct horse"));
  EXPECT_EQ(run("users bert", "battery staple").code, 0) << "the file's own cost is kept";
  EXPECT_EQ(run("users --list").out, "anna\nbert\n");
  EXPECT_EQ(run("users anna", "staple battery\n").code, 0);
  EXPECT_TRUE(is_password("anna", "staple battery"));
  EXPECT_FALSE(is_password("anna", "correct horse"));
  EXPECT_EQ(run("users anna --remove").code, 0);
  EXPECT_EQ(run("users --list").out, "bert\n");
  const Ran again = run("users anna --remove");
  EXPECT_EQ(again.code, ExitCode::failed);
  EXPECT_EQ(again.err, "sealcast passwd: users has no user \"anna\"\n");
}

TEST_F(Passwd, H7_ATerminalShowsNoPasswordAndAsksTwice) {
  const std::string first = "New password of anna: ", again = "Once more: ";
  const Ran set =
      run_at_terminal(cheap + std::string("users anna"), {{first, "correct horse\n"}, {again, "correct horse\n"}});
  EXPECT_EQ(set.code, 0) << set.out;
  EXPECT_THAT(set.out, AllOf(HasSubstr(first), HasSubstr(again), Not(HasSubstr("horse"))));
  EXPECT_TRUE(is_password("anna", "correct horse"));
  const Ran differ = run_at_terminal("users anna", {{first, "staple\n"}, {again, "stable\n"}});
  EXPECT_EQ(differ.code, ExitCode::failed);
  EXPECT_THAT(differ.out, AllOf(HasSubstr("the two differ; nothing was changed"), Not(HasSubstr("sta"))));
  const Ran nothing = run_at_terminal("users anna", {{first, "\n"}});
  EXPECT_EQ(nothing.code, ExitCode::failed);
  EXPECT_THAT(nothing.out, HasSubstr("expected a password, got nothing"));
  const Ran interrupted = run_at_terminal("users anna", {{first, "half\x03"}});
  EXPECT_NE(interrupted.code, 0) << "control-C ends it";
  EXPECT_TRUE(is_password("anna", "correct horse")) << "none of these changed it";
}

TEST_F(Passwd, H7_WhatIsWrongIsOneLineAndChangesNothing) {
  ASSERT_EQ(run(cheap + std::string("users anna"), "correct horse\n").code, 0);
  const std::string before = content(folder_ + "/users");
  struct Wrong {
    std::string arguments, input, says;
  };
  for (const Wrong& wrong :
       {Wrong{"users 'an na'", "correct horse\n", "user \"an na\": expected 1 to 64 characters A-Z a-z 0-9 . _ - @"},
        Wrong{"users bert", "", "expected a password, got nothing"},
        Wrong{"users bert", "\n", "expected a password, got nothing"},
        Wrong{"users bert", std::string(129, 'p'), "expected a password of at most 128 bytes"},
        Wrong{"users bert --cost m=65536,t=3", "correct horse\n",
              "expected m=19456,t=2,p=1, the cost of the hashes in users"},
        Wrong{"other bert --cost m=8,t=1", "correct horse\n",
              "--cost: expected m=19456,t=2,p=1 to m=1048576,t=16,p=1, got m=8"},
        Wrong{"other bert --cost much", "correct horse\n", "--cost: expected m=KIB,t=PASSES"},
        Wrong{"none --list", "", "none: cannot open the password file: No such file"},
        Wrong{"none anna --remove", "", "none: there is no such file"},
        Wrong{"nowhere/users anna", "correct horse\n",
              "nowhere: cannot open the password file's folder: No such file"}}) {
    const Ran ran = run(wrong.arguments, wrong.input);
    EXPECT_EQ(ran.code, ExitCode::failed) << wrong.arguments;
    EXPECT_THAT(ran.err, HasSubstr(wrong.says)) << wrong.arguments;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
  for (const char* usage : {"", "users", "users anna --list", "--list", "users --list --remove", "users anna secret",
                            "users anna --password secret", "users anna --remove --cost m=1,t=1"}) {
    EXPECT_EQ(run(usage, "correct horse\n").code, ExitCode::usage) << usage;
  }
  ASSERT_EQ(::chmod((folder_ + "/users").c_str(), 0644), 0);
  EXPECT_THAT(run("users bert", "correct horse\n").err, HasSubstr("expected mode 0600: chmod 600"));
  EXPECT_EQ(content(folder_ + "/users"), before);
}

TEST_F(Passwd, H7_AWeakPasswordIsRefusedWithItsReasonUnlessItIsMeant) {
  ASSERT_EQ(run(cheap + std::string("users anna"), "correct horse\n").code, 0);
  const std::string before = content(folder_ + "/users");
  for (const auto& [password, says] :
       {std::pair{"x", "at least 10 bytes, got 1"}, std::pair{"123456789", "at least 10 bytes, got 9"},
        std::pair{"ababababab", "at least 5 different characters, got 2"},
        std::pair{"1234567890", "no run of characters"}, std::pair{"aaabbbcccdddeee", "no run of characters"},
        std::pair{"my name is ANNA", "without the user's name"}}) {
    const Ran ran = run("users anna", password);
    EXPECT_EQ(ran.code, ExitCode::failed) << password;
    EXPECT_THAT(ran.err, AllOf(HasSubstr(says), HasSubstr("nothing was changed (--weak"))) << password;
  }
  EXPECT_EQ(content(folder_ + "/users"), before);
  EXPECT_EQ(run("users anna --weak", "4711").code, 0) << "a PIN, as wished";
  EXPECT_TRUE(is_password("anna", "4711"));
  EXPECT_EQ(run("users anna --remove --weak").code, ExitCode::usage);
}

}  // namespace
}  // namespace sealcast::cli
