// Every flow, attacked at every place: messages deleted, doubled, swapped and inserted, ChangeCipherSpec everywhere,
// Finished bent in every bit. The stimuli come from a puppet that follows a scripted order, valid or not.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "handshake/testing/puppet.h"

namespace sealcast::handshake {
namespace {

using namespace testing;  // NOLINT: the fixtures

struct Play {
  Flow flow;
  Side puppet;
};
std::string play_name(const ::testing::TestParamInfo<Play>& info) {
  return test_name(info.param.flow) +
         (info.param.puppet == Side::client ? "_AttackingTheServer" : "_AttackingTheClient");
}
std::vector<Play> every_play() {
  std::vector<Play> plays;
  for (const Flow flow : every_flow)
    for (const Side puppet : {Side::client, Side::server})
      plays.push_back({flow, puppet});
  return plays;
}

// One entry of a script: a step of the puppet's, or of the real end's (then nothing is done), or anything else.
struct Act {
  Step step;
  std::function<void(Puppet&)> instead;  // set: called in place of sending the step
};

struct PlayResult {
  bool failed = false;
  bool established = false;
  bool told_established = false;
  int issued = 0;
  bool keying_sent = false;
  int alerts = 0;
  std::string why;
};

class Scripted : public ::testing::TestWithParam<Play> {
 protected:
  static std::vector<Step> steps() {
    const auto list = definition(GetParam().flow).steps;
    return {list.begin(), list.end()};
  }
  static std::vector<Act> acts(const std::vector<Step>& steps) {
    std::vector<Act> list;
    for (const Step& step : steps)
      list.push_back({step, nullptr});
    return list;
  }
  static bool own(const Step& step) { return step.from == GetParam().puppet; }

  // Lets the puppet play the script against a fresh real end. coalesce: everything the puppet sends between two turns
  // of the real end arrives in one piece.
  static PlayResult play(const std::vector<Act>& script, const std::function<void(Puppet&, World&)>& prepare = nullptr,
                         bool coalesce = false) {
    static std::map<Flow, std::unique_ptr<World>> worlds;  // certificates are made once
    auto& kept = worlds[GetParam().flow];
    if (!kept) kept = std::make_unique<World>(GetParam().flow);
    World& world = *kept;
    world.authority.issued = 0;
    Puppet puppet(GetParam().puppet, world, definition(GetParam().flow).multicast);
    if (prepare) prepare(puppet, world);
    const auto real = GetParam().puppet == Side::client ? world.server() : world.client();
    puppet.receive(real->take_output());
    Bytes held;
    const auto flush = [&] {
      if (!held.empty() && !real->failed()) (void)real->receive(held, test_now);
      held.clear();
      puppet.receive(real->take_output());
    };
    for (const Act& act : script) {
      if (real->failed()) break;
      if (act.instead)
        act.instead(puppet);
      else if (own(act.step))
        puppet.send(act.step);
      else {
        flush();
        continue;
      }
      const Bytes bytes = puppet.take_output();
      held.insert(held.end(), bytes.begin(), bytes.end());
      if (!coalesce) flush();
    }
    flush();
    PlayResult result;
    result.failed = real->failed();
    result.established = real->established();
    result.issued = world.authority.issued;
    for (const Event& event : real->take_events()) {
      result.told_established |= std::holds_alternative<Established>(event);
      result.keying_sent |= std::holds_alternative<KeyingSent>(event);
    }
    result.alerts = puppet.alert_records();
    result.why = real->failure() ? real->failure()->message() : "no failure";
    return result;
  }

