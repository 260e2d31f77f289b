#include "controlplane/keyserver/connection/standard_answer.h"

namespace sealcast::keyserver {

std::string standard_answer(const std::string& key_server_id) {
  return "Sealcast " SEALCAST_VERSION " key server " + key_server_id +
         ": this port serves multicast groups to their members. You completed a standard TLS 1.2 handshake, and no "
         "group "
         "state is given on it; a member joins with sealcast-gateway.\n";
}

}  // namespace sealcast::keyserver
