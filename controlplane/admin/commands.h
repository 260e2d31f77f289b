// Typed requests and answers over AdminServer. The other end is ask() in app/cli/asking.h.
#pragma once

#include <string>
#include <utility>

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
