// Rekeying by datagram with the real key server and real agents; the test is the network between their data planes.
#include "controlplane/member/testing/together.h"
#include "handshake/crypto/aead.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using testing::FakeDataPlane;
using testing::Together;

class ByDatagram : public Together {
 protected:
  void adjust(config::KeyserverGroup& group) override {
    group.rekey = config::Rekeying::multicast;
    group.rekey_on_leave = true;
    group.activation_delay = 1600ms;  // copies every 200 ms, given up after 800 ms
  }

  // As a gateway opens it (RFC 4303, RFC 4106); empty: it has no key for it, or the tag is wrong.
  static std::optional<GroupDatagram> open(const FakeDataPlane& plane, const std::vector<std::uint8_t>& esp) {
    const auto spi = load_be<std::uint32_t>(esp.data());
    for (const auto& [key, held] : plane.held) {
      for (const InboundSa& sa : held.value.inbound) {
        if (sa.key.spi != spi) continue;
        handshake::DirectionKeys keys;
        keys.key = SecretBytes(sa.key.key_size);
        std::copy_n(sa.key.key.data(), sa.key.key_size, keys.key.data());
        std::copy(sa.key.salt.begin(), sa.key.salt.end(), keys.salt.data());
        handshake::AesGcm gcm(keys, handshake::AesGcm::Direction::open);
        const ByteView all(esp);
        Bytes text(esp.size() - 16 - handshake::gcm_tag_size);
        if (!gcm.open(load_be<std::uint64_t>(esp.data() + 8), all.first(8), all.subspan(16), text)) return std::nullopt;
        EXPECT_EQ(load_be<std::uint32_t>(esp.data() + 4), load_be<std::uint32_t>(esp.data() + 12));
        EXPECT_GE(load_be<std::uint32_t>(esp.data() + 8), 60'000u) << "a time in the number, from the epoch's zero on";
        EXPECT_LT(load_be<std::uint32_t>(esp.data() + 8), 90'000u);
        EXPECT_EQ(text.back(), group_datagram_next_header);
        EXPECT_EQ(text.size() % 4, 0u);
        text.resize(text.size() - 2 - text[text.size() - 2]);
        return GroupDatagram{key.first, key.second, text};
      }
    }
    return std::nullopt;
  }

  // Carries what senders put on black to all others; lost_for: to none of these.
  void carry() {
    for (const auto& from : members_) {
      for (const auto& [group, esp] : std::exchange(from->plane.sealed, {})) {
        ++carried_;
        last_ = esp;
        for (const auto& to : members_) {
          if (to == from || lost_for_.count(to.get()) != 0) continue;
          if (auto datagram = open(to->plane, esp)) to->plane.events.datagrams.push_back(std::move(*datagram));
        }
      }
    }
  }
  template <typename Condition>
  bool run(Condition condition, std::chrono::milliseconds limit = 15s) {
    return until(
        [&] {
          carry();
          return condition();
        },
        limit);
  }
  static std::uint64_t count(const Member& member, const char* what) { return member.group()["datagrams"][what]; }
  bool active_everywhere(std::uint64_t above) {
    return std::all_of(members_.begin(), members_.end(), [&](const auto& member) {
      const auto group = member->group();
      return group["state"] != "joined" || (group["epoch"] > above && group["epoch_state"] == "active");
    });
  }

  int carried_ = 0;
  std::vector<std::uint8_t> last_;
  std::set<const Member*> lost_for_;
};

TEST_F(ByDatagram, OneDatagramRekeysAllReceivers) {
  Member& studio = join("studio", config::MemberRole::sender);
  Member& home = join("home", config::MemberRole::receiver);
  Member& attic = join("attic", config::MemberRole::receiver);
  for (std::uint64_t round = 1; round <= 3; ++round) {
    const std::uint64_t old = home.epoch();
    ASSERT_TRUE(server_->rekey("tv"));
    ASSERT_TRUE(run([&] { return active_everywhere(old); })) << admin::to_json(home.agent->status());
    ASSERT_TRUE(run([&] { return studio.epoch() == home.epoch(); }));
    EXPECT_EQ(count(home, "taken"), round);
    EXPECT_EQ(count(attic, "taken"), round);
    EXPECT_EQ(studio.epoch(), home.epoch());
    expect_heard(studio, home, home.epoch());
    expect_heard(studio, attic, home.epoch());
  }
  EXPECT_GE(carried_, 3);
}

TEST_F(ByDatagram, WhoMissesEveryCopyIsToldOverItsConnectionAndFollowsTheNextDatagram) {
  Member& studio = join("studio", config::MemberRole::sender);
  Member& home = join("home", config::MemberRole::receiver);
  Member& attic = join("attic", config::MemberRole::receiver);
  lost_for_ = {&attic};
  std::uint64_t old = home.epoch();
  ASSERT_TRUE(server_->rekey("tv"));
  ASSERT_TRUE(run([&] { return active_everywhere(old); }));
  EXPECT_EQ(count(home, "taken"), 1u);
  EXPECT_EQ(count(attic, "taken"), 0u);
  EXPECT_EQ(attic.group()["joins"], 1) << "it never lost its connection";
  EXPECT_EQ(carried_, 3) << "repeated while somebody was missing";
  expect_heard(studio, attic, attic.epoch());

  lost_for_.clear();
  old = home.epoch();
  ASSERT_TRUE(server_->rekey("tv"));
  ASSERT_TRUE(run([&] { return active_everywhere(old); }));
  EXPECT_EQ(count(attic, "taken"), 1u) << "the path came with the GroupUpdate";
}

// A member that was shut out keeps all it learned: its keys, its path, and the datagram under the old epoch, which it
// can open.
TEST_F(ByDatagram, H11_ARevokedMemberGetsNothingOutOfTheDatagram) {
  Member& studio = join("studio", config::MemberRole::sender);
  Member& home = join("home", config::MemberRole::receiver);
  Member& attic = join("attic", config::MemberRole::receiver);
  // A second rekey, so that its path has followed the tree before.
  std::uint64_t old = home.epoch();
  ASSERT_TRUE(server_->rekey("tv"));
  ASSERT_TRUE(run([&] { return active_everywhere(old); }));
  FakeDataPlane keeper;  // what the revoked one's data plane held
  for (const auto& [key, held] : attic.plane.held) {
    FakeDataPlane::Held copy;
    copy.value.group_id = held.value.group_id;
    for (const InboundSa& sa : held.value.inbound)
      copy.value.inbound.push_back({sa.key.clone()});
    keeper.held.emplace(key, std::move(copy));
  }
  old = home.epoch();
  ASSERT_TRUE(server_->revoke("attic", std::nullopt));
  ASSERT_TRUE(run([&] { return active_everywhere(old) && attic.group()["state"] != "joined"; }));
  EXPECT_EQ(count(home, "taken"), 2u);
  EXPECT_EQ(studio.epoch(), home.epoch());
  const auto read = open(keeper, last_);
  ASSERT_TRUE(read.has_value()) << "it reads the datagram itself";
  EXPECT_EQ(attic.plane.find(home.epoch()), nullptr);
  EXPECT_NE(attic.group()["state"], "joined");
  // Nothing it holds opens what comes under the new epoch.
  const auto* now = studio.plane.find(home.epoch());
  ASSERT_NE(now, nullptr);
  for (const std::uint32_t spi : now->outbound)
    for (const auto& [key, held] : keeper.held)
      for (const InboundSa& sa : held.value.inbound)
        EXPECT_NE(sa.key.spi, spi);
}

TEST_F(ByDatagram, ALeaveWithRekeyOnLeaveShutsTheLeaverOut) {
  join("studio", config::MemberRole::sender);
  Member& home = join("home", config::MemberRole::receiver);
  Member& attic = join("attic", config::MemberRole::receiver);
  const std::uint64_t old = home.epoch();
  attic.agent->stop();
  ASSERT_TRUE(run([&] { return home.epoch() > old && home.group()["epoch_state"] == "active"; }));
  EXPECT_EQ(count(home, "taken"), 1u);
  EXPECT_EQ(attic.plane.find(home.epoch()), nullptr);
}

// What members, or attackers on the way, can do with datagrams: nothing changes, and all are rekeyed in time.
TEST_F(ByDatagram, HostileDatagramsChangeNothing) {
  join("studio", config::MemberRole::sender);
  Member& home = join("home", config::MemberRole::receiver);
  std::uint64_t old = home.epoch();
  ASSERT_TRUE(server_->rekey("tv"));
  std::optional<GroupDatagram> good;
  ASSERT_TRUE(until([&] {
    const Member& studio = *members_.front();
    if (!studio.plane.sealed.empty()) good = open(home.plane, studio.plane.sealed.front().second);
    return good.has_value();
  }));
  // Every truncation; every byte bent, as many as the allowance of signatures and more.
  for (std::size_t cut = 0; cut < good->bytes.size(); cut += 7)
    home.plane.events.datagrams.push_back(
        {"tv", old, std::vector<std::uint8_t>(good->bytes.begin(), good->bytes.begin() + static_cast<long>(cut))});
  for (std::size_t at = 0; at < good->bytes.size(); ++at) {
    GroupDatagram bent = *good;
    bent.bytes[at] ^= 1;
    home.plane.events.datagrams.push_back(std::move(bent));
  }
  home.plane.events.datagrams.push_back({"other", old, good->bytes});
  home.plane.events.datagrams.push_back({"tv", old - 1, good->bytes});
  ASSERT_TRUE(until([&] { return home.plane.events.datagrams.empty(); }));
  EXPECT_EQ(count(home, "taken"), 0u);
  EXPECT_GT(count(home, "refused"), 0u);
  EXPECT_GT(count(home, "held_back"), 0u) << "few signatures are checked, however many datagrams come";
  EXPECT_LE(count(home, "refused") - good->bytes.size() / 7, 2u * good->bytes.size());
  EXPECT_EQ(home.epoch(), old);
  EXPECT_EQ(home.plane.held.size(), 1u);
  EXPECT_EQ(home.group()["joins"], 1) << "no datagram costs it its connection";
  // The flood used up the allowance: whether by a later copy or by its connection, it is rekeyed.
  ASSERT_TRUE(run([&] { return active_everywhere(old); }));
  // A replay of the right one is old now.
  const auto held_back = count(home, "held_back");
  home.plane.events.datagrams.push_back(*good);
  ASSERT_TRUE(until([&] { return home.plane.events.datagrams.empty(); }));
  EXPECT_EQ(count(home, "held_back"), held_back);
  EXPECT_GT(count(home, "old"), 0u);
}

}  // namespace
}  // namespace sealcast::member
