#include "dataplane/dpdk/multicast_filter.h"

#include <cerrno>
#include <cstring>

namespace sealcast::dataplane {
namespace {

void log_once(bool& logged, const std::function<void(const std::string&)>& log, const std::string& what, int result) {
  if (logged) return;
  logged = true;
  log("the driver " +
      (result == -ENOTSUP ? "has no " + what : "refused " + what + " (" + std::strerror(-result) + ")"));
}

}  // namespace

MulticastFilter::Level MulticastFilter::apply(FilterDevice& device, const PortFilter& wanted,
                                              const std::function<void(const std::string&)>& log) {
  const auto narrow_promiscuous = [&] {
    if (promiscuous_ && device.promiscuous(false) == 0) promiscuous_ = false;
  };
  const auto go_promiscuous = [&] {
    const int result = promiscuous_ ? 0 : device.promiscuous(true);
    promiscuous_ = result == 0;
    if (!promiscuous_) log_once(logged_promiscuous_, log, "promiscuous mode", result);
    return promiscuous_;
  };
  if (wanted.promiscuous && go_promiscuous()) return Level::promiscuous;

  if (!wanted.all_multicast) {
    const int result = device.set_list(wanted.multicast);
    if (result == 0) {
      if (all_ && device.all_multicast(false) == 0) all_ = false;
      if (!wanted.promiscuous) narrow_promiscuous();
      return Level::list;
    }
    log_once(logged_list_, log, "list of " + std::to_string(wanted.multicast.size()) + " multicast addresses", result);
  }
  const int result = all_ ? 0 : device.all_multicast(true);
  all_ = result == 0;
  if (all_) {
    if (!wanted.promiscuous) narrow_promiscuous();
    return Level::all_multicast;
  }
  log_once(logged_all_, log, "all-multicast mode", result);
  return go_promiscuous() ? Level::promiscuous : Level::point_to_point;
}

std::string_view name(MulticastFilter::Level level) {
  switch (level) {
    case MulticastFilter::Level::list:
      return "list";
    case MulticastFilter::Level::all_multicast:
      return "all multicast";
    case MulticastFilter::Level::promiscuous:
      return "promiscuous";
    case MulticastFilter::Level::point_to_point:
      return "point to point";
    case MulticastFilter::Level::none:
      break;
  }
  return "none";
}

}  // namespace sealcast::dataplane
