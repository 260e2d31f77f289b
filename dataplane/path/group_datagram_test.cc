// Datagrams for the gateways themselves: taken out of ESP and never forwarded, and framed as a router would have them.
#include "dataplane/path/group_datagram.h"

#include <gtest/gtest.h>

#include "dataplane/packet/packet.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

EspFields datagram_fields(std::uint64_t number) {
  EspFields fields;
  fields.number = number;
  fields.sequence = static_cast<std::uint32_t>(number);
  fields.next_header = group_datagram_next_header;
  return fields;
}

TEST(DatagramInbox, KeepsWhatTheControlThreadHasRoomFor) {
  DatagramInbox inbox;
  const Bytes text = pattern(300);
  EXPECT_EQ(inbox.take(0x10000008, Bytes(TakenDatagram::most_bytes + 1)), DropReason::bad_next_header);
  for (std::size_t i = 0; i < TakenDatagramRing::capacity + 1; ++i)
    EXPECT_EQ(inbox.take(0x10000008, text), DropReason::group_datagram);
  TakenDatagram taken;
  ASSERT_TRUE(inbox.ring().pop(taken));
  EXPECT_EQ(taken.spi, 0x10000008U);
  EXPECT_EQ(Bytes(taken.bytes.begin(), taken.bytes.begin() + taken.length), text);
  EXPECT_EQ(inbox.ring().lost(), 1U);
}

TEST(GroupDatagram, IsTakenOutOnceAndNeverForwarded) {
  Harness plane;
  plane.install_tv();
  const Bytes text(300, 0x5a);
  const Bytes frame = esp_frame(datagram_fields(7), text);
  const auto seen = plane.black(frame);
  EXPECT_EQ(seen.verdict, Verdict::drop);
  EXPECT_EQ(seen.reason, DropReason::group_datagram);
  EXPECT_EQ(plane.black(frame).reason, DropReason::replay) << "a copy of the same packet";
  const auto events = plane.plane().take_events();
  ASSERT_EQ(events.datagrams.size(), 1u);
  EXPECT_EQ(events.datagrams[0].group_id, "tv");
  EXPECT_EQ(events.datagrams[0].bytes, text);
  EXPECT_TRUE(plane.plane().take_events().datagrams.empty());
}

TEST(GroupDatagram, AFloodOrOneThatIsTooLongCostsNothingButItself) {
  Harness plane;
  plane.install_tv();
  EXPECT_EQ(plane.black(esp_frame(datagram_fields(1), Bytes(TakenDatagram::most_bytes + 4, 1))).reason,
            DropReason::bad_next_header);
  for (std::uint64_t number = 2; number < 102; ++number)
    EXPECT_EQ(plane.black(esp_frame(datagram_fields(number), Bytes(100, 1))).reason, DropReason::group_datagram);
  EXPECT_EQ(plane.plane().take_events().datagrams.size(), TakenDatagramRing::capacity);
  Sender sender(0x10000009, std::vector<Selector>{selector("239.1.1.0/24")});
  EXPECT_EQ(plane.black(sender.seal(udp_frame(100))).verdict, Verdict::forward);
}

TEST(GroupDatagram, NothingIsSentWithoutAPortOrAnAddress) {
  Harness plane;
  plane.install_tv();
  EXPECT_FALSE(plane.plane().send_sealed("tv", Bytes(100, 1)));
  EXPECT_FALSE(plane.plane().send_sealed("none", Bytes(100, 1)));
}

TEST(GroupDatagram, ItsFrameGoesToTheGroup) {
  GroupProtection group;
  group.selectors = {selector("239.1.1.0/24"), selector("239.9.9.9")};
  BlackAddress own;
  own.mac = {2, 0, 0, 0, 0, 1};
  const Bytes esp(64, 0xee);
  EXPECT_FALSE(sealed_frame(group, own, esp, 1500)) << "no address of its own";
  own.address4 = *IpAddress::parse("10.0.0.7");
  const auto frame = sealed_frame(group, own, esp, 1500);
  ASSERT_TRUE(frame);
  ASSERT_EQ(frame->size(), 14u + 20 + 64);
  EXPECT_EQ(Bytes(frame->begin(), frame->begin() + 14),
            (Bytes{0x01, 0x00, 0x5e, 1, 1, 0, 2, 0, 0, 0, 0, 1, 0x08, 0x00}));
  Packet packet;
  EXPECT_EQ(parse_ipv4(frame->data() + 14, 84, packet), DropReason::none) << "the checksum is right";
  EXPECT_EQ(packet.protocol, 50);
  EXPECT_EQ(packet.destination, 0xef010100u);
  EXPECT_EQ(packet.source, 0x0a000007u);
  EXPECT_FALSE(sealed_frame(group, own, esp, 83));

  group.outer = OuterTunnel{*IpAddress::parse("ff1e::5"), *IpAddress::parse("2001:db8::1"), 9, 46};
  const auto tunnel = sealed_frame(group, own, esp, 1500);
  ASSERT_TRUE(tunnel);
  EXPECT_EQ((*tunnel)[12], 0x86);
  EXPECT_EQ((*tunnel)[14 + 6], 50);
  EXPECT_EQ((*tunnel)[14 + 7], 9);
  EXPECT_EQ(tunnel->size(), 14u + 40 + 64);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
