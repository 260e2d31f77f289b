// The telemetry commands, asked over DPDK's socket as dpdk-telemetry.py does. Needs root and hugepages.
#include "dataplane/dpdk/telemetry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/descriptor.h"
#include "dataplane/dpdk/gateway.h"

namespace sealcast::dataplane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Protocol v2: a packet socket that greets first, then one answer to each question.
class Client {
 public:
  explicit Client(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
        << path << ": " << std::strerror(errno);
    EXPECT_THAT(receive(), HasSubstr("max_output_len"));
  }
  std::string ask(const std::string& command) {
    EXPECT_EQ(::send(socket_.get(), command.data(), command.size(), 0), static_cast<ssize_t>(command.size()));
    return receive();
  }

 private:
  std::string receive() {
    std::string answer(64 * 1024, '\0');
    const ssize_t n = ::recv(socket_.get(), answer.data(), answer.size(), 0);
    answer.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return answer;
  }
  Descriptor socket_;
};

TEST(Telemetry, AnswersOverItsOwnSocketFromAPublishedCopy) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for hugepages and /var/run/dpdk";
  GatewayOptions options;
  options.red.device = options.black.device = "null";
  options.memory_mb = 64;
  options.telemetry = "sealcast-test-" + std::to_string(::getpid());
  const std::string folder = "/var/run/dpdk/" + options.telemetry;
  auto gateway = GatewayDataPlane::create(options);
  ASSERT_TRUE(gateway) << gateway.error().message;
  ASSERT_TRUE((*gateway)->control().protect(
      "tv",
      {{Selector{.destination = Prefix::parse("239.1.1.0/24").value(), .source = {}, .protocol = {}, .ports = {}}}}));
  struct stat found {};
  ASSERT_EQ(::stat(folder.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700U);

  Client client(folder + "/dpdk_telemetry.v2");
  EXPECT_THAT(client.ask("/sealcast/status"), HasSubstr("null")) << "nothing was published yet";
  auto statistics = (*gateway)->control().statistics();
  SaStatistics sa;
  sa.group_id = "tv";
  sa.spi = 0x10000008;
  sa.packets = 77;
  sa.drops = {{"replay", 5}};
  sa.sender = SenderEstimate{};
  sa.sender->lost = 6;
  statistics.sas.push_back(sa);
  statistics.groups[0].drops = {{"no_sa", 9}};
  publish_telemetry(statistics);
  EXPECT_THAT(client.ask("/sealcast/status"), AllOf(HasSubstr("\"engine\""), HasSubstr("\"sealed\":0")));
  EXPECT_THAT(client.ask("/sealcast/groups"), HasSubstr("[\"tv\"]"));
  EXPECT_THAT(client.ask("/sealcast/groups,tv"), AllOf(HasSubstr("\"sealed\":0"), HasSubstr("\"no_sa\":9")));
  EXPECT_THAT(client.ask("/sealcast/groups,news"), HasSubstr("null"));
  EXPECT_THAT(client.ask("/sealcast/sas"), HasSubstr("[\"0x10000008\"]"));
  EXPECT_THAT(client.ask("/sealcast/sas,tv"), HasSubstr("0x10000008"));
  EXPECT_THAT(client.ask("/sealcast/sas,0x10000008"),
              AllOf(HasSubstr("\"packets\":77"), HasSubstr("\"lost\":6"), HasSubstr("\"replay\":5")));
  EXPECT_THAT(client.ask("/sealcast/ports"), AllOf(HasSubstr("\"red\""), HasSubstr("\"rx_packets\":0")));
  EXPECT_THAT(client.ask("/sealcast/drops"), HasSubstr("\"no_policy\":0"));
  EXPECT_THAT(client.ask("/sealcast/workers"), HasSubstr("\"0\":{"));
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

}  // namespace
}  // namespace sealcast::dataplane
