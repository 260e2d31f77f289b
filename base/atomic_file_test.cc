#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

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

TEST_F(AtomicFile, SaysWhereAFolderIsMissing) {
  const auto refused = write_file_atomically(folder_ + "/no/f", as_bytes("x"), 0600, IfExists::replace);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("No such file or directory"), std::string::npos);
}

}  // namespace
}  // namespace sealcast
