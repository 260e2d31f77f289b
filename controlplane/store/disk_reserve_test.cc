// Room that is set aside. A disk that fills needs root; tests/pressure shows it with the whole key server.
#include "controlplane/store/disk_reserve.h"

#include <sys/stat.h>

#include "controlplane/store/testing/store_file_fixture.h"

namespace sealcast::store::testing {
namespace {

class Reserve : public StoreFile {
 protected:
  // Bytes on disk.
  std::uint64_t taken() const {
    struct stat status {};
    return ::stat((path_ + ".reserve").c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512 : 0;
  }
};

TEST_F(Reserve, H29_RoomIsSetAsideOnceAndTakenUpAgain) {
  DiskReserve reserve(path_ + ".reserve");
  ASSERT_TRUE(reserve.look()) << "expected a disk that is not full";
  EXPECT_GE(taken(), DiskReserve::size);
  reserve.look_before_write();
  EXPECT_GE(taken(), DiskReserve::size);
  struct stat status {};
  ASSERT_EQ(::stat((path_ + ".reserve").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  DiskReserve next(path_ + ".reserve");
  EXPECT_TRUE(next.look());
  EXPECT_EQ(taken(), DiskReserve::size);
}

TEST_F(Reserve, AFolderThatIsNotThereHasNoRoomToLookAt) {
  DiskReserve reserve(folder_ + "/none/x.reserve");
  EXPECT_TRUE(reserve.look());
  reserve.look_before_write();
}

}  // namespace
}  // namespace sealcast::store::testing
