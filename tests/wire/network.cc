#include "tests/wire/network.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>
#include <thread>
#include <vector>

namespace sealcast::wire {

bool command(const std::string& words) {
  std::istringstream stream(words);
  std::vector<std::string> list;
  for (std::string word; stream >> word;)
    list.push_back(word);
  std::vector<char*> arguments;
  for (std::string& word : list)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, 1);
    ::dup2(null, 2);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Namespace::Namespace(const std::string& name, const std::string& address) {
  const std::string unique = name + std::to_string(::getpid() % 100'000);
  name_ = "sct-" + unique;
  near_ = "n" + unique;  // interface names have at most 15 characters
  far_ = "f" + unique;
  address_ = address;
  ready_ = command("ip netns add " + name_) &&
           command("ip netns exec " + name_ + " sysctl -qw net.ipv6.conf.all.disable_ipv6=1") && make_link();
}

bool Namespace::make_link() {
  return command("ip link add " + near_ + " type veth peer name " + far_ + " netns " + name_) &&
         // A host's own IPv6 packets would be one more thing to count.
         command("sysctl -qw net.ipv6.conf." + near_ + ".disable_ipv6=1") &&
         command("ip -n " + name_ + " addr add " + address_ + " dev " + far_) &&
         command("ip -n " + name_ + " link set " + far_ + " up") &&
         command("ip -n " + name_ + " route add 239.0.0.0/8 dev " + far_) &&
         // A veth leaves UDP checksums to hardware it does not have; see docs/ports.md.
         command("ip netns exec " + name_ + " ethtool -K " + far_ + " tx off") &&
         command("ip link set " + near_ + " up");
}

Namespace::~Namespace() {
  command("ip link del " + near_);
  command("ip netns del " + name_);
}

int Namespace::udp_socket() const {
  int made = -1;
  // setns changes the calling thread alone; a socket stays where it was made.
  std::thread([&] {
    const int there = ::open(("/run/netns/" + name_).c_str(), O_RDONLY | O_CLOEXEC);
    if (there < 0) return;
    if (::setns(there, CLONE_NEWNET) == 0) made = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ::close(there);
  }).join();
  return made;
}

}  // namespace sealcast::wire
