// What a standard TLS 1.2 client is told where the server's configuration allows one (P1): one line, which says what
// this port is for. Nothing secret, and nothing of any group (H4).
#pragma once

#include <string>

namespace sealcast::keyserver {

// One line of text with its newline: product, version, the key server's id, what is served here and what is not given.
std::string standard_answer(const std::string& key_server_id);

}  // namespace sealcast::keyserver
