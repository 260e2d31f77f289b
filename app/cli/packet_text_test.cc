#include "app/cli/packet_text.h"

#include <gtest/gtest.h>

namespace sealcast::cli {
namespace {

TEST(PacketText, BuildsWhatTheFieldsSay) {
  PacketFields fields;
  fields.source = "10.0.0.1";
  fields.destination = "239.129.1.5";
  fields.size = 30;
  fields.ttl = 3;
  fields.dont_fragment = true;
  fields.vlans = {5, 6};
  fields.source_port = 0x1234;
  EXPECT_EQ(to_hex(build_frame(fields).value()),
            "01005e010105020000000001"
            "88a8000581000006"
            "0800"
            "4500001e0000400003117d480a000001ef810105"
            "12341388000a0000"
            "0000");
  PacketFields six;
  six.source = "2001:db8::1";
  six.destination = "ff3e::8000:5";
  six.protocol = "58";
  six.size = 44;
  EXPECT_EQ(to_hex(build_frame(six).value()),
            "333380000005"
            "020000000001"
            "86dd"
            "6000000000043a1020010db8000000000000000000000001ff3e0000000000000000000080000005"
            "00000000");
}

TEST(PacketText, RefusesWhatNoPacketHas) {
  PacketFields good;
  good.source = "10.0.0.1";
  good.destination = "239.1.1.5";
  ASSERT_TRUE(build_frame(good));
  const auto refused = [&](auto change) {
    PacketFields fields = good;
    change(fields);
    return !build_frame(fields);
  };
  EXPECT_TRUE(refused([](auto& f) { f.source = "x"; }));
  EXPECT_TRUE(refused([](auto& f) { f.destination = "ff02::1"; }));
  EXPECT_TRUE(refused([](auto& f) { f.protocol = "256"; }));
  EXPECT_TRUE(refused([](auto& f) { f.size = 27; }));
  EXPECT_TRUE(refused([](auto& f) { f.size = 10'000; }));
  EXPECT_TRUE(refused([](auto& f) { f.vlans = {1, 2, 3}; }));
  EXPECT_TRUE(refused([](auto& f) { f.vlans = {4095}; }));
}

TEST(PacketText, ReadsHex) {
  EXPECT_EQ(parse_hex("00 fF:a0\n").value(), (Bytes{0, 0xff, 0xa0}));
  EXPECT_FALSE(parse_hex("0"));
  EXPECT_FALSE(parse_hex("0g"));
}

}  // namespace
}  // namespace sealcast::cli
