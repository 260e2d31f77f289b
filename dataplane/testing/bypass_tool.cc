// A gateway with a rule of every kind that has a form of its own, and its listener on black, on a pipe: other
// implementations check the gateway against it. Answers each line:
//   red FRAME | black FRAME   "ok FRAME" or "drop REASON" (an Ethernet frame, hexadecimal)
//   hear FRAME                the listener receives this on black
//   join GROUP [SOURCE…]      the listener joins this group, too
//   leave                     the listener leaves all groups
//   wait MILLISECONDS         time passes
// The last four answer with a line "say FRAME" for each frame that is due, then "end".
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>

#include "dataplane/membership/listener.h"
#include "dataplane/testing/harness.h"

namespace {

using namespace sealcast;
using namespace sealcast::dataplane;
using namespace sealcast::dataplane::testing;

std::vector<BypassRule> rules() {
  std::vector<BypassRule> out = default_bypass_rules();
  for (const BypassProtocol protocol : {BypassProtocol::pim, BypassProtocol::arp, BypassProtocol::nd,
                                        BypassProtocol::ospf, BypassProtocol::vrrp, BypassProtocol::stp})
    out.push_back(bypass_rule(protocol));
  return out;
}

PathSettings settings() {
  PathSettings out;
  out.bypass = rules();
  return out;
}

membership::Listener::Options listener_options() {
  membership::Listener::Options out;
  out.mac = {2, 0, 0, 0, 0, 1};
  out.address4 = IpAddress::parse("10.9.0.2").value();
  out.random = [](std::uint32_t bound) { return bound; };
  return out;
}

}  // namespace

int main() {
  Harness path(Harness::Options{.path = settings()});
  path.install_tv();
  membership::Listener listener(listener_options());
  membership::Interests wanted;
  membership::Time now{std::chrono::hours(1)};
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command, word;
    words >> command;
    if (command == "red" || command == "black") {
      words >> word;
      const auto frame = from_hex(word);
      if (!frame || word.empty()) return 2;
      path.advance(std::chrono::seconds(2));  // each frame finds its rate unused and no loop
      const Outcome outcome = command == "red" ? path.red(*frame) : path.black(*frame);
      if (outcome.verdict == Verdict::forward)
        std::printf("ok %s\n", to_hex(outcome.frame).c_str());
      else
        std::printf("drop %s\n", std::string(name(outcome.reason)).c_str());
      std::fflush(stdout);
      continue;
    }
    if (command == "hear") {
      words >> word;
      const auto frame = from_hex(word);
      if (!frame || word.empty()) return 2;
      listener.receive(*frame, now);
    } else if (command == "join") {
      if (!(words >> word)) return 2;
      membership::Filter& filter = wanted[IpAddress::parse(word).value()];
      filter = {};
      for (std::string source; words >> source;) {
        filter.exclude = false;
        filter.sources.insert(IpAddress::parse(source).value());
      }
      listener.want(wanted, now);
    } else if (command == "leave") {
      wanted.clear();
      listener.want(wanted, now);
    } else if (command == "wait") {
      if (!(words >> word)) return 2;
      now += std::chrono::milliseconds(std::stoi(word));
    } else {
      std::fprintf(stderr, "bypass_tool: unknown command\n");
      return 2;
    }
    for (const Bytes& frame : listener.due(now, 100))
      std::printf("say %s\n", to_hex(frame).c_str());
    std::printf("end\n");
    std::fflush(stdout);
  }
  return 0;
}
