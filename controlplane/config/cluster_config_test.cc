// [keyserver.cluster]: what it says, what it refuses; the files of the cluster key and of the wrapping key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "controlplane/config/config.h"

namespace sealcast::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string sound = R"(name = "a"
etcd = ["https://10.9.0.1:2379", "https://[2001:db8::1]:2379"]
key_file = "cluster.key"
ca = "etcd-ca.pem"
certificate = "etcd.pem"
private_key = "etcd.key"
lease_ttl = "7s"
)";

Loaded<KeyserverConfig> parse_keyserver(const std::string& more_of_keyserver, const std::string& more_of_group = "") {
  return parse_keyserver_config(R"([keyserver]
id = "ks.example"
listen = "10.9.0.1:7400"
certificate = "server.pem"
private_key = "server.key"
ca = "ca.pem"
state = "keyserver.state"
admin_socket = "ks.sock"
spi_range = ["0x10000000", "0x1fffffff"]
)" + more_of_keyserver + R"([[keyserver.group]]
id = "tv"
selectors = [ { destination = "239.1.1.0/24" } ]
senders = "*"
)" + more_of_group,
                                "/etc/ks.toml");
}

Loaded<KeyserverConfig> parse_cluster(const std::string& cluster, const std::string& group = "") {
  return parse_keyserver("[keyserver.cluster]\n" + cluster, group);
}

std::string error_text(const Loaded<KeyserverConfig>& loaded) {
  std::string out;
  for (const Diagnostic& error : loaded.errors)
    out += error.text() + "\n";
  return out;
}

std::string sound_but(const std::string& what, const std::string& with) {
  std::string out = sound;
  out.replace(out.find(what), what.size(), with);
  return out;
}

TEST(ClusterConfigFile, EveryValueArrives) {
  const auto loaded = parse_cluster(sound);
  ASSERT_TRUE(loaded.ok()) << error_text(loaded);
  ASSERT_TRUE(loaded.value->cluster.has_value());
  const ClusterConfig& cluster = *loaded.value->cluster;
  EXPECT_EQ(cluster.name, "a");
  EXPECT_THAT(cluster.etcd, ElementsAre("https://10.9.0.1:2379", "https://[2001:db8::1]:2379"));
  EXPECT_EQ(cluster.key_file, "/etc/cluster.key");
  EXPECT_EQ(cluster.ca, "/etc/etcd-ca.pem");
  EXPECT_EQ(cluster.certificate, "/etc/etcd.pem");
  EXPECT_EQ(cluster.private_key, "/etc/etcd.key");
  EXPECT_EQ(cluster.lease_ttl, 7s);
}

TEST(ClusterConfigFile, RefusesWhatCannotWork) {
  const struct {
    std::string text, expected;
  } cases[] = {
      {sound_but("https://10.9.0.1:2379", "10.9.0.1:2379"), "etcd[0]"},
      {sound_but("https://10.9.0.1:2379", "ftp://10.9.0.1:2379"), "expected \"http://\" or \"https://\""},
      {sound_but("https://10.9.0.1:2379", "https://10.9.0.1"), "etcd[0]"},
      {sound_but("https://10.9.0.1:2379", "https://10.9.0.1:2379/v3"), "etcd[0]"},
      {sound_but("key_file = \"cluster.key\"\n", ""), "got neither"},
      {sound_but("lease_ttl", "key_credential = \"k\"\nlease_ttl"), "got both"},
      {sound_but("key_file = \"cluster.key\"", "key_credential = \"../k\""), "without a path"},
      {sound_but("ca = \"etcd-ca.pem\"\n", ""), "https"},
      {sound_but("private_key = \"etcd.key\"\n", ""), "together"},
      {sound_but("\"7s\"", "\"1s\""), "lease_ttl"},
      {sound_but("\"7s\"", "\"2500ms\""), "whole seconds"},
      {sound_but("name = \"a\"\n", ""), "name"},
      {sound_but("lease_ttl", "lease"), "lease"},
  };
  for (const auto& one : cases) {
    const auto loaded = parse_cluster(one.text);
    EXPECT_FALSE(loaded.ok()) << one.text;
    EXPECT_THAT(error_text(loaded), HasSubstr("keyserver.cluster")) << one.text;
    EXPECT_THAT(error_text(loaded), HasSubstr(one.expected)) << one.text;
  }
}

TEST(ClusterConfigFile, WarnsOfDelaysThatAreTooShort) {
  const auto loaded = parse_cluster(sound, "deactivation_delay = \"6s\"\n");
  ASSERT_TRUE(loaded.ok()) << error_text(loaded);
  EXPECT_TRUE(std::any_of(loaded.warnings.begin(), loaded.warnings.end(), [](const Diagnostic& warning) {
    return warning.message.find("deactivation_delay") != std::string::npos;
  }));
}

