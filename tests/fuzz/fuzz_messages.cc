// Every parser: the first byte chooses it, the rest is the message's body.
#include "handshake/certificate/multicast_extension.h"
#include "handshake/messages/alert.h"
#include "handshake/messages/certificate.h"
#include "handshake/messages/certificate_request.h"
#include "handshake/messages/certificate_verify.h"
#include "handshake/messages/change_cipher_spec.h"
#include "handshake/messages/client_auth.h"
#include "handshake/messages/client_hello.h"
#include "handshake/messages/client_key_exchange.h"
#include "handshake/messages/control_codec.h"
#include "handshake/messages/server_hello.h"
#include "handshake/messages/server_hello_done.h"
#include "handshake/messages/server_key_exchange.h"
#include "handshake/messages/server_master_key_exchange.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/length_mutator.h"

namespace {

using namespace sealcast;             // NOLINT: a fuzzer of it
using namespace sealcast::handshake;  // NOLINT
using fuzz::require;

// For messages with a unique encoding: decoding and encoding again must give the same bytes.
template <typename Decode>
void canonical(ByteView body, Decode decode) {
  const auto message = decode(body);
  if (!message) return;
  const auto again = encode(*message);
  require(again && std::equal(again->begin(), again->end(), body.begin(), body.end()));
}

// For messages with ignored parts: the decoded parts must survive a round trip unchanged.
template <typename Decode>
void stable(ByteView body, Decode decode) {
  const auto message = decode(body);
  if (!message) return;
  const auto once = encode(*message);
  if (!once) return;
  const auto back = decode(*once);
  require(back.has_value());
  const auto twice = encode(*back);
  require(twice && *once == *twice);
}

// Variant 1: the signed part is found by the lengths alone, before anything is decoded; both ways of reading the
// message must agree.
void sealed_smke(ByteView body) {
  const auto found = find_smke_signature(body);
  auto message = decode_sealed_master_key_exchange(body);
  if (found) require(found->signed_part.size() + 2 + 2 + found->signature.size() == body.size());
  if (!message) return;
  require(found.has_value() == (message->signature.size() >= 3));
  message->keying.premaster.data()[0] = 1;  // it is in sealed_keys; a real sender has it
  const auto again = encode(*message);
  require(again && std::equal(again->begin(), again->end(), body.begin(), body.end()));
  const auto signed_part = encode_signed_part(*message);
  if (found)
    require(std::equal(signed_part->begin(), signed_part->end(), found->signed_part.begin(), found->signed_part.end()));
}

void client_auth_request(ByteView body) {
  canonical(body, decode_client_auth_request);
  const auto message = decode_client_auth_request(body);
  if (!message) return;
  const auto proof = find_request_verify_data(body);
  require(proof && *proof == message->server_verify_data);
}

}  // namespace

SEALCAST_LENGTH_MUTATOR(1)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView body(data + 1, size - 1);
  switch (data[0]) {
    case 1:
      stable(body, decode_client_hello);
      break;
    case 2:
      stable(body, decode_server_hello);
      break;
    case 11:
      canonical(body, decode_certificate);
      break;
    case 12:
      canonical(body, decode_server_key_exchange);
      break;
    case 13:
      stable(body, decode_certificate_request);
      break;
    case 14:
      (void)decode_server_hello_done(body);
      break;
    case 15:
      canonical(body, decode_certificate_verify);
      break;
    case 16:
      canonical(body, decode_client_key_exchange);
      break;
    case 20:
      canonical(body, decode_finished);
      break;
    case 21:
      (void)decode_alert(body);
      (void)decode_change_cipher_spec(body);
      break;
    case 22:
      (void)decode_multicast_extension(body);
      break;
    case 240:
      (void)find_server_verify_data(body);
      canonical(body, decode_server_master_key_exchange);
      sealed_smke(body);
      break;
    case 241:
      client_auth_request(body);
      break;
    case 242:
      canonical(body, decode_client_auth_response);
      break;
    default:
      // 128 + a control type below 64, 192 + an optional one's lower bits
      if (data[0] >= 128) {
        const auto type = static_cast<std::uint8_t>(data[0] < 192 ? data[0] - 128 : data[0] - 192 + optional_control);
        const auto message = decode_control(type, body);
        if (message && *message) require(type_of(**message) == ControlType{type} && encode(**message).has_value());
      }
  }
  return 0;
}
