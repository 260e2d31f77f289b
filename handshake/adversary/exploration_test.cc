// Explores breadth-first what a peer can send: from every state of every flow, all sequences of up to four messages
// (SEALCAST_DEPTH=N: of up to N). "Established" must be reached along the listed flows alone, and every state must be a
// place of a list. A dead end stays dead (the table shows it), so only living ends are followed. To return to a state,
// the test plays the same messages again.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <set>

#include "handshake/adversary/stage.h"

namespace sealcast::handshake::adversary {
namespace {

std::size_t depth() {
  const char* text = std::getenv("SEALCAST_DEPTH");
  return text == nullptr ? 4 : std::strtoul(text, nullptr, 10);
}

// The messages sent so far, and which of them were part of a handshake.
struct Path {
  std::size_t position = 0;  // the flow was followed this far
  std::vector<Stimulus> then;
};

class Exploration : public ::testing::TestWithParam<Play> {
 protected:
  // The peer's messages in the order sent, without warnings and data: a flow's list has the same form.
  static std::vector<std::pair<Message, Keys>> peer_messages(const Path& path) {
    std::vector<std::pair<Message, Keys>> list;
    const auto steps = definition(GetParam().flow).steps;
    const auto keys = [](Message message, Keys under) {
      return message == Message::finished || message == Message::change_cipher_spec ? under : Keys::none;
    };
    for (std::size_t i = 0; i < path.position && i < steps.size(); ++i)
      if (steps[i].from != GetParam().real) list.push_back({steps[i].message, keys(steps[i].message, steps[i].keys)});
    for (const Stimulus& stimulus : path.then)
      if (stimulus.kind == Stimulus::Kind::step)
        list.push_back({stimulus.step.message, keys(stimulus.step.message, stimulus.step.keys)});
    return list;
  }

  // Does some flow's list of the peer's messages begin with this one? whole: are they equal?
  static bool in_a_list(const std::vector<std::pair<Message, Keys>>& list, bool whole, std::optional<Flow> flow) {
    const bool multicast = definition(GetParam().flow).multicast;
    for (const FlowDefinition& candidate : flow_definitions) {
      // A standard client follows the server; every other end is pinned to its flow.
      const bool possible =
          candidate.flow == GetParam().flow || (GetParam().real == Side::client && !multicast && !candidate.multicast);
      if (!possible || (flow && candidate.flow != *flow)) continue;
      std::vector<std::pair<Message, Keys>> wanted;
      for (const Step& step : candidate.steps)
        if (step.from != GetParam().real)
          wanted.push_back(
              {step.message, step.message == Message::finished || step.message == Message::change_cipher_spec
                                 ? step.keys
                                 : Keys::none});
      if (wanted.size() < list.size() || (whole && wanted.size() != list.size())) continue;
      if (std::equal(list.begin(), list.end(), wanted.begin())) return true;
    }
    return false;
  }

  // The path's position in the flow's list.
  static std::size_t place(const Path& path) {
    const auto steps = definition(GetParam().flow).steps;
    std::size_t at = path.position;
    const auto skip_own = [&] {
      while (at < steps.size() && steps[at].from == GetParam().real)
        ++at;
    };
    skip_own();
    for (const Stimulus& stimulus : path.then) {
      if (stimulus.kind == Stimulus::Kind::step && at < steps.size()) ++at;
      skip_own();
    }
    return at;
  }

  // Sequences that begin as the list does are found from the next state: do not follow them twice.
  static bool straight_on(const Path& path) {
    const auto steps = definition(GetParam().flow).steps;
    const Stimulus& first = path.then.front();
    return path.position < steps.size() && first.kind == Stimulus::Kind::step &&
           first.step.message == steps[path.position].message;
  }

  static std::string text(const Path& path) {
    std::string line = title(GetParam().flow, GetParam().real) + ", straight to " + std::to_string(path.position);
    for (const Stimulus& stimulus : path.then)
      line += ", then " + stimulus.name;
    return line;
  }
};

TEST_P(Exploration, SEQ1_FIN1_CCS1_NoOtherWayAndNoOtherState) {
  const Play play = GetParam();
  std::set<std::string> states;
  std::size_t sequences = 0, established = 0;
  std::deque<Path> queue;
  for (const std::size_t position : waiting_positions(play.flow, play.real))
    queue.push_back({position, {}});
  const std::size_t end = definition(play.flow).steps.size();
  while (!queue.empty()) {
    const Path path = std::move(queue.front());
    queue.pop_front();
    for (const Stimulus& stimulus : stimuli(play.flow, other(play.real), place(path))) {
      // Foreign content types and broken records act like a dead end in every respect.
      if (stimulus.kind == Stimulus::Kind::record && stimulus.type > 23) continue;
      Path next = path;
      next.then.push_back(stimulus);
      Stage stage(play.flow, play.real);
      ASSERT_TRUE(stage.walk_to(path.position)) << text(path);
      for (const Stimulus& one : path.then)
        stage.send(one);
      ASSERT_FALSE(stage.real().failed()) << text(path);
      stage.send(stimulus);
      ++sequences;
      const Verdict verdict = stage.verdict();
      if (verdict.failed) continue;
      const auto list = peer_messages(next);
      EXPECT_TRUE(in_a_list(list, false, std::nullopt)) << text(next) << ": alive outside of every list";
      if (verdict.established_events > 0 || verdict.established) {
        ++established;
        EXPECT_EQ(verdict.established_events, 1) << text(next);
        EXPECT_TRUE(in_a_list(list, true, verdict.established_flow))
            << text(next) << ": established outside of the lists";
      }
      if (next.then.size() < depth() && !verdict.closed && !straight_on(next)) queue.push_back(std::move(next));
      states.insert(stage.probe());
    }
  }
  std::set<std::string> listed;
  for (const std::size_t position : waiting_positions(play.flow, play.real)) {
    Stage stage(play.flow, play.real);
    stage.walk_to(position);
    listed.insert(stage.probe());
  }
  listed.insert("established");
  // A server may lead a standard client into the other standard flow while both are still the same.
  if (!definition(play.flow).multicast && play.real == Side::client)
    for (const Flow flow : {Flow::standard, Flow::standard_mutual})
      for (const std::size_t position : waiting_positions(flow, play.real)) {
        Stage stage(flow, play.real);
        stage.walk_to(position);
        listed.insert(stage.probe());
      }
  for (const std::string& state : states)
    EXPECT_TRUE(listed.contains(state) || state == "closed") << "a state that is no place of a list: " << state;
  EXPECT_GT(established, 0u);
  EXPECT_GT(sequences, 20 * end);
  RecordProperty("sequences", std::to_string(sequences));
  RecordProperty("states", std::to_string(states.size()));
  std::cout << "  " << title(play.flow, play.real) << ": " << sequences << " sequences, " << states.size()
            << " states, established in " << established << "\n";
}

INSTANTIATE_TEST_SUITE_P(EveryFlow, Exploration, ::testing::ValuesIn(all_plays()),
                         [](const auto& play) { return play_name(play.param); });

}  // namespace
}  // namespace sealcast::handshake::adversary
