#include "app/gateway/reload_check.h"

namespace sealcast::gateway {

Result<void> check_against_bypass(const std::vector<BypassRule>& running,
                                  const std::vector<config::MemberGroup>& groups) {
  for (const BypassRule& rule : running)
    for (const config::MemberGroup& group : groups)
      for (const Selector& selector : group.selectors)
        if (overlap(rule, selector))
          return fail("group \"" + group.id + "\": the bypass rule \"" + rule.name +
                      "\", which holds until the gateway is restarted, lets " + selector.text() +
                      " pass in clear; restart the gateway");
  return {};
}

}  // namespace sealcast::gateway
