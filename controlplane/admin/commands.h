// Typed requests and answers over AdminServer and ask().
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "controlplane/admin/admin_client.h"
#include "controlplane/admin/admin_server.h"
#include "controlplane/admin/messages.h"

namespace sealcast::admin {

// The daemon's side. give: Result<Request::Answer>, or an alternative of it, from const Request&. Before start().
template <typename Request, typename Give>
void answer(AdminServer& server, Give give) {
  server.handle(Request::command, [give = std::move(give)](const std::string& json) {
    const auto request = read_request<Request>(json);
    return request ? to_json(give(*request)) : error_json(request.error());
  });
}

}  // namespace sealcast::admin
