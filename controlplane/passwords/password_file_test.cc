#include "controlplane/passwords/password_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace sealcast::passwords {
namespace {

// libsodium's least: the tests are about the file, not about Argon2id's strength.
constexpr HashPolicy cheap_policy{{8, 1}, {8, 1}, {64 * 1024, 8}};
// crypto_pwhash_str("correct horse", passes 1, 8 KiB), made once by a separate program: such files must stay readable.
constexpr const char* kept_hash =
    "$argon2id$v=19$m=8,t=1,p=1$6AfCtVd5d9qrNtUzrhuNbA$T9S2awcrtYN7XHdrS5aP6CYet3Fm5hvGWzXwe8M9Fj8";

SecretBytes secret(std::string_view text) {
  SecretBytes out(text.size());
  if (!text.empty()) std::memcpy(out.data(), text.data(), text.size());
  return out;
}

std::string line_of(const std::string& user, const HashCost& cost) {
  auto file = PasswordFile::parse("", "new", {cost, {8, 1}, {1024 * 1024, 16}});
  EXPECT_TRUE(file.has_value());
  EXPECT_TRUE(file->set(user, secret("x")).has_value());
  return file->text();
}

std::string error_of(const std::string& text, const HashPolicy& policy = cheap_policy) {
  auto file = PasswordFile::parse(text, "users", policy);
  return file ? "no error" : file.error().message;
}

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/sealcast-passwords-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string content(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(PasswordFile, H7_AcceptsTheRightPasswordAndNoOther) {
  auto file = PasswordFile::parse("", "users", cheap_policy);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  ASSERT_TRUE(file->set("anna", secret("correct horse")).has_value());
  ASSERT_TRUE(file->set("bert", secret("battery")).has_value());
  EXPECT_TRUE(file->verify("anna", secret("correct horse")).value());
  EXPECT_TRUE(file->verify("bert", secret("battery")).value());
  for (const char* wrong : {"", "correct hors", "correct horse ", "Correct horse", "battery"})
    EXPECT_FALSE(file->verify("anna", secret(wrong)).value()) << wrong;
  for (const char* stranger : {"", "#", "Anna", "anna:", "carl"})
    EXPECT_FALSE(file->verify(stranger, secret("correct horse")).value()) << stranger;
}

TEST(PasswordFile, H7_AHashWrittenEarlierStaysGood) {
  const auto file = PasswordFile::parse(std::string("anna:") + kept_hash + "\n", "users", cheap_policy);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_TRUE(file->verify("anna", secret("correct horse")).value());
  EXPECT_FALSE(file->verify("anna", secret("correct hors")).value());
}

TEST(PasswordFile, H7_ThePasswordIsNotInTheFileAndSaltsDiffer) {
  auto file = PasswordFile::parse("", "users", cheap_policy);
  ASSERT_TRUE(file->set("anna", secret("correct horse")).has_value());
  const std::string first = file->text();
  ASSERT_TRUE(file->set("anna", secret("correct horse")).has_value());
  EXPECT_NE(first, file->text());
  EXPECT_EQ(first.find("correct"), std::string::npos);
  EXPECT_EQ(first.rfind("anna:$argon2id$v=19$m=8,t=1,p=1$", 0), 0u);
  EXPECT_EQ(file->users().size(), 1u);
}

TEST(PasswordFile, H7_NewFilesGetTheFullCost) {
  const HashPolicy policy;
  EXPECT_EQ(policy.preferred.text(), "m=65536,t=3,p=1");
  auto file = PasswordFile::parse("", "users", policy);
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE(file->set("anna", secret("x")).has_value());
  EXPECT_NE(file->text().find("$m=65536,t=3,p=1$"), std::string::npos);
}

double cpu_seconds(const std::function<void()>& work) {
  timespec begin{}, end{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
  work();
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
  return static_cast<double>(end.tv_sec - begin.tv_sec) + 1e-9 * static_cast<double>(end.tv_nsec - begin.tv_nsec);
}

TEST(PasswordFile, AUTH_2_UnknownUsersAndWrongPasswordsCostTheSame) {
  const HashPolicy policy{{16 * 1024, 2}, {8, 1}, {64 * 1024, 8}};
  auto file = PasswordFile::parse("", "users", policy);
  ASSERT_TRUE(file->set("anna", secret("correct horse")).has_value());
  // Read back: the stand-in for unknown users is made at load, with the file's cost, not with the policy's.
  file = PasswordFile::parse(file->text(), "users", cheap_policy);
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->cost(), (HashCost{16 * 1024, 2}));
  const auto least_of = [&](const char* user, const std::string& password) {
    double least = 1e9;
    for (int i = 0; i < 5; ++i)
      least = std::min(least, cpu_seconds([&] { (void)file->verify(user, secret(password)); }));
    return least;
  };
  const double right = least_of("anna", "correct horse");
  EXPECT_GT(right, 0.001) << "an Argon2id over 16 MiB was computed";
  // Without the stand-in the ratio would be about 1/10,000; the bounds allow for a machine whose other thread is busy.
  for (const auto& [user, password] : {std::pair{"anna", std::string("wrong")},
                                       {"nobody", std::string("wrong")},
                                       {"", std::string()},
                                       {"anna", std::string(5000, 'x')}}) {
    const double other = least_of(user, password);
    EXPECT_GT(other, right * 0.2) << user;
    EXPECT_LT(other, right * 2.0) << user;
  }
}

TEST(PasswordFile, H7_PasswordsBeyondTheProtocolsLengthAreNeverRight) {
  auto file = PasswordFile::parse("", "users", cheap_policy);
  const std::string longest(max_password_bytes, 'p');
  ASSERT_TRUE(file->set("anna", secret(longest)).has_value());
  EXPECT_TRUE(file->verify("anna", secret(longest)).value());
  EXPECT_FALSE(file->verify("anna", secret(longest + "p")).value()) << "cut to 128 bytes it would match";
  EXPECT_FALSE(file->set("anna", secret(longest + "p")).has_value());
  EXPECT_FALSE(file->set("anna", secret("")).has_value());
  EXPECT_TRUE(file->verify("anna", secret(longest)).value()) << "a refused change changes nothing";
  EXPECT_TRUE(file->set("bert", secret(std::string("a\0b", 3))).has_value()) << "any byte may stand in a password";
  EXPECT_TRUE(file->verify("bert", secret(std::string("a\0b", 3))).value());
  EXPECT_FALSE(file->verify("bert", secret("a")).value());
}

TEST(PasswordFile, H7_AStampChangesWithThePasswordAndShowsNoHash) {
  auto file = PasswordFile::parse("", "users", cheap_policy);
  ASSERT_TRUE(file->set("anna", secret("correct horse")).has_value());
  const auto first = file->stamp("anna");
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->size(), 16u);
  EXPECT_EQ(PasswordFile::parse(file->text(), "users", cheap_policy)->stamp("anna"), first);
  EXPECT_EQ(file->stamp("bert"), std::nullopt);
  EXPECT_EQ(file->stamp(""), std::nullopt);
  ASSERT_TRUE(file->set("anna", secret("correct horse")).has_value());
  EXPECT_NE(file->stamp("anna"), first) << "set anew, even to the same";
}

TEST(PasswordFile, H11_TheDigestChangesWithAnyUser) {
  auto file = PasswordFile::parse("", "users", cheap_policy);
  ASSERT_TRUE(file->set("anna", secret("correct horse")).has_value());
  const std::string alone = file->digest();
  EXPECT_EQ(alone.size(), 64u);
  EXPECT_EQ(PasswordFile::parse(file->text(), "users", cheap_policy)->digest(), alone);
  ASSERT_TRUE(file->set("bert", secret("x")).has_value());
  EXPECT_NE(file->digest(), alone);
  EXPECT_TRUE(file->remove("bert"));
  EXPECT_EQ(file->digest(), alone);
  ASSERT_TRUE(file->set("anna", secret("correct horse")).has_value());
  EXPECT_NE(file->digest(), alone) << "set anew, even to the same";
}

TEST(PasswordFile, H7_CommentsAndOrderSurviveAChange) {
  const std::string anna = line_of("anna", {8, 1});
  const std::string text = "# studio\n" + anna + "\n# home\n" + line_of("bert", {8, 1});
  auto file = PasswordFile::parse(text, "users", cheap_policy);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(file->text(), text);
  EXPECT_EQ(file->users(), (std::vector<std::string>{"anna", "bert"}));
  ASSERT_TRUE(file->set("carl", secret("x")).has_value());
  EXPECT_TRUE(file->remove("bert"));
  EXPECT_FALSE(file->remove("bert"));
  EXPECT_FALSE(file->remove(""));
  EXPECT_EQ(file->text().rfind("# studio\n" + anna + "\n# home\ncarl:", 0), 0u);
}

TEST(PasswordFile, H7_EveryMistakeIsNamedWithItsLineAndNeverQuoted) {
  const std::string good = line_of("anna", {8, 1});
  const std::string hash = good.substr(5, good.size() - 6);
  EXPECT_EQ(error_of("# c\n\nhunter2\n"), "users:3: expected USER:HASH, a comment (#) or an empty line");
  EXPECT_EQ(error_of(good + "bert:hunter2"),
            "users:2: expected a hash $argon2id$v=19$m=…,t=…,p=1$SALT$HASH of 16 and 32 bytes; set the password again");
  EXPECT_EQ(error_of(good + good), "users:2: user anna stands in line 1 already");
  EXPECT_EQ(error_of(good + line_of("bert", {16, 1})),
            "users:2: hash of cost m=16,t=1,p=1, expected m=8,t=1,p=1 as in line 1: different delays would tell users "
            "apart; set the password again");
  EXPECT_EQ(error_of(good, {}),
            "users:1: hash of cost m=8,t=1,p=1 is guessed too easily; expected at least "
            "m=19456,t=2,p=1");
  const std::string name = "expected a user name of 1 to 64 characters A-Z a-z 0-9 . _ - @ before ':'";
  for (const std::string& user : {std::string(), std::string(65, 'a'), std::string("an na"), std::string(" anna"),
                                  std::string("anna\t"), std::string("a\0b", 3), std::string("\xc3\xa4")})
    EXPECT_EQ(error_of(user + ":" + hash), "users:1: " + name) << user;
}

TEST(PasswordFile, H7_NoOtherFormOfAHashIsTaken) {
  const std::string good = line_of("anna", {8, 1});
  ASSERT_EQ(error_of(good), "no error");
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const auto& text :
       {changed("argon2id", "argon2i"), changed("v=19", "v=16"), changed("m=8,", "m=08,"), changed("m=8,", "m=+8,"),
        changed("m=8,", "m=,"), changed("m=8,", "m=4294967304,"), changed("t=1", "t=0"), changed("t=1", "t= 1"),
        changed("p=1$", "p=2$"), changed("p=1$", "p=1,x=1$"), changed("\n", "\r\n"), changed("\n", "A\n"),
        changed("\n", ":\n"), changed("m=8,t=1,p=1", "t=1,m=8,p=1"), good.substr(0, good.size() - 2)})
    EXPECT_NE(error_of(text), "no error") << text;
  // Costs that would let one attempt stop the server.
  EXPECT_NE(error_of(changed("m=8,", "m=4194304,")).find("takes too long"), std::string::npos);
  EXPECT_NE(error_of(changed("t=1", "t=4000000")).find("takes too long"), std::string::npos);
}

