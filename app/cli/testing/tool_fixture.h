// A folder of its own, and `sealcast` run in it as its users run it.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/testing/places.h"

namespace sealcast::cli {

struct Ran {
  int code = -1;  // -1: it did not exit by itself
  std::string out, err;
};

class ToolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "sealcast-tool-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string content(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // input: what it reads from its standard input.
  Ran run_tool(const std::string& arguments, const std::string& input = "") {
    std::ofstream(folder_ + "/in.txt") << input;
    const std::string command =
        "cd " + folder_ + " && " + places::program("sealcast") + " " + arguments + " <in.txt >out.txt 2>err.txt";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content(folder_ + "/out.txt"), content(folder_ + "/err.txt")};
  }

  std::string folder_;  // absolute
};

}  // namespace sealcast::cli
