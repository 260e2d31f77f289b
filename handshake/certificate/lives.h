// When the certificates and revocation lists at hand end, and which lists may take the place of others (H19).
#pragma once

#include <string_view>
#include <vector>

#include "base/life_watch.h"
#include "base/result.h"
#include "handshake/endpoint.h"

namespace sealcast::handshake {

// Of each certificate of the chain.
std::vector<Life> lives_of(const Credentials& credentials);
Result<std::vector<Life>> lives_of_chain(std::string_view chain_pem);
// Of each authority, and of each list that says when it ends.
std::vector<Life> lives_of(const TrustStore& trust);

// Whether next may take the place of current: no list of an authority that both have is missing or older, and none is
// signed by another key than its authority's. An error says which.
Result<void> may_replace(const TrustStore& next, const TrustStore& current);

}  // namespace sealcast::handshake
