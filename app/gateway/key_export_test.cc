// The key export: what tshark reads, the file's permissions, and that calls still reach the data plane (H14).
#include "app/gateway/key_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace sealcast::gateway {
namespace {

struct FakePlane final : DataPlaneControl {
  int installed = 0, added = 0, replaced = 0;
  std::uint32_t workers() const override { return 3; }
  Result<void> protect_all(const std::vector<NamedProtection>&) override { return {}; }
  Result<void> unprotect_all(const std::vector<std::string>&) override { return {}; }
  Result<void> install(GroupEpoch epoch) override {
    installed += static_cast<int>(epoch.inbound.size());
    return {};
  }
  Result<void> add_inbound(const std::string&, std::uint64_t, std::vector<InboundSa> slots) override {
    added += static_cast<int>(slots.size());
    return {};
  }
  Result<void> replace_outbound(const std::string&, std::uint64_t, std::vector<OutboundSa> slots) override {
    replaced += static_cast<int>(slots.size());
    return fail("told so");
  }
  Result<void> activate(const std::string&, std::uint64_t) override { return {}; }
  Result<void> extend_lease(const std::string&, SteadyTime) override { return {}; }
  Result<void> set_clock(const std::string&, std::uint64_t, const EpochClock&) override { return {}; }
  Result<void> retire(const std::string&, std::uint64_t) override { return {}; }
  void drop_all_outbound() override {}
  DataPlaneEvents take_events() override { return {}; }
  DataPlaneStatistics statistics() const override { return {}; }
  Result<void> send_sealed(const std::string&, const std::vector<std::uint8_t>&) override { return {}; }
  std::vector<SaStatistics> statistics_of_group(const std::string&) const override { return {}; }
};

SaKey key(std::uint32_t spi, std::uint8_t size) {
  SaKey out;
  out.spi = spi;
  out.key_size = size;
  for (std::size_t i = 0; i < size; ++i)
    out.key.data()[i] = static_cast<std::uint8_t>(i);
  out.salt = {0xaa, 0xbb, 0xcc, 0xdd};
  return out;
}

struct KeyExportTest : testing::Test {
  void SetUp() override {
    ASSERT_NE(mkdtemp(folder), nullptr);
    path = std::string(folder) + "/keys.txt";
  }
  void TearDown() override {
    unlink(path.c_str());
    rmdir(folder);
  }
  std::string content() const {
    std::ifstream in(path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  char folder[32] = "/tmp/key_export_XXXXXX";
  std::string path;
  FakePlane plane;
};

TEST_F(KeyExportTest, LinesAreTsharksSaTable) {
  const std::string rest =
      ",\"*\",\"*\",\"0x10000001\",\"AES-GCM with 16 octet ICV [RFC4106]\","
      "\"0x000102030405060708090a0b0c0d0e0faabbccdd\",\"NULL\",\"\"\n";
  EXPECT_EQ(esp_sa_lines(key(0x10000001, 16)), "\"IPv4\"" + rest + "\"IPv6\"" + rest);
}

TEST_F(KeyExportTest, H14_FileIsPrivateAndEmptiedAtStart) {
  {
    std::ofstream old(path);
    old << "keys of an earlier run\n";
  }
  chmod(path.c_str(), 0644);
  auto exporter = KeyExport::open(path, plane);
  ASSERT_TRUE(exporter.has_value()) << exporter.error().message;
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(content(), "");
}

TEST_F(KeyExportTest, H14_WhoHeldAnOldFileOpenReadsNoKeyOfTheNewOne) {
  {
    std::ofstream old(path);
    old << "keys of an earlier run\n";
  }
  chmod(path.c_str(), 0644);
  std::ifstream held(path);
  auto exporter = KeyExport::open(path, plane);
  ASSERT_TRUE(exporter.has_value()) << exporter.error().message;
  std::vector<InboundSa> slots;
  slots.push_back({key(0x10000003, 32), 0});
  EXPECT_TRUE((*exporter)->add_inbound("tv", 1, std::move(slots)));
  std::ostringstream seen;
  seen << held.rdbuf();
  EXPECT_THAT(seen.str(), testing::Not(testing::HasSubstr("0x10000003")));
  EXPECT_THAT(content(), testing::HasSubstr("0x10000003"));
}

TEST_F(KeyExportTest, H14_RefusesWhatIsNoRegularFileAtOnce) {
  ASSERT_EQ(mkfifo(path.c_str(), 0644), 0);
  const auto exporter = KeyExport::open(path, plane);  // a plain open() would wait for a reader
  ASSERT_FALSE(exporter.has_value());
  EXPECT_THAT(exporter.error().message, testing::HasSubstr("regular file"));
}

TEST_F(KeyExportTest, EveryKeyThatGoesByIsWrittenAndPassedOn) {
  auto exporter = KeyExport::open(path, plane);
  ASSERT_TRUE(exporter.has_value());
  GroupEpoch epoch;
  epoch.inbound.push_back({key(0x10000001, 32), 0});
  epoch.outbound.push_back({key(0x10000002, 32)});
  EXPECT_TRUE((*exporter)->install(std::move(epoch)));
  std::vector<InboundSa> more;
  more.push_back({key(0x10000003, 32), 0});
  EXPECT_TRUE((*exporter)->add_inbound("tv", 1, std::move(more)));
  std::vector<OutboundSa> own;
  own.push_back({key(0x10000004, 32)});
  const auto refused = (*exporter)->replace_outbound("tv", 1, std::move(own));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, "told so");
  EXPECT_EQ(plane.installed + plane.added + plane.replaced, 3);
  EXPECT_EQ((*exporter)->workers(), 3u);
  for (const char* spi : {"0x10000001", "0x10000002", "0x10000003", "0x10000004"}) {
    EXPECT_THAT(content(), testing::HasSubstr(spi));
  }
}

TEST_F(KeyExportTest, FolderThatDoesNotExistIsAnError) {
  const auto exporter = KeyExport::open(path + "/none/keys", plane);
  ASSERT_FALSE(exporter.has_value());
  EXPECT_THAT(exporter.error().message, testing::HasSubstr("export_keys"));
}

TEST_F(KeyExportTest, H14_RefusesASymbolicLink) {
  ASSERT_EQ(symlink("/tmp/elsewhere", path.c_str()), 0);
  EXPECT_FALSE(KeyExport::open(path, plane).has_value());
}

}  // namespace
}  // namespace sealcast::gateway