  // Fatal: exactly one alert, nothing told, and no group state to a client that had not proved itself.
  static void expect_fatal(const PlayResult& result, const std::string& what) {
    EXPECT_TRUE(result.failed) << what;
    EXPECT_FALSE(result.established) << what;
    EXPECT_EQ(result.alerts, 1) << what << ": " << result.why;
  }
  // Index of the puppet's last own step.
  static std::size_t last_own(const std::vector<Step>& list) {
    std::size_t last = 0;
    for (std::size_t i = 0; i < list.size(); ++i)
      if (own(list[i])) last = i;
    return last;
  }
  static std::size_t smke(const std::vector<Step>& list) {
    const auto at = std::find_if(list.begin(), list.end(),
                                 [](const Step& step) { return step.message == Message::server_master_key_exchange; });
    return static_cast<std::size_t>(at - list.begin());
  }
  // Up to here (exclusive) a server must not have asked for the group's keying: after the client's last message before
  // SMKE.
  static std::size_t proof_complete(const std::vector<Step>& list) {
    std::size_t i = smke(list);
    while (i > 0 && list[i - 1].from != Side::client)
      --i;
    return i;
  }
};

TEST_P(Scripted, TheUnbentFlowIsEstablished) {
  for (const bool coalesce : {false, true}) {
    const PlayResult result = play(acts(steps()), nullptr, coalesce);
    EXPECT_TRUE(result.established && result.told_established) << result.why;
    EXPECT_EQ(result.alerts, 0);
  }
}

TEST_P(Scripted, SEQ1_SEQ2_SEQ3_FIN1_EachMessageDeleted) {
  const auto list = steps();
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!own(list[i])) continue;
    // Without its CertificateRequest a mutual handshake is simply the server-authenticated one, told as such.
    if (GetParam().flow == Flow::standard_mutual && list[i].message == Message::certificate_request) continue;
    auto script = acts(list);
    script.erase(script.begin() + static_cast<std::ptrdiff_t>(i));
    const PlayResult result = play(script);
    const std::string what = "without step " + std::to_string(i) + " " + std::string(name(list[i].message));
    EXPECT_FALSE(result.established || result.told_established) << what << ": " << result.why;
    if (i != last_own(list)) expect_fatal(result, what);
    if (i < proof_complete(list)) {
      EXPECT_EQ(result.issued, 0) << what;
    }
  }
}

TEST_P(Scripted, SEQ1_EachMessageDoubled) {
  const auto list = steps();
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!own(list[i])) continue;
    for (const bool coalesce : {false, true}) {
      auto script = acts(list);
      script.insert(script.begin() + static_cast<std::ptrdiff_t>(i), script[i]);
      expect_fatal(play(script, nullptr, coalesce),
                   "step " + std::to_string(i) + " " + std::string(name(list[i].message)) + " doubled");
    }
  }
}

TEST_P(Scripted, SEQ1_EachMessageSwappedWithTheNext) {
  const auto list = steps();
  for (std::size_t i = 0; i + 1 < list.size(); ++i) {
    if (!own(list[i]) || !own(list[i + 1])) continue;
    auto script = acts(list);
    std::swap(script[i], script[i + 1]);
    expect_fatal(play(script), "steps " + std::to_string(i) + " and the next swapped");
  }
}

TEST_P(Scripted, SEQ1_SEQ4_EveryTypeInsertedEverywhere) {
  const auto list = steps();
  std::vector<std::uint8_t> types = {0,  1,  2,  3,  4,  11,  12,  13,  14,  15, 16,
                                     20, 21, 22, 67, 77, 240, 241, 242, 254, 255};
  for (std::size_t i = 0; i <= list.size(); ++i)
    for (const std::uint8_t type : types) {
      // The very message that is due, sent now and once more: EachMessageDoubled looks at that.
      const auto due = std::find_if(list.begin() + static_cast<std::ptrdiff_t>(i), list.end(), own);
      if (due != list.end() && message_of(type) == due->message) continue;
      // A CertificateRequest before ServerHelloDone makes a standard handshake a mutual one, told as such.
      if (GetParam().flow == Flow::standard && due != list.end() && due->message == Message::server_hello_done &&
          type == 13)
        continue;
      auto script = acts(list);
      // With the content a real message of this type would have, as far as the puppet can know it now.
      const auto known = message_of(type);
      const Keys keys = i > smke(list) ? Keys::channel : Keys::first;
      const bool can_sign = type != 15 && type != 12;
      script.insert(script.begin() + static_cast<std::ptrdiff_t>(i),
                    Act{{}, [=](Puppet& puppet) {
                          if (known && can_sign)
                            puppet.send({GetParam().puppet, *known, keys});
                          else
                            puppet.send_handshake(type, Bytes(4, 0));
                        }});
      const std::string what = type_name(type) + " inserted before step " + std::to_string(i);
      const PlayResult result = play(script);
      EXPECT_TRUE(result.failed) << what;
      EXPECT_EQ(result.alerts, 1) << what << ": " << result.why;
      if (i <= last_own(list)) {
        EXPECT_FALSE(result.told_established) << what;
      }
      if (i < proof_complete(list)) {
        EXPECT_EQ(result.issued, 0) << what;
      }
    }
}

