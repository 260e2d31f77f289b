// A store's file in a folder of its own, gone with the test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace sealcast::store::testing {

class StoreFile : public ::testing::Test {
 protected:
  StoreFile() {
    char name[] = "/tmp/sealcast-store-XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/ks.db";
  }
  ~StoreFile() override {
    for (const char* end : {"", "-wal", "-shm", "-journal", ".reserve"})
      unlink((path_ + end).c_str());
    rmdir(folder_.c_str());
  }
  std::string folder_;
  std::string path_;
};

}  // namespace sealcast::store::testing
