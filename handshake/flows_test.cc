// The documented flows and their graph are the ones in the code, and the lists meet the method's requirements.
#include "handshake/flows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/testing/places.h"

namespace sealcast::handshake {
namespace {

const std::string protocol_page = places::source_folder() + "/docs/protocol.md";
const std::string graph_page = places::source_folder() + "/docs/handshake-states.md";

std::string contents(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::size_t index_of(Flow flow, Side from, Message message, Keys keys = Keys::none) {
  const auto steps = definition(flow).steps;
  return static_cast<std::size_t>(std::find(steps.begin(), steps.end(), Step{from, message, keys}) - steps.begin());
}

std::vector<Flow> of_variant(std::uint8_t variant) {
  std::vector<Flow> flows;
  for (const FlowDefinition& flow : flow_definitions)
    if (flow.variant == variant) flows.push_back(flow.flow);
  return flows;
}

TEST(Flows, TheDocumentationHoldsTheSameLists) {
  const std::string text = contents(protocol_page);
  for (const FlowDefinition& flow : flow_definitions) {
    const std::string block = "Flow `" + std::string(name(flow.flow)) + "`:\n\n```\n" + flow_text(flow.flow) + "```\n";
    EXPECT_NE(text.find(block), std::string::npos) << "docs/protocol.md lacks:\n" << block;
  }
}

// SEALCAST_WRITE_GRAPH=1 in the environment writes the page anew.
TEST(Flows, TheStateGraphIsTheCommittedOne) {
  const std::string page =
      "# The handshake's states\n\n"
      "Made from the lists of handshake/flow_lists.h; a test compares. A state is what has passed so far: flows that\n"
      "began alike share their states, and from each state only the arrows shown lead on. Every other message is "
      "fatal.\n"
      "Two flows part only where the server speaks, or behind ServerMasterKeyExchange, which names the order: a "
      "member\n"
      "that allows several follows the server (H30). `C` and `S` say who sends.\n\n```mermaid\n" +
      flow_graph() + "```\n";
  if (std::getenv("SEALCAST_WRITE_GRAPH") != nullptr) std::ofstream(graph_page) << page;
  EXPECT_EQ(contents(graph_page), page)
      << "run this test with SEALCAST_WRITE_GRAPH=1 to write docs/handshake-states.md";
}

TEST(Flows, P3_P21_P22_UpToTheServersFirstChangeCipherSpecVariant2IsTheStandardHandshake) {
  const auto plain = definition(Flow::standard_mutual).steps;
  EXPECT_EQ(plain.back().message, Message::finished);
  for (const Flow flow : of_variant(2)) {
    const auto steps = definition(flow).steps;
    for (std::size_t i = 0; i + 1 < plain.size(); ++i)
      EXPECT_EQ(steps[i], plain[i]) << i;
    EXPECT_EQ(steps[plain.size() - 1].message, Message::server_master_key_exchange) << "P22: in place of Finished";
  }
}

TEST(Flows, P25_TheServersSecondChangeCipherSpecComesFirstOrLast) {
  for (const FlowDefinition& flow : flow_definitions) {
    if (flow.second_ccs == SecondCcs::not_applicable) continue;
    const auto server = index_of(flow.flow, Side::server, Message::change_cipher_spec, Keys::channel);
    const auto client = index_of(flow.flow, Side::client, Message::change_cipher_spec, Keys::channel);
    EXPECT_EQ(server < client, flow.second_ccs == SecondCcs::claim5) << name(flow.flow);
    EXPECT_EQ(flow.steps.back(), (Step{Side::server, Message::finished, Keys::channel})) << "H3";
  }
}

TEST(Flows, P13_P19_Variant1) {
  const FlowDefinition& flow = definition(Flow::variant1);
  for (const Side side : {Side::client, Side::server}) {
    EXPECT_FALSE(flow.has(side, Message::client_key_exchange)) << "P13";
    EXPECT_FALSE(flow.has(side, Message::server_key_exchange));
  }
  const auto smke = index_of(Flow::variant1, Side::server, Message::server_master_key_exchange);
  for (std::size_t i = 0; i < smke; ++i) {
    EXPECT_NE(flow.steps[i].message, Message::change_cipher_spec) << "P14";
    EXPECT_NE(flow.steps[i].message, Message::finished) << "P14";
  }
  EXPECT_EQ(flow.steps[smke - 1], (Step{Side::client, Message::certificate_verify})) << "P15, P16";
  EXPECT_EQ(flow.steps[smke + 1], (Step{Side::server, Message::change_cipher_spec, Keys::channel})) << "P17";
  EXPECT_EQ(flow.steps[smke + 2], (Step{Side::server, Message::finished, Keys::channel})) << "P17";
  EXPECT_EQ(flow.steps[smke + 3], (Step{Side::client, Message::change_cipher_spec, Keys::channel})) << "P18";
  EXPECT_EQ(flow.steps[smke + 4], (Step{Side::client, Message::finished, Keys::channel})) << "P18";
  EXPECT_EQ(flow.steps.size(), smke + 5) << "P19: the client's Finished closes it";
}

TEST(Flows, P28_P30_Variant3IsVariant2WithARequestBeforeSmke) {
  for (const SecondCcs order : {SecondCcs::claim5, SecondCcs::description}) {
    GroupFlow two, three;
    two.second_ccs = three.second_ccs = order;
    three.variant = 3;
    three.authentication = Authentication::certificate_and_password;
    const auto plain = definition(*flow_for(two)).steps;
    const auto asks = definition(*flow_for(three)).steps;
    std::vector<Step> without(asks.begin(), asks.end());
    const auto request = std::find(without.begin(), without.end(), Step{Side::server, Message::client_auth_request});
    ASSERT_NE(request, without.end());
    EXPECT_EQ(*(request - 1), (Step{Side::server, Message::change_cipher_spec, Keys::first}));
    EXPECT_EQ(*(request + 1), (Step{Side::client, Message::client_auth_response}));
    EXPECT_EQ((request + 2)->message, Message::server_master_key_exchange);
    without.erase(request, request + 2);
    EXPECT_TRUE(std::equal(without.begin(), without.end(), plain.begin(), plain.end())) << "P30";
    // With a password alone the three messages about the client's certificate are missing, and nothing else.
    three.authentication = Authentication::password;
    std::vector<Step> bare(asks.begin(), asks.end());
    std::erase_if(bare, [](const Step& step) {
      return step == Step{Side::server, Message::certificate_request} ||
             step == Step{Side::client, Message::certificate} ||
             step == Step{Side::client, Message::certificate_verify};
    });
    const auto password = definition(*flow_for(three)).steps;
    EXPECT_TRUE(std::equal(bare.begin(), bare.end(), password.begin(), password.end()));
  }
}

TEST(Flows, FlowForRefusesWhatDoesNotGoTogether) {
  int flows = 0;
  for (const std::uint8_t variant : {0, 1, 2, 3, 4})
    for (const SecondCcs order : {SecondCcs::not_applicable, SecondCcs::claim5, SecondCcs::description})
      for (const Authentication authentication :
           {Authentication::certificate, Authentication::password, Authentication::certificate_and_password})
        for (const bool rsa : {false, true}) {
          GroupFlow group;
          group.suite = rsa ? CipherSuite::rsa_aes_128_gcm_sha256 : CipherSuite::ecdhe_rsa_aes_128_gcm_sha256;
          group.variant = variant;
          group.second_ccs = order;
          group.authentication = authentication;
          const bool certificate = authentication == Authentication::certificate;
          const bool ordered = order != SecondCcs::not_applicable;
          const bool sound = (variant == 1 && rsa && certificate) || (variant == 2 && !rsa && ordered && certificate) ||
                             (variant == 3 && !rsa && ordered && !certificate);
          EXPECT_EQ(flow_for(group).has_value(), sound) << "variant " << int{variant} << (rsa ? " RSA" : " ECDHE");
          flows += sound ? 1 : 0;
        }
  EXPECT_EQ(flows, 3 + 2 + 4);
}

}  // namespace
}  // namespace sealcast::handshake