TEST(ClusterConfigFile, WarnsThatNobodyIsToldByDatagram) {
  const auto loaded = parse_cluster(sound, "rekey = \"multicast\"\n");
  ASSERT_TRUE(loaded.ok()) << error_text(loaded);
  EXPECT_TRUE(std::any_of(loaded.warnings.begin(), loaded.warnings.end(), [](const Diagnostic& warning) {
    return warning.message.find("rekey = \"multicast\" has no effect") != std::string::npos;
  }));
  EXPECT_TRUE(parse_cluster(sound).warnings.size() < loaded.warnings.size()) << "and says nothing of it otherwise";
}

TEST(WrappingKey, IsOptionalOneOfTwoAndNotForClusters) {
  const auto none = parse_keyserver("");
  ASSERT_TRUE(none.ok()) << error_text(none);
  EXPECT_FALSE(none.value->wrapping_key_file || none.value->wrapping_key_credential) << "off by default";
  EXPECT_FALSE(read_wrapping_key(*none.value)->has_value());
  EXPECT_EQ(parse_keyserver("wrapping_key_file = \"wrap.key\"\n").value->wrapping_key_file, "/etc/wrap.key");
  EXPECT_EQ(parse_keyserver("wrapping_key_credential = \"wrap\"\n").value->wrapping_key_credential, "wrap");
  EXPECT_THAT(error_text(parse_keyserver("wrapping_key_file = \"k\"\nwrapping_key_credential = \"k\"\n")),
              HasSubstr("got both"));
  EXPECT_THAT(error_text(parse_keyserver("wrapping_key_credential = \"../k\"\n")), HasSubstr("without a path"));
  EXPECT_THAT(error_text(parse_keyserver("wrapping_key_file = \"k\"\n[keyserver.cluster]\n" + sound)),
              HasSubstr("expected none with [keyserver.cluster]"));
}

// A key's file: 64 hexadecimal digits, the owner's alone.
class KeyFile : public testing::Test {
 protected:
  KeyFile() {
    char folder[] = "/tmp/sealcast-key-file-XXXXXX";
    folder_ = mkdtemp(folder);
    path_ = folder_ + "/key";
  }
  ~KeyFile() override {
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }
  void write(const std::string& text, mode_t mode = 0600) const {
    std::ofstream(path_, std::ios::trunc) << text;
    chmod(path_.c_str(), mode);
  }
  std::string folder_, path_;
  const std::string digits_ = std::string(62, '0');
};

TEST_F(KeyFile, H14_TheClusterKeyIsReadFromAFileOfItsOwnerAlone) {
  ClusterConfig cluster;
  cluster.key_file = path_;
  EXPECT_FALSE(read_cluster_key(cluster).has_value());
  write(digits_ + "aF\n");
  const auto key = read_cluster_key(cluster);
  ASSERT_TRUE(key.has_value()) << key.error().message;
  EXPECT_EQ(key->view()[31], 0xaf);
  write(digits_ + "aF\n", 0640);
  EXPECT_FALSE(read_cluster_key(cluster).has_value());
  for (const std::string& bad : {std::string(), digits_, digits_ + "aFaF", digits_ + "xx", digits_ + "aF\n\n"}) {
    write(bad);
    const auto refused = read_cluster_key(cluster);
    ASSERT_FALSE(refused.has_value()) << bad;
    EXPECT_EQ(refused.error().message.find(digits_), std::string::npos) << "a key must not be shown";
  }
}

TEST_F(KeyFile, H14_TheWrappingKeyIsReadFromAPrivateFileOrACredential) {
  KeyserverConfig config;
  config.wrapping_key_file = path_;
  EXPECT_FALSE(read_wrapping_key(config).has_value()) << "it is not there";
  write(digits_ + "aF\n");
  const auto key = read_wrapping_key(config);
  ASSERT_TRUE(key.has_value()) << key.error().message;
  EXPECT_EQ((*key)->view()[31], 0xaf);
  write(digits_);
  const auto refused = read_wrapping_key(config);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("the wrapping key " + path_ + ": expected 64 hexadecimal digits"));
  EXPECT_EQ(refused.error().message.find(digits_), std::string::npos) << "a key must not be shown";
  write(digits_ + "aF\n", 0640);
  EXPECT_FALSE(read_wrapping_key(config).has_value());
  KeyserverConfig credential;
  credential.wrapping_key_credential = "key";
  unsetenv("CREDENTIALS_DIRECTORY");
  EXPECT_FALSE(read_wrapping_key(credential).has_value());
  setenv("CREDENTIALS_DIRECTORY", folder_.c_str(), 1);
  chmod(path_.c_str(), 0440);
  EXPECT_TRUE(read_wrapping_key(credential).has_value());
  unsetenv("CREDENTIALS_DIRECTORY");
}

}  // namespace
}  // namespace sealcast::config
