// Makes a device let through what a port needs (multicast_macs.h): by a list of multicast addresses if the device takes
// one, else all multicast, else everything. Knows no DPDK.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "dataplane/packet/multicast_macs.h"

namespace sealcast::dataplane {

// A device's filter calls. 0: done. -ENOTSUP: not available. Any other negative number: refused.
class FilterDevice {
 public:
  virtual ~FilterDevice() = default;
  virtual int set_list(std::span<const MacAddress> addresses) = 0;  // replaces the former list
  virtual int all_multicast(bool on) = 0;
  virtual int promiscuous(bool on) = 0;
};

class MulticastFilter {
 public:
  // The result. point_to_point: the device takes none of the three, and receives from its one peer anyway.
  enum class Level : std::uint8_t { none, list, all_multicast, promiscuous, point_to_point };

  // Widens before it narrows, so that no wanted frame is lost in between. log gets a line the first time a device has
  // no such call, or refuses one; not again during this object's life.
  Level apply(FilterDevice& device, const PortFilter& wanted, const std::function<void(const std::string&)>& log);

  // Call it when the device was closed: a new one starts with nothing set.
  void forget() { all_ = promiscuous_ = false; }

 private:
  bool all_ = false, promiscuous_ = false;  // as set by us
  bool logged_list_ = false, logged_all_ = false, logged_promiscuous_ = false;
};

std::string_view name(MulticastFilter::Level level);  // "list", "all multicast", "promiscuous", "point to point"

}  // namespace sealcast::dataplane