TEST(PasswordFile, PARSE_1_EveryTruncationAndEveryFlippedByteIsAnswered) {
  const std::string good = "# c\n" + line_of("anna", {8, 1});
  for (std::size_t n = 5; n < good.size(); ++n) {
    std::string flipped = good;
    flipped[n] = static_cast<char>(flipped[n] ^ 0x80);
    EXPECT_NE(error_of(flipped), "no error") << n;
    if (n < good.size() - 1) {  // without its line end the last line is whole
      EXPECT_NE(error_of(good.substr(0, n)), "no error") << n;
    }
  }
}

TEST(PasswordFile, H7_TheFileIsPrivateAndWholeOrNotThere) {
  const Folder folder;
  const std::string path = folder / "users";
  const auto add = [&](const char* user) {
    return update(path, cheap_policy, [&](PasswordFile& f) { return f.set(user, secret("x")); });
  };
  ASSERT_TRUE(add("anna").has_value()) << "a missing file is an empty one";
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  ASSERT_TRUE(add("bert").has_value());
  EXPECT_EQ(PasswordFile::load(path, cheap_policy)->users().size(), 2u);

  const std::string left_over = path + ".0123456789abcdef.tmp";  // left by a killed writer (H14)
  std::ofstream(left_over) << "anna:";
  ASSERT_TRUE(add("carla").has_value());
  EXPECT_NE(::access(left_over.c_str(), F_OK), 0);

  const std::string before = content(path);
  const auto refused = update(path, cheap_policy, [](PasswordFile& f) -> Result<void> {
    f.remove("anna");
    return fail("changed my mind");
  });
  EXPECT_FALSE(refused.has_value());
  EXPECT_EQ(content(path), before);

  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  const auto open_to_others = PasswordFile::load(path, cheap_policy);
  ASSERT_FALSE(open_to_others.has_value());
  EXPECT_EQ(open_to_others.error().message,
            path + ": others may access this password file; expected mode 0600: chmod 600");
  EXPECT_FALSE(add("carl").has_value()) << "nor is it silently replaced";
  if (::geteuid() != 0) return;  // only root can give a file away
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  ASSERT_EQ(::chown(path.c_str(), 12345, 12345), 0);
  const auto foreign = PasswordFile::load(path, cheap_policy);
  ASSERT_FALSE(foreign.has_value());
  EXPECT_EQ(foreign.error().message,
            path + ": expected this password file to belong to this user or to root, got user id 12345: chown");
  EXPECT_FALSE(add("carl").has_value()) << "nor does it change its owner silently";
}

