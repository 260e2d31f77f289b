// The data of Credentials and TrustStore (endpoint.h): parsed once, shared by all connections.
#pragma once

#include <string_view>
#include <vector>

#include "handshake/crypto/openssl_ptr.h"
#include "handshake/endpoint.h"

namespace sealcast::handshake {

struct CredentialsData {
  std::vector<X509Ptr> chain;    // leaf first
  std::vector<Bytes> chain_der;  // the same, as sent
  PkeyPtr key;                   // the leaf's
};

struct TrustStoreData {
  X509StorePtr store;  // anchors and lists; checks revocation when there is at least one list
};

// All certificates of a PEM text; at least one.
Result<std::vector<X509Ptr>> read_certificates(std::string_view pem);

// RSA of at least 2048 bits, EC of at least 256, Ed25519, Ed448 (H8).
bool strong_enough(EVP_PKEY* key);
// "RSA 1024", "EC P-224": for messages.
std::string describe(EVP_PKEY* key);

}  // namespace sealcast::handshake
