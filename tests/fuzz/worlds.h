// One world for each variant of a handshake, with certificates made once for the process. Inputs refer to places in the
// table: new variants go to its end.
#pragma once

#include <array>
#include <memory>

#include "handshake/flows.h"
#include "handshake/testing/in_process.h"
#include "tests/fuzz/input.h"

namespace sealcast::handshake::fuzz {

using sealcast::fuzz::Input;
using sealcast::fuzz::require;

struct Way {
  bool multicast = true;
  bool mutual = false;  // standard flows: with a client certificate
  GroupFlow flow = {};
  bool automatic = false;  // the member allows every way's flow of this kind of suite, and follows the server (H30)
};

inline constexpr auto ecdhe_suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;
inline constexpr auto rsa_suite = CipherSuite::rsa_aes_128_gcm_sha256;
inline constexpr std::array all_ways = {
    Way{true, false, {ecdhe_suite, 2, SecondCcs::claim5, FlagPlace::certificate_request, Authentication::certificate}},
    Way{false, false, {}},
    Way{false, true, {}},
    Way{true,
        false,
        {ecdhe_suite, 2, SecondCcs::description, FlagPlace::certificate_request, Authentication::certificate}},
    Way{true, false, {ecdhe_suite, 2, SecondCcs::claim5, FlagPlace::smke, Authentication::certificate}},
    Way{true,
        false,
        {rsa_suite, 1, SecondCcs::not_applicable, FlagPlace::certificate_request, Authentication::certificate}},
    Way{true, false, {rsa_suite, 1, SecondCcs::not_applicable, FlagPlace::smke, Authentication::certificate}},
    Way{true, false, {ecdhe_suite, 3, SecondCcs::claim5, FlagPlace::certificate_request, Authentication::password}},
    Way{true,
        false,
        {ecdhe_suite, 3, SecondCcs::description, FlagPlace::certificate_request, Authentication::password}},
    Way{true,
        false,
        {ecdhe_suite, 3, SecondCcs::claim5, FlagPlace::certificate_request, Authentication::certificate_and_password}},
    Way{true,
        false,
        {ecdhe_suite, 3, SecondCcs::description, FlagPlace::smke, Authentication::certificate_and_password}},
    Way{true,
        false,
        {ecdhe_suite, 2, SecondCcs::description, FlagPlace::certificate_request, Authentication::certificate},
        true},
    Way{true,
        false,
        {ecdhe_suite, 3, SecondCcs::claim5, FlagPlace::smke, Authentication::certificate_and_password},
        true},
};

inline std::unique_ptr<testing::World> make_world(const Way& way) {
  if (way.multicast && !flow_for(way.flow)) return nullptr;  // not supported in this version
  const bool rsa = server_authentication(way.flow.suite) == ServerAuthentication::rsa;
  const auto key = rsa ? testing::KeyKind::rsa2048 : testing::KeyKind::p256;
  auto world = std::make_unique<testing::World>(key, key, way.flow.suite);
  if (!way.multicast) {
    world->make_standard(way.mutual);
    return world;
  }
  world->authority.flow = way.flow;
  world->client_config.multicast = MulticastWish{"tv", "ks.example", {way.flow}};
  world->server_config.key_server_id = "ks.example";
  world->server_config.realm = "fuzz";
  if (way.automatic)
    for (const Way& other : all_ways)
      if (other.multicast && other.flow.suite == way.flow.suite)
        world->client_config.multicast->flows.push_back(other.flow);
  if (way.flow.authentication == Authentication::password) world->client_config.credentials = Credentials();
  world->client_config.password = [] {
    PasswordCredential credential{"anna", SecretBytes(6)};
    std::copy_n("secret", 6, credential.secret.data());
    return Result<PasswordCredential>(std::move(credential));
  };
  return world;
}

// nullptr for variants that this version does not support.
inline testing::World* world_of(std::size_t way) {
  static std::array<std::unique_ptr<testing::World>, all_ways.size()> worlds;
  static std::array<bool, all_ways.size()> made{};
  if (!made[way]) {
    worlds[way] = make_world(all_ways[way]);
    made[way] = true;
  }
  return worlds[way].get();
}

}  // namespace sealcast::handshake::fuzz