TEST_P(Scripted, SEQ1_ApplicationDataIsFatalBeforeTheEnd) {
  const auto list = steps();
  for (std::size_t i = 0; i <= last_own(list); ++i) {
    auto script = acts(list);
    script.insert(script.begin() + static_cast<std::ptrdiff_t>(i),
                  Act{{}, [](Puppet& puppet) {
                        puppet.send_record(ContentType::application_data, Bytes{11, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1});
                      }});
    expect_fatal(play(script), "application data before step " + std::to_string(i));
  }
}

TEST_P(Scripted, CCS1_CCS2_ChangeCipherSpecAtEveryPosition) {
  const auto list = steps();
  for (std::size_t i = 0; i <= list.size(); ++i)
    for (const int copies : {1, 2})
      for (const bool coalesce : {false, true}) {
        auto script = acts(list);
        script.insert(script.begin() + static_cast<std::ptrdiff_t>(i),
                      Act{{}, [copies](Puppet& puppet) {
                            for (int n = 0; n < copies; ++n)
                              puppet.send_record(ContentType::change_cipher_spec, Bytes{1});
                          }});
        const std::string what = std::to_string(copies) + " ChangeCipherSpec before step " + std::to_string(i);
        const PlayResult result = play(script, nullptr, coalesce);
        EXPECT_TRUE(result.failed) << what;
        EXPECT_EQ(result.alerts, 1) << what << ": " << result.why;
        if (i <= last_own(list)) {
          EXPECT_FALSE(result.told_established) << what;
        }
      }
}

TEST_P(Scripted, CCS4_ABentChangeCipherSpecIsFatalEvenInItsPlace) {
  const auto list = steps();
  const std::vector<Bytes> bodies = {{0}, {2}, {255}, {1, 1}, {0, 1}, {1, 0}};
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!own(list[i]) || list[i].message != Message::change_cipher_spec) continue;
    for (const Bytes& body : bodies) {
      auto script = acts(list);
      script[i].instead = [&body](Puppet& puppet) { puppet.send_record(ContentType::change_cipher_spec, body); };
      expect_fatal(play(script), "ChangeCipherSpec of " + std::to_string(body.size()) + " bytes");
    }
    auto script = acts(list);
    script[i].instead = [](Puppet& puppet) { puppet.send_record(ContentType::change_cipher_spec, {}); };
    expect_fatal(play(script), "empty ChangeCipherSpec");
  }
}

TEST_P(Scripted, CCS5_AHandshakeMessageSplitAroundAChangeCipherSpecIsFatal) {
  const auto list = steps();
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!own(list[i]) || list[i].message != Message::change_cipher_spec) continue;
    auto script = acts(list);
    script.insert(script.begin() + static_cast<std::ptrdiff_t>(i),
                  Act{{}, [](Puppet& puppet) {
                        puppet.send_record(ContentType::handshake, Bytes{20, 0});  // the beginning of a Finished
                      }});
    expect_fatal(play(script), "ChangeCipherSpec within a message");
  }
}

