// An independent witness: tshark must read every message of a real join as ISAKMP, without a complaint.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "handshake/isakmp/carriage.h"
#include "handshake/testing/in_process.h"

namespace sealcast::isakmp {
namespace {

using handshake::Endpoint;
using handshake::Keepalive;
using handshake::testing::test_now;
using handshake::testing::World;

std::string run(const std::string& command, int& status) {
  std::string out;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) {
    status = -1;
    return out;
  }
  char part[4096];
  while (const std::size_t n = std::fread(part, 1, sizeof part, pipe))
    out.append(part, n);
  status = ::pclose(pipe);
  return out;
}

std::vector<Bytes> split(const Bytes& bytes) {
  std::vector<Bytes> out;
  for (std::size_t at = 0; at + isakmp_header_bytes <= bytes.size();) {
    const auto length = load_be<std::uint32_t>(bytes.data() + at + 24);
    out.emplace_back(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                     bytes.begin() + static_cast<std::ptrdiff_t>(at + length));
    at += length;
  }
  return out;
}

TEST(IsakmpWitness, P34_TsharkReadsEveryMessageOfAJoin) {
  World world;
  Secret<32> key;
  key.data()[0] = 1;
  const CookieKeys keys(std::move(key));
  auto client = make_initiator(world.client(), handshake::system_random());
  auto server = make_responder([&] { return world.server(); }, keys, {IpAddress::v4(0x0a000001), 4000});

  std::vector<Bytes> sent;
  const auto carry = [&](Endpoint& from, Endpoint& to) {
    const Bytes bytes = from.take_output();
    for (Bytes& message : split(bytes))
      sent.push_back(std::move(message));
    EXPECT_TRUE(to.receive(bytes, test_now).has_value());
  };
  for (int turn = 0; turn < 6; ++turn) {
    carry(*client, *server);
    carry(*server, *client);
  }
  ASSERT_TRUE(client->established() && server->established());
  ASSERT_TRUE(client->send(Keepalive{1}).has_value());
  carry(*client, *server);
  ASSERT_EQ(sent.size(), 9u);
  // One more, which no join makes: a flight in two payloads, small enough for UDP.
  Bytes two = encode(Cookie{1}, Cookie{2}, 7, Bytes(9, 0x17));
  two[isakmp_header_bytes] = records_payload;
  for (const std::uint8_t byte : {0, 0, 0, 6, 0x18, 0x19})
    two.push_back(byte);
  store_be<std::uint32_t>(two.data() + 24, static_cast<std::uint32_t>(two.size()));
  MessageReader reader;
  ByteView view = two;
  ASSERT_TRUE(reader.take(view, [](const Header&) { return Outcome<void>(); }).has_value()) << "ours reads it, too";
  sent.push_back(two);

  char folder_name[] = "/tmp/sealcast-isakmp-XXXXXX";
  const std::string folder = ::mkdtemp(folder_name);
  {
    std::ofstream dump(folder + "/messages.txt");
    for (const Bytes& message : sent) {
      dump << "000000";
      for (const std::uint8_t byte : message)
        dump << ' ' << to_hex(ByteView(&byte, 1));
      dump << '\n';
    }
  }
  int status = 0;
  run("cd " + folder + " && text2pcap -q -u 500,500 messages.txt messages.pcap 2>&1", status);
  ASSERT_EQ(status, 0) << "text2pcap comes with tshark: apt-get install tshark (or run scripts/deps test)";
  const std::string seen =
      run("cd " + folder +
              " && tshark -r messages.pcap -T fields -E separator=';' -e isakmp.ispi -e isakmp.rspi -e isakmp.version"
              " -e isakmp.exchangetype -e isakmp.flags -e isakmp.messageid -e isakmp.length -e isakmp.nextpayload"
              " -e isakmp.payloadlength -e _ws.malformed -e _ws.expert.message 2>/dev/null",
          status);
  ASSERT_EQ(status, 0) << "tshark: apt-get install tshark (or run scripts/deps test)";
  std::filesystem::remove_all(folder);

  std::ostringstream wanted;
  for (const Bytes& message : sent) {
    std::string next = "0";
    std::string lengths;
    for (std::size_t at = isakmp_header_bytes; at < message.size();) {
      const auto length = load_be<std::uint16_t>(message.data() + at + 2);
      next = at == isakmp_header_bytes ? "128" : next;
      next += message[at] == records_payload ? ",128" : ",0";
      lengths += (lengths.empty() ? "" : ",") + std::to_string(length);
      at += length;
    }
    wanted << to_hex(ByteView(message).first(8)) << ';' << to_hex(ByteView(message).subspan(8, 8))
           << ";0x10;240;0x00;0x" << to_hex(ByteView(message).subspan(20, 4)) << ';' << message.size() << ';' << next
           << ';' << lengths << ";;\n";
  }
  EXPECT_EQ(seen, wanted.str());
}

}  // namespace
}  // namespace sealcast::isakmp
