// Brings about on a device what a port must let through (multicast_macs.h): a list of multicast addresses where the
// device takes one, else all multicast, else everything. Knows no DPDK.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "dataplane/packet/multicast_macs.h"

namespace sealcast::dataplane {

// What a device can be asked for. 0: done. -ENOTSUP: it has no such thing. Any other negative number: it refused.
class FilterDevice {
 public:
  virtual ~FilterDevice() = default;
  virtual int set_list(std::span<const MacAddress> addresses) = 0;  // replaces the former list
  virtual int all_multicast(bool on) = 0;
  virtual int promiscuous(bool on) = 0;
};

class MulticastFilter {
 public:
  // What was brought about. point_to_point: the device takes none of the three, and hears its one peer anyway.
  enum class Level : std::uint8_t { none, list, all_multicast, promiscuous, point_to_point };

  // Widens before it narrows, so that no wanted frame is lost in between. log takes a line the first time a device says
  // that it has no such thing, or refuses; not again for as long as this object lives.
  Level apply(FilterDevice& device, const PortFilter& wanted, const std::function<void(const std::string&)>& log);

  // The device was closed: a new one starts with nothing set.
  void forget() { all_ = promiscuous_ = false; }

 private:
  bool all_ = false, promiscuous_ = false;  // as set by us
  bool told_list_ = false, told_all_ = false, told_promiscuous_ = false;
};

std::string_view name(MulticastFilter::Level level);  // "list", "all multicast", "promiscuous", "point to point"

}  // namespace sealcast::dataplane
