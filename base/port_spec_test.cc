// Port strings: what is accepted, what is refused, and that the refusal says what was expected.
#include "base/port_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace sealcast::dataplane {
namespace {

using ::testing::HasSubstr;

TEST(PortSpec, ReadsEveryKind) {
  const struct {
    const char* text;
    PortKind kind;
    const char* target;
    const char* output;
  } table[] = {
      {"pci:0000:3b:00.0", PortKind::pci, "0000:3b:00.0", ""},
      {"virtio-user:/run/x.sock", PortKind::virtio_user, "/run/x.sock", ""},
      {"vhost-user:/run/x.sock", PortKind::vhost_user, "/run/x.sock", ""},
      {"af_packet:eth1", PortKind::af_packet, "eth1", ""},
      {"af_xdp:eth1", PortKind::af_xdp, "eth1", ""},
      {"tap:name", PortKind::tap, "name", ""},
      {"memif:/run/x.sock", PortKind::memif, "/run/x.sock", ""},
      {"pcap:in.pcap,out.pcap", PortKind::pcap, "in.pcap", "out.pcap"},
      {"pcap:in.pcap", PortKind::pcap, "in.pcap", ""},
      {"pcap:,out.pcap", PortKind::pcap, "", "out.pcap"},
      {"ring:name", PortKind::ring, "name", ""},
      {"null", PortKind::null, "", ""},
  };
  for (const auto& row : table) {
    const auto spec = parse_port(row.text);
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->kind, row.kind) << row.text;
    EXPECT_EQ(spec->text, row.text);
    EXPECT_EQ(spec->target, row.target);
    EXPECT_EQ(spec->output, row.output);
    EXPECT_EQ(port_warnings(*spec).empty(), row.kind != PortKind::virtio_user) << row.text;
  }
}

TEST(PortSpec, OnlyTheRestartableSocketPairingIsTheDefault) {
  EXPECT_TRUE(parse_port("virtio-user:/x")->socket_server);
  EXPECT_FALSE(parse_port("vhost-user:/x")->socket_server);
  EXPECT_FALSE(parse_port("virtio-user:/x?server=0")->socket_server);
  EXPECT_TRUE(parse_port("vhost-user:/x?server=1")->socket_server);
}

TEST(PortSpec, MemifIsTheClientUnlessSaidOtherwise) {
  EXPECT_FALSE(parse_port("memif:/x")->socket_server);
  EXPECT_FALSE(parse_port("memif:/x?role=client")->socket_server);
  EXPECT_TRUE(parse_port("memif:/x?role=server")->socket_server);
}

// Every option and the kinds that take it, written out here: a row that is lost in the code fails this test.
TEST(PortSpec, EveryKindTakesItsOptionsAndNoOther) {
  const struct {
    const char* port;
    std::set<std::string> takes;
  } table[] = {
      {"pci:0000:3b:00.0", {"queues=2", "descriptors=512", "mbufs=4096"}},
      {"virtio-user:/x", {"queues=2", "descriptors=512", "mbufs=4096", "server=0"}},
      {"vhost-user:/x", {"queues=2", "mbufs=4096", "server=0"}},
      {"af_packet:eth1", {"queues=2", "mbufs=4096", "framesz=4096", "framecnt=128"}},
      {"af_xdp:eth1", {"queues=2", "descriptors=512", "mbufs=4096", "start_queue=3", "copy=1"}},
      {"tap:t0", {"queues=2", "mbufs=4096", "mac=02:00:00:00:00:01", "netns=red"}},
      {"memif:/x",
       {"queues=2", "descriptors=512", "mbufs=4096", "role=server", "id=7", "mode=0660", "secret_file=/run/secret"}},
      {"pcap:a,", {"mbufs=4096", "infinite=1"}},
      {"ring:r", {"queues=2", "descriptors=512", "mbufs=4096"}},
      {"null", {"mbufs=4096", "size=64"}},
  };
  std::set<std::string> all;
  for (const auto& row : table)
    all.insert(row.takes.begin(), row.takes.end());
  for (const auto& row : table)
    for (const std::string& option : all) {
      const auto spec = parse_port(std::string(row.port) + "?" + option);
      EXPECT_EQ(spec.has_value(), row.takes.contains(option)) << row.port << "?" << option;
      const std::string listed = kind_options(parse_port(row.port)->kind);
      EXPECT_EQ((" " + listed).find(" " + option.substr(0, option.find('=') + 1)) != std::string::npos,
                row.takes.contains(option))
          << listed;
    }
}

TEST(PortSpec, ReadsTheOptionsOfTapMemifAndAfXdp) {
  const auto memif = parse_port("memif:/x?role=server&id=9&mode=0660&secret_file=/s&descriptors=256&mbufs=2048");
  ASSERT_TRUE(memif) << memif.error().message;
  EXPECT_EQ(memif->memif_id, 9U);
  EXPECT_EQ(memif->socket_mode, 0660);
  EXPECT_EQ(memif->secret_file, "/s");
  EXPECT_EQ(memif->descriptors, 256U);
  EXPECT_EQ(memif->mbufs, 2048U);
  EXPECT_EQ(parse_port("memif:/x")->socket_mode, 0600) << "the owner alone by default";
  const auto tap = parse_port("tap:t0?mac=02:00:5E:10:0a:ff");
  ASSERT_TRUE(tap) << tap.error().message;
  EXPECT_THAT(*tap->mac, ::testing::ElementsAre(2, 0, 0x5e, 0x10, 0x0a, 0xff));
  const auto xdp = parse_port("af_xdp:eth1?start_queue=4&queues=2&copy=1");
  ASSERT_TRUE(xdp) << xdp.error().message;
  EXPECT_EQ(xdp->start_queue, 4);
  EXPECT_TRUE(xdp->copy);
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
      {"af_packet:eth1?server=1", "unknown option \"server\"; af_packet takes: queues mbufs framesz framecnt"},
      {"af_packet:eth1?", "expected name=value"},
      {"af_packet:eth1?queues=2&", "expected name=value"},
      {"af_packet:eth1?=2", "expected name=value"},
      {"vhost-user:/x?framesz=2048", "vhost-user takes"},
      {"memif:/x?role=master", "expected server or client, got \"master\""},
      {"memif:/x?mode=0777", "from 0600 to 0666"},
      {"memif:/x?mode=0690", "got \"0690\""},
      {"memif:/x?secret_file=", "path of secret_file is missing"},
      {"memif:/x?id=4294967296", "from 0 to 4294967295"},
      {"tap:t?mac=01:00:5e:00:00:01", "expected a unicast Ethernet address"},
      {"tap:t?mac=02:00:00:00:00", "expected a unicast Ethernet address"},
      {"tap:t?mac=02-00-00-00-00-01", "expected a unicast Ethernet address"},
      {"tap:t?mac=+2:00:00:00:00:01", "expected a unicast Ethernet address"},
      {"tap:t?netns=../x", "as ip netns shows it"},
      {"null?mbufs=1000", "from 1024"},
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
  EXPECT_EQ(*resolve_port("memif:m.sock?id=1&secret_file=s&queues=2", "/etc"),
            "memif:/etc/m.sock?id=1&secret_file=/etc/s&queues=2");
  EXPECT_EQ(*resolve_port("vhost-user:x.sock", ""), "vhost-user:x.sock");
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