TEST_P(Scripted, CCS5_TrailingBytesAfterTheLastMessageOfAFlightAreFatal) {
  const auto list = steps();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const bool last_of_flight = own(list[i]) && (i + 1 == list.size() || !own(list[i + 1]));
    if (!last_of_flight || list[i].message == Message::change_cipher_spec) continue;
    auto script = acts(list);
    // The message and one byte more in one record: what follows is never read as a message's beginning.
    script[i].instead = [&list, i](Puppet& puppet) {
      puppet.send(list[i]);
      puppet.send_record(ContentType::handshake, Bytes{1});
    };
    const PlayResult result = play(script, nullptr, true);
    EXPECT_TRUE(result.failed) << "trailing byte after step " << i << ": " << result.why;
  }
}

TEST_P(Scripted, FIN2_EveryFlippedBitOfFinishedIsFatal) {
  for (const Step& step : steps()) {
    if (!own(step) || step.message != Message::finished) continue;
    for (std::size_t bit = 0; bit < 96; ++bit) {
      const PlayResult result = play(acts(steps()), [&](Puppet& puppet, World&) {
        puppet.bend = [&](const Step& now, SensitiveBytes& body) {
          if (now == step) body[bit / 8] = static_cast<std::uint8_t>(body[bit / 8] ^ (1u << (bit % 8)));
        };
      });
      expect_fatal(result, "bit " + std::to_string(bit));
      EXPECT_NE(result.why.find("finished_invalid"), std::string::npos) << result.why;
      if (step.keys == Keys::first && definition(GetParam().flow).multicast) {
        EXPECT_EQ(result.issued, 0);
      }
      EXPECT_FALSE(result.told_established);
    }
  }
}

TEST_P(Scripted, FIN2_FinishedOfAnotherLengthIsFatal) {
  for (const Step& step : steps()) {
    if (!own(step) || step.message != Message::finished) continue;
    for (const std::size_t size : {0u, 1u, 11u, 13u, 36u}) {
      const PlayResult result = play(acts(steps()), [&](Puppet& puppet, World&) {
        puppet.bend = [&](const Step& now, SensitiveBytes& body) {
          if (now == step) body.resize(size);
        };
      });
      expect_fatal(result, std::to_string(size) + " bytes");
      EXPECT_NE(result.why.find("decode_error"), std::string::npos) << result.why;
    }
  }
}

TEST_P(Scripted, FIN2_FIN4_FinishedOfTheOtherSideOrOfTheOtherSecretIsFatal) {
  const auto list = steps();
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!own(list[i]) || list[i].message != Message::finished) continue;
    auto script = acts(list);
    const Keys other = list[i].keys == Keys::first ? Keys::channel : Keys::first;
    script[i].instead = [other](Puppet& puppet) { puppet.send({GetParam().puppet, Message::finished, other}); };
    expect_fatal(play(script), "Finished of the other secret");
    // FIN-4: what the real end itself would send, reflected
    script[i].instead = [&list, i](Puppet& puppet) {
      puppet.finished_label = list[i].from == Side::client ? Side::server : Side::client;
      puppet.send(list[i]);
    };
    const PlayResult reflected = play(script);
    expect_fatal(reflected, "Finished with the other side's label");
    EXPECT_NE(reflected.why.find("finished_invalid"), std::string::npos) << reflected.why;
  }
}

TEST_P(Scripted, PARSE1_EveryMessageTruncatedOrWithTrailingBytesIsFatal) {
  for (const Step& step : steps()) {
    if (!own(step) || step.message == Message::change_cipher_spec) continue;
    for (const int change : {-1, 1}) {
      if (change < 0 && step.message == Message::server_hello_done) continue;  // empty already
      const PlayResult result = play(acts(steps()), [&](Puppet& puppet, World&) {
        puppet.bend = [&](const Step& now, SensitiveBytes& body) {
          if (now == step) body.resize(change < 0 ? body.size() - 1 : body.size() + 1);
        };
      });
      expect_fatal(result, std::string(name(step.message)) + (change < 0 ? " truncated" : " with a trailing byte"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Plays, Scripted, ::testing::ValuesIn(every_play()), play_name);

}  // namespace
}  // namespace sealcast::handshake