TEST(PasswordFile, H7_WhatIsNoReadableFileIsOneClearLine) {
  const Folder folder;
  EXPECT_EQ(PasswordFile::load(folder / "none", cheap_policy).error().message,
            (folder / "none") + ": cannot open the password file: No such file or directory");
  ASSERT_EQ(::mkdir((folder / "folder").c_str(), 0700), 0);
  EXPECT_EQ(PasswordFile::load(folder / "folder", cheap_policy).error().message,
            (folder / "folder") + ": expected a regular file for passwords");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_FALSE(PasswordFile::load(folder / "pipe", cheap_policy).has_value()) << "and does not wait for a writer";
  std::ofstream(folder / "big") << std::string(max_file_bytes + 1, '#');
  ASSERT_EQ(::chmod((folder / "big").c_str(), 0600), 0);
  EXPECT_NE(PasswordFile::load(folder / "big", cheap_policy).error().message.find("expected at most 4194304 bytes"),
            std::string::npos);
}

TEST(PasswordFile, H7_TwoUpdatesAtOnceLoseNothing) {
  const Folder folder;
  const std::string path = folder / "users";
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < 8; ++i) {
        const std::string user = "user" + std::to_string(w) + "-" + std::to_string(i);
        EXPECT_TRUE(update(path, cheap_policy, [&](PasswordFile& f) { return f.set(user, secret("x")); }).has_value());
      }
    });
  }
  for (auto& writer : writers)
    writer.join();
  EXPECT_EQ(PasswordFile::load(path, cheap_policy)->users().size(), 32u);
}

}  // namespace
}  // namespace sealcast::passwords
