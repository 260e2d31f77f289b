// How a group's members join: suite, variant, orders and proofs, and which of them go together. The same keys in both
// daemons' files: the key server's say what it runs, the member's what it accepts (H4, P31, H30).
#include <algorithm>

#include "controlplane/config/table_reader.h"
#include "handshake/flows.h"

namespace sealcast::config {
namespace {

using handshake::Authentication;
using handshake::CipherSuite;
using handshake::FlagPlace;
using handshake::SecondCcs;

bool is_rsa_only(CipherSuite suite) {
  return suite == CipherSuite::rsa_aes_128_gcm_sha256 || suite == CipherSuite::rsa_aes_256_gcm_sha384;
}

constexpr CipherSuite variant1_suite = CipherSuite::rsa_aes_256_gcm_sha384;
constexpr const char* join_about = "see \"How members join\"";

// The values in the file, and where they stand; null: not there.
struct FlowKeys {
  handshake::GroupFlow flow;
  const Node* suite = nullptr;
  const Node* variant = nullptr;
  const Node* order = nullptr;
  const Node* flag = nullptr;
  const Node* auth = nullptr;
};

// In variant 1 the key travels under the member's RSA key; in the others over an ECDHE exchange.
void check_suite(TableReader& table, const Node* suite, handshake::GroupFlow& flow) {
  if (flow.variant == 1 && !suite) flow.suite = variant1_suite;
  if (!suite || is_rsa_only(flow.suite) == (flow.variant == 1)) return;
  table.note(*suite, "suite",
             flow.variant == 1
                 ? "expected RSA_AES_128_GCM_SHA256 or RSA_AES_256_GCM_SHA384 with variant 1, got " + suite->describe()
                 : "expected ECDHE_ECDSA_ or ECDHE_RSA_ followed by AES_128_GCM_SHA256 or AES_256_GCM_SHA384 with "
                   "variant " +
                       std::to_string(flow.variant) + ", got " + suite->describe());
}

void check_authentication(TableReader& table, const Node* auth, const handshake::GroupFlow& flow) {
  const bool password = flow.authentication != Authentication::certificate;
  if (flow.variant == 3 && !password) {
    table.note(auth ? *auth : table.node(), "auth",
               "expected \"password\" or \"certificate+password\" with variant 3, " +
                   (auth ? "got " + auth->describe() : "but the key is missing"));
  } else if (flow.variant != 3 && password) {
    table.note(*auth, "auth",
               "expected \"certificate\" with variant " + std::to_string(flow.variant) +
                   " (passwords are variant 3), got " + auth->describe());
  }
}

FlowKeys read_keys(TableReader& table, EspMode& mode) {
  const auto by_name = [](std::string_view text) -> Result<CipherSuite> {
    if (const auto found = handshake::cipher_suite(text)) return *found;
    return fail(
        "expected ECDHE_ECDSA_, ECDHE_RSA_ or (variant 1) RSA_ followed by AES_128_GCM_SHA256 or AES_256_GCM_SHA384, "
        "got \"" +
        std::string(text) + "\"");
  };
  FlowKeys keys;
  handshake::GroupFlow& flow = keys.flow;
  keys.suite = table.parsed("suite", flow.suite, Need::optional,
                            "a cipher suite such as \"ECDHE_ECDSA_AES_256_GCM_SHA384\"", by_name,
                            {join_about, in_quotes(handshake::name(flow.suite)) + "; with variant 1 " +
                                             in_quotes(handshake::name(variant1_suite))});
  keys.variant = table.integer("variant", flow.variant, 1, 3, join_about);
  keys.order =
      table.choice<SecondCcs>("second_ccs", flow.second_ccs, Need::optional,
                              {{"claim5", SecondCcs::claim5}, {"description", SecondCcs::description}}, join_about);
  keys.flag = table.choice<FlagPlace>(
      "flag", flow.flag_place, Need::optional,
      {{"certificate-request", FlagPlace::certificate_request}, {"smke", FlagPlace::smke}}, join_about);
  keys.auth = table.choice<Authentication>("auth", flow.authentication, Need::optional,
                                           {{"certificate", Authentication::certificate},
                                            {"password", Authentication::password},
                                            {"certificate+password", Authentication::certificate_and_password}},
                                           join_about);
  table.choice<EspMode>("mode", mode, Need::optional,
                        {{"tunnel-preserve", EspMode::tunnel_preserve},
                         {"tunnel-fixed", EspMode::tunnel_fixed},
                         {"transport", EspMode::transport}},
                        "how packets travel on black, see \"Modes\"");
  return keys;
}

// What is left out has its default.
handshake::GroupFlow pinned(TableReader& table, FlowKeys keys) {
  handshake::GroupFlow& flow = keys.flow;
  check_suite(table, keys.suite, flow);
  check_authentication(table, keys.auth, flow);
  if (flow.variant == 1) {
    if (keys.order)
      table.note(*keys.order, "second_ccs", "expected variant 2 or 3: variant 1 has no second ChangeCipherSpec");
    flow.second_ccs = SecondCcs::not_applicable;
  }
  if (flow.authentication == Authentication::password) {
    // No client is asked for a certificate, so there is no CertificateRequest to carry the flag.
    if (keys.flag && flow.flag_place == FlagPlace::certificate_request)
      table.note(
          *keys.flag, "flag",
          "expected \"smke\" with auth = \"password\": there is no CertificateRequest, got " + keys.flag->describe());
    flow.flag_place = FlagPlace::smke;
  }
  return flow;
}

// What is left out may be anything that goes together with what is given (H30). Two things are never the key server's
// choice: what the member proves itself with, and a shorter AES key than the default's.
std::vector<handshake::GroupFlow> every_flow_of(const FlowKeys& keys) {
  const handshake::GroupFlow& given = keys.flow;
  std::vector<handshake::GroupFlow> flows;
  for (const CipherSuite suite :
       {given.suite, CipherSuite::ecdhe_rsa_aes_256_gcm_sha384, CipherSuite::rsa_aes_256_gcm_sha384})
    for (const std::uint8_t variant : {2, 1, 3})
      for (const SecondCcs order : {SecondCcs::claim5, SecondCcs::description, SecondCcs::not_applicable})
        for (const FlagPlace place : {FlagPlace::certificate_request, FlagPlace::smke}) {
          if ((keys.suite && suite != given.suite) || (keys.variant && variant != given.variant) ||
              (keys.order && order != given.second_ccs) || (keys.flag && place != given.flag_place) ||
              (variant == 1) != (order == SecondCcs::not_applicable) ||
              (given.authentication == Authentication::password && place != FlagPlace::smke))
            continue;
          const handshake::GroupFlow flow{suite, variant, order, place, given.authentication};
          if (handshake::flow_for(flow) && std::find(flows.begin(), flows.end(), flow) == flows.end())
            flows.push_back(flow);
        }
  return flows;
}

}  // namespace

void read_numbers(TableReader& table, Numbers& numbers) {
  const Node* node = table.choice<Numbers>(
      "numbers", numbers, Need::optional, {{"timed", Numbers::timed}, {"foreign", Numbers::foreign}},
      {"`\"foreign\"` where others than Sealcast send, see \"Foreign senders\"", "`\"timed\"`"});
  if (node && numbers == Numbers::foreign)
    table.warn(
        *node, "numbers",
        "with \"foreign\" a gateway that joins opens what was recorded of the running epoch, and one forged packet "
        "of a member silences a sender until the next epoch; use it only where others than Sealcast send");
}

void read_group_flow(TableReader& table, handshake::GroupFlow& flow, EspMode& mode) {
  const std::size_t before = table.report().errors.size();
  const FlowKeys keys = read_keys(table, mode);
  if (table.report().errors.size() == before) flow = pinned(table, keys);
}

void read_member_flows(TableReader& table, std::vector<handshake::GroupFlow>& flows, EspMode& mode) {
  enum class Choice : std::uint8_t { pinned, automatic };
  const std::size_t before = table.report().errors.size();
  Choice choice = Choice::pinned;
  const Node* node = table.choice<Choice>(
      "flow", choice, Need::optional, {{"pinned", Choice::pinned}, {"auto", Choice::automatic}},
      "`\"auto\"`: what `suite`, `variant`, `second_ccs` and `flag` leave out is the key server's choice, see \"How "
      "members join\"");
  const FlowKeys keys = read_keys(table, mode);
  if (table.report().errors.size() != before) return;
  if (choice == Choice::pinned) {
    flows = {pinned(table, keys)};
    return;
  }
  auto every = every_flow_of(keys);
  if (every.empty())
    table.note(*node, "flow",
               "expected suite, variant, second_ccs, flag and auth that go together, got " + node->describe() +
                   " with values that leave the key server no choice");
  else
    flows = std::move(every);
}

}  // namespace sealcast::config
