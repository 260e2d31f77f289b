// A network namespace with one veth pair into it, for tests: the near end stays in the test's namespace and is a
// gateway's red port; ordinary programs run at the far end, which has an address.
#pragma once

#include <string>

namespace sealcast::wire {

// Runs a command without a shell; true if it exits with 0. Its output is discarded.
bool command(const std::string& words);

class Namespace {
 public:
  // name: at most 8 characters, made unique with the process number. address: of the far end, "10.77.1.2/24".
  Namespace(const std::string& name, const std::string& address);
  ~Namespace();
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;

  bool ready() const { return ready_; }
  const std::string& near() const { return near_; }  // interface name
  const std::string& name() const { return name_; }  // as ip netns shows it
  // Deletes the veth pair and makes it again under the same names, like a machine that restarts behind a cable.
  void remove_link() { command("ip link del " + near_); }
  bool make_link();
  // A UDP socket made inside; -1 on failure. Closing it is the caller's.
  int udp_socket() const;

 private:
  std::string name_, near_, far_, address_;
  bool ready_ = false;
};

}  // namespace sealcast::wire
