#include "controlplane/cluster/outage.h"

#include <algorithm>
#include <utility>

namespace sealcast::cluster {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr auto complain_again = 60s;  // while it lasts

std::string in_ms(SteadyTime::duration time) {
  return std::to_string(std::chrono::duration_cast<milliseconds>(time).count());
}

}  // namespace

// Long before the session ends: an answer takes a few milliseconds, and is asked for all the time.
void Outage::watch(const std::string& incarnation, SteadyTime last, SteadyTime end, milliseconds lease_ttl,
                   SteadyTime now) {
  if (now - last < std::max<milliseconds>(1500ms, lease_ttl * 3 / 8)) {
    if (std::exchange(silent_, false))
      host_.note(NodeHost::Weight::event, Event("cluster_etcd_answers", {{"incarnation", Word{incarnation}}}));
    return;
  }
  if (std::exchange(silent_, true)) return;
  host_.note(NodeHost::Weight::warning, Event("cluster_etcd_silent", {{"for_ms", Word{in_ms(now - last)}},
                                                                      {"cut_off_in_ms", Word{in_ms(end - now)}},
                                                                      {"why", last_error()}}));
}

// Once for each reason, and from time to time while it lasts.
void Outage::cut_off(const std::string& why, bool had, SteadyTime now) {
  silent_ = false;
  const bool same = why_ == why;
  if (had || why_.empty() || first_joining()) since_ = now;
  why_ = why;
  if (!had && now < complain_at_ && (same || now < complain_at_ - complain_again + 5s)) return;
  complain_at_ = now + complain_again;
  Event event("cluster_cut_off", {{"why", why}});
  if (!had) event.add({"for_ms", Word{in_ms(now - since_)}});
  host_.note(NodeHost::Weight::error, event);
}

std::string Outage::alarm(SteadyTime last, SteadyTime now) const {
  return silent_ ? "etcd has not answered for " + in_ms(now - last) + " ms: " + last_error() : "";
}

}  // namespace sealcast::cluster
