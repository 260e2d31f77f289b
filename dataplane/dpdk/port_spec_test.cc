// Port strings: what is accepted, what is refused, and that the refusal says what was expected.
#include "dataplane/dpdk/port_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sealcast::dataplane {
namespace {

using ::testing::HasSubstr;

TEST(PortSpec, ReadsEveryKind) {
  const struct {
    const char* text;
    PortKind kind;
    const char* target;
    const char* output;
    bool supported;
  } table[] = {
      {"pci:0000:3b:00.0", PortKind::pci, "0000:3b:00.0", "", true},
      {"virtio-user:/run/x.sock", PortKind::virtio_user, "/run/x.sock", "", true},
      {"vhost-user:/run/x.sock", PortKind::vhost_user, "/run/x.sock", "", true},
      {"af_packet:eth1", PortKind::af_packet, "eth1", "", true},
      {"af_xdp:eth1", PortKind::af_xdp, "eth1", "", false},
      {"tap:name", PortKind::tap, "name", "", false},
      {"memif:/run/x.sock", PortKind::memif, "/run/x.sock", "", false},
      {"pcap:in.pcap,out.pcap", PortKind::pcap, "in.pcap", "out.pcap", true},
      {"pcap:in.pcap", PortKind::pcap, "in.pcap", "", true},
      {"pcap:,out.pcap", PortKind::pcap, "", "out.pcap", true},
      {"ring:name", PortKind::ring, "name", "", true},
      {"null", PortKind::null, "", "", true},
  };
  for (const auto& row : table) {
    const auto spec = parse_port(row.text);
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->kind, row.kind) << row.text;
    EXPECT_EQ(spec->text, row.text);
    EXPECT_EQ(spec->target, row.target);
    EXPECT_EQ(spec->output, row.output);
    EXPECT_EQ(supported(spec->kind), row.supported) << row.text;
    EXPECT_EQ(port_warnings(*spec).empty(), row.supported && row.kind != PortKind::virtio_user) << row.text;
  }
}

TEST(PortSpec, OnlyTheRestartableSocketPairingIsTheDefault) {
  EXPECT_TRUE(parse_port("virtio-user:/x")->socket_server);
  EXPECT_FALSE(parse_port("vhost-user:/x")->socket_server);
  EXPECT_FALSE(parse_port("virtio-user:/x?server=0")->socket_server);
  EXPECT_TRUE(parse_port("vhost-user:/x?server=1")->socket_server);
}

TEST(PortSpec, ReadsOptions) {
  const auto packet = parse_port("af_packet:eth1?framesz=4096&queues=2&framecnt=256");
  ASSERT_TRUE(packet) << packet.error().message;
  EXPECT_EQ(packet->framesz, 4096U);
  EXPECT_EQ(packet->queues, 2);
  EXPECT_EQ(packet->framecnt, 256U);
  EXPECT_EQ(packet->target, "eth1");
  EXPECT_TRUE(parse_port("pcap:in.pcap?infinite=1")->infinite);
  EXPECT_EQ(parse_port("null?size=64")->frame_bytes, 64);
  EXPECT_EQ(parse_port("virtio-user:/x?descriptors=256")->descriptors, 256U);
}

TEST(PortSpec, RefusesAndSaysWhatWasExpected) {
  const struct {
    std::string text;
    const char* message;
  } table[] = {
      {"", "the string is empty"},
      {"eth1", "unknown kind \"eth1\""},
      {"dpdk:eth1", "expected one of pci, virtio-user"},
      {"af_packet", "like af_packet:eth1"},
      {"af_packet:", "interface name is missing"},
      {"af_packet:interface-name-too-long", "at most 15"},
      {"af_packet:a/b", "cannot be an interface name"},
      {"af_packet:eth1,iface=eth2", "holds ','"},
      {"af_packet:eth 1", "a space or control character"},
      {"pci:3b:00.0", "like pci:0000:3b:00.0"},
      {"pci:0000:3B:00.0", "lower case"},
      {"pci:0000:3b:00.8", "expected a PCI address"},
      {"virtio-user:" + std::string(108, 'x'), "at most 107"},
      {"pcap:,", "expected a file to read"},
      {"pcap:a.pcap,a.pcap", "the same file"},
      {"pcap:a,b,c", "holds ','"},
      {"pcap:,out.pcap?infinite=1", "needs a file to read"},
      {"pcap:in.pcap,out.pcap?infinite=1", "leave out the file to write"},
      {"null:x", "null takes no name"},
      {"null?size=59", "from 60 to 9018"},
      {"null?size=64x", "got \"64x\""},
      {"af_packet:eth1?framesz=3000", "power of two"},
      {"af_packet:eth1?queues=0", "from 1 to 16"},
      {"af_packet:eth1?queues=99999999999999999999", "from 1 to 16"},
      {"af_packet:eth1?queues=-1", "from 1 to 16"},
      {"af_packet:eth1?queues=", "got \"\""},
      {"af_packet:eth1?queues=2&queues=3", "given twice"},
      {"af_packet:eth1?server=1", "unknown option \"server\"; af_packet takes: queues framesz framecnt"},
      {"af_packet:eth1?", "expected name=value"},
      {"af_packet:eth1?queues=2&", "expected name=value"},
      {"af_packet:eth1?=2", "expected name=value"},
      {"vhost-user:/x?framesz=2048", "vhost-user takes"},
  };
  for (const auto& row : table) {
    const auto spec = parse_port(row.text);
    ASSERT_FALSE(spec) << row.text;
    EXPECT_THAT(spec.error().message, HasSubstr(row.message)) << row.text;
    EXPECT_EQ(spec.error().message.find('\n'), std::string::npos);
  }
}

TEST(PortSpec, RelativePathsFollowTheConfigurationFile) {
  EXPECT_EQ(*resolve_port("vhost-user:run/x.sock?queues=2", "/etc/sealcast"),
            "vhost-user:/etc/sealcast/run/x.sock?queues=2");
  EXPECT_EQ(*resolve_port("pcap:in.pcap,../out.pcap", "/etc/sealcast"), "pcap:/etc/sealcast/in.pcap,/etc/out.pcap");
  EXPECT_EQ(*resolve_port("pcap:in.pcap", "/a"), "pcap:/a/in.pcap,");
  EXPECT_EQ(*resolve_port("pcap:,out.pcap", "/a"), "pcap:,/a/out.pcap");
  EXPECT_EQ(*resolve_port("vhost-user:/run/x.sock", "/etc"), "vhost-user:/run/x.sock");
  EXPECT_EQ(*resolve_port("af_packet:eth1", "/etc"), "af_packet:eth1");
  EXPECT_FALSE(resolve_port("vhost-user:x.sock", "/" + std::string(110, 'd')));
  EXPECT_FALSE(resolve_port("vhost-user:x.sock", "/a b"));
}

TEST(PortSpec, WarnsThatAVirtioUserPeerMapsTheGatewaysMemory) {
  const auto warnings = port_warnings(*parse_port("virtio-user:/x"));
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0], HasSubstr("vhost-user"));
}

}  // namespace
}  // namespace sealcast::dataplane
