#include "base/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/file_owner.h"

namespace sealcast {
namespace {

class AtomicFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "sealcast-file-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  static std::string content(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string folder_;
};

TEST_F(AtomicFile, WritesWithExactlyTheModeAsked) {
  const mode_t before = ::umask(0);
  EXPECT_TRUE(write_file_atomically(folder_ + "/key", as_bytes("secret"), 0600, IfExists::refuse));
  ::umask(0077);
  EXPECT_TRUE(write_file_atomically(folder_ + "/cert", as_bytes("public"), 0644, IfExists::refuse));
  ::umask(before);
  struct stat found {};
  ASSERT_EQ(::stat((folder_ + "/key").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0600u);
  ASSERT_EQ(::stat((folder_ + "/cert").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0644u);
  EXPECT_EQ(content(folder_ + "/key"), "secret");
  EXPECT_EQ(files(), 2u) << "a temporary file stays behind";
}

TEST_F(AtomicFile, RefusesOrReplacesWhatExists) {
  const std::string path = folder_ + "/f";
  ASSERT_TRUE(write_file_atomically(path, as_bytes("one"), 0600, IfExists::replace));
  const auto refused = write_file_atomically(path, as_bytes("two"), 0600, IfExists::refuse);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, path + ": exists already; it is left as it is");
  EXPECT_EQ(content(path), "one");
  ASSERT_TRUE(write_file_atomically(path, as_bytes("three"), 0600, IfExists::replace));
  EXPECT_EQ(content(path), "three");
  EXPECT_EQ(files(), 1u);
}

// A killed writer's file may hold a private key (H14).
TEST_F(AtomicFile, H14_WhatKilledWritersLeftIsRemovedAndNothingElse) {
  const std::string path = folder_ + "/state";
  const auto make = [&](const std::string& name) { std::ofstream(folder_ + "/" + name) << "x"; };
  make("state");
  make("state.0123456789abcdef.tmp");
  make("state.fedcba9876543210.tmp");
  for (const char* other : {"state.0123456789abcdeg.tmp", "state.0123456789abcde.tmp", "state.0123456789abcdef.tmpx",
                            "stat.0123456789abcdef.tmp", "state2.0123456789abcdef.tmp", "state.tmp",
                            "x-state.0123456789abcdef.tmp", "state.0123456789ABCDEF.tmp"})
    make(other);
  ASSERT_EQ(::symlink((folder_ + "/state").c_str(), (folder_ + "/state.00000000000000aa.tmp").c_str()), 0);
  ASSERT_EQ(::mkdir((folder_ + "/state.00000000000000bb.tmp").c_str(), 0700), 0);
  ASSERT_EQ(::mkfifo((folder_ + "/state.00000000000000cc.tmp").c_str(), 0600), 0);
  make("state.00000000000000dd.tmp");
  ASSERT_EQ(::link((folder_ + "/state.00000000000000dd.tmp").c_str(), (folder_ + "/kept").c_str()), 0);
  make("state.00000000000000ee.tmp");  // another process writes it at this moment
  const int writer = ::open((folder_ + "/state.00000000000000ee.tmp").c_str(), O_WRONLY);
  ASSERT_EQ(::flock(writer, LOCK_EX), 0);
  const std::size_t before = files();
  EXPECT_EQ(remove_stale_temporaries(path), 2u);
  EXPECT_EQ(files(), before - 2);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/state.0123456789abcdef.tmp"));
  EXPECT_EQ(content(path), "x");
  ::close(writer);
  EXPECT_EQ(remove_stale_temporaries(path), 1u) << "its writer is gone now";
  EXPECT_EQ(remove_stale_temporaries(folder_ + "/none/state"), 0u);
}

TEST_F(AtomicFile, H14_AWriterIsNotDisturbedByOneThatCleansUp) {
  const std::string path = folder_ + "/state";
  std::atomic<bool> done{false};
  std::thread cleaner([&] {
    while (!done)
      remove_stale_temporaries(path);
  });
  for (int i = 0; i < 200; ++i) {
    const auto written = write_file_atomically(path, as_bytes(std::to_string(i)), 0600, IfExists::replace);
    EXPECT_TRUE(written) << written.error().message;
    EXPECT_EQ(content(path), std::to_string(i));
  }
  done = true;
  cleaner.join();
  EXPECT_EQ(files(), 1u);
}

TEST(FileOwner, H14_SecretsBelongToTheRunningUserOrToRoot) {
  EXPECT_TRUE(good_owner(1000, 1000));
  EXPECT_TRUE(good_owner(0, 1000));
  EXPECT_TRUE(good_owner(0, 0));
  EXPECT_FALSE(good_owner(1001, 1000));
  EXPECT_FALSE(good_owner(1000, 0)) << "root, too, takes no secret that another user can replace";
}

TEST_F(AtomicFile, SaysWhereAFolderIsMissing) {
  const auto refused = write_file_atomically(folder_ + "/no/f", as_bytes("x"), 0600, IfExists::replace);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("No such file or directory"), std::string::npos);
}

}  // namespace
}  // namespace sealcast
