// What an end does with every message in every reachable state of every flow, in both roles. The whole table is kept as
// text in golden/, one file a flow; the rules it must obey are asserted as well. After a wanted change:
//   SEALCAST_UPDATE_GOLDEN=1 build/dev/tests/handshake_adversary_test --gtest_filter='*Table*'
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/testing/places.h"
#include "handshake/adversary/stage.h"

namespace sealcast::handshake::adversary {
namespace {

std::string outcome(const Verdict& verdict, const std::string& before, const std::string& after) {
  if (verdict.failed && verdict.from_peer) return "ended by the peer's alert, nothing is answered";
  if (verdict.failed)
    return "fatal, " + std::string(name(alert_for(verdict.reason))) + ": " + std::string(name(verdict.reason));
  if (verdict.closed) return "closed";
  if (verdict.control > 0) return "taken";
  return before == after ? "ignored" : "-> " + after;
}

// The stimuli with the same outcome, wrapped.
std::string listed(const std::string& outcome, const std::vector<std::string>& names) {
  std::string text = "    " + outcome + "\n";
  std::string line = "       ";
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string word = " " + names[i] + (i + 1 < names.size() ? "," : "");
    if (line.size() + word.size() > 118) {
      text += line + "\n";
      line = "       ";
    }
    line += word;
  }
  return text + line + "\n";
}

bool may_come(const Play& play, std::size_t position, Message message, const std::string& state) {
  const auto steps = definition(play.flow).steps;
  if (position < steps.size() && steps[position].message == message) return true;
  // A standard client follows the server: with or without CertificateRequest.
  return !definition(play.flow).multicast &&
         (state + ",").find(" " + std::string(name(message)) + " from the ") != std::string::npos;
}

class Table : public ::testing::TestWithParam<Flow> {
 protected:
  static std::string dump(const Play& play);
  static void check_fatal(Stage& stage, const Verdict& before, const std::string& what);
};

// What "fatal" means: exactly one alert, no event, no key left; nothing is taken or sent any more.
void Table::check_fatal(Stage& stage, const Verdict& before, const std::string& what) {
  const Verdict after = stage.verdict();
  EXPECT_TRUE(after.failed) << what;
  EXPECT_FALSE(after.established) << what;
  EXPECT_EQ(after.alerts, after.from_peer ? 0 : 1) << what << ": " << after.why;
  if (!after.from_peer) {
    ASSERT_TRUE(after.alert_code) << what << ": the alert cannot be read under the keys in force; " << after.why;
    EXPECT_EQ(*after.alert_code, static_cast<std::uint8_t>(alert_for(after.reason))) << what;
  }
  EXPECT_EQ(after.established_events, before.established_events) << what;
  EXPECT_EQ(after.keying_sent, before.keying_sent) << what;
  EXPECT_EQ(after.issued, before.issued) << what;
  EXPECT_EQ(after.control, before.control) << what;
  EXPECT_EQ(after.passwords, before.passwords) << what;
  EXPECT_FALSE(stage.real().send(Keepalive{1})) << what;
  EXPECT_FALSE(stage.real().send_data(Bytes{1})) << what;
  const auto more = stage.real().receive(Bytes{22, 3, 3, 0, 1, 0}, testing::test_now);
  ASSERT_FALSE(more) << what;
  EXPECT_EQ(more.error().reason, Reason::connection_closed) << what;
  stage.real().close();
  EXPECT_TRUE(stage.real().take_output().empty()) << what;
  EXPECT_TRUE(stage.real().take_events().empty()) << what;
}

std::string Table::dump(const Play& play) {
  std::string text = title(play.flow, play.real) + "\n";
  for (const std::size_t position : waiting_positions(play.flow, play.real)) {
    Stage first(play.flow, play.real);
    EXPECT_TRUE(first.walk_to(position)) << first.verdict().why;
    const std::string state = first.probe();
    text += "\n  " + state + "\n";
    std::map<std::string, std::vector<std::string>> by_outcome;
    for (const Stimulus& stimulus : stimuli(play.flow, other(play.real), position)) {
      const std::string what = title(play.flow, play.real) + ", " + state + ", " + stimulus.name;
      Stage stage(play.flow, play.real);
      stage.walk_to(position);
      const Verdict before = stage.verdict();
      stage.send(stimulus);
      const Verdict after = stage.verdict();
      const bool warning = stimulus.name == "warning alert";
      const bool step = stimulus.kind == Stimulus::Kind::step;
      const bool next = step && state != "established" && may_come(play, position, stimulus.step.message, state) &&
                        (stimulus.step.message != Message::finished ||
                         stimulus.step.keys == definition(play.flow).steps[position].keys);
      const bool data = state == "established" && stimulus.type == 23 && stimulus.kind == Stimulus::Kind::record;
      const bool closing = state == "established" && stimulus.name == "close_notify";
      if (next || warning || data || closing)
        EXPECT_FALSE(after.failed) << what << ": " << after.why;
      else
        check_fatal(stage, before, what);
      by_outcome[outcome(after, state, after.failed ? "dead" : stage.probe())].push_back(stimulus.name);
    }
    for (const auto& [result, names] : by_outcome)
      text += listed(result, names);
  }
  return text;
}

TEST_P(Table, SEQ1_CCS1_FIN1_EveryStateTimesEveryMessage) {
  const std::string text = dump({GetParam(), Side::server}) + "\n" + dump({GetParam(), Side::client});
  const std::string path = places::source_folder() + "/handshake/adversary/golden/" + identifier(GetParam()) + ".txt";
  if (std::getenv("SEALCAST_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << text;
    GTEST_SKIP() << "wrote " << path;
  }
  std::ifstream file(path);
  std::stringstream kept;
  kept << file.rdbuf();
  EXPECT_EQ(kept.str(), text) << path << " says otherwise. If the change is wanted, write it anew with\n"
                              << "  SEALCAST_UPDATE_GOLDEN=1 <this program> --gtest_filter='*Table*'\n"
                              << "and look at the difference.";
}

INSTANTIATE_TEST_SUITE_P(EveryFlow, Table, ::testing::ValuesIn([] {
                           std::vector<Flow> flows;
                           for (const FlowDefinition& flow : flow_definitions)
                             flows.push_back(flow.flow);
                           return flows;
                         }()),
                         [](const auto& play) { return identifier(play.param); });

// Coverage of the lists, which are data: a real end sends each row of each list, and a real end takes it.
TEST(TableRows, EveryRowOfEveryFlowIsWalkedByBothEnds) {
  std::size_t rows = 0;
  std::string missing;
  for (const FlowDefinition& flow : flow_definitions)
    for (const Side real : {Side::client, Side::server}) {
      Stage stage(flow.flow, real);
      for (std::size_t i = 0; i < flow.steps.size(); ++i) {
        const Step& step = flow.steps[i];
        ++rows;
        const auto& seen = stage.puppet().seen();
        bool walked = std::find(seen.begin(), seen.end(), name(step.message)) != seen.end();
        if (step.from != real) {
          stage.send(step);
          walked = !stage.real().failed();
        }
        if (!walked) missing += "\n    " + title(flow.flow, real) + ", row " + std::to_string(i);
      }
    }
  EXPECT_EQ(missing, "");
  std::cout << "  rows of the flows: " << rows << " (both ends), never walked:" << (missing.empty() ? " none" : missing)
            << "\n";
}

// A sample of unknown types stands for all: one function decides what a type is.
TEST(TableTypes, SEQ1_EveryTypeIsEitherInAFlowOrUnknown) {
  std::set<Message> used;
  for (const FlowDefinition& flow : flow_definitions)
    for (const Step& step : flow.steps)
      used.insert(step.message);
  used.erase(Message::change_cipher_spec);
  std::size_t known = 0;
  for (int type = 0; type < 256; ++type) {
    const auto message = message_of(static_cast<std::uint8_t>(type));
    if (!message) continue;
    ++known;
    EXPECT_EQ(static_cast<int>(type_of(*message)), type);
    EXPECT_TRUE(used.contains(*message)) << name(*message) << " is in no flow";
  }
  EXPECT_EQ(known, used.size());
}

}  // namespace
}  // namespace sealcast::handshake::adversary
