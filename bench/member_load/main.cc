// member_load: see README.md.
#include <csignal>
#include <cstdio>
#include <fstream>
#include <optional>

#include "bench/member_load/crowd.h"

namespace {

using sealcast::Result;
using sealcast::load::Crowd;
using sealcast::load::Options;
using sealcast::load::OwnServer;

int complain(const std::string& what) {
  std::fprintf(stderr, "member_load: %s\n", what.c_str());
  return 1;
}

Result<void> measure(Crowd& crowd, const Options& options) {
  SEALCAST_TRY(crowd.prepare());
  SEALCAST_TRY(crowd.join_all());
  for (std::uint32_t i = 0; i < options.rekeys; ++i)
    SEALCAST_TRY(crowd.rekey());
  crowd.hold();
  if (options.surge) SEALCAST_TRY(crowd.surge());
  if (options.storm) SEALCAST_TRY(crowd.storm());
  if (options.check && !crowd.complete()) return sealcast::fail("not every member is joined at the end");
  return {};
}

int run(const Options& options) {
  // Each connection needs a socket here and one at the key server, which inherits the limit.
  if (auto room = sealcast::load::raise_descriptor_limit(connections_of(options) + 200); !room)
    return complain(room.error().message);
  std::optional<OwnServer> own;
  if (!options.server) {
    auto started = OwnServer::start(options);
    if (!started) return complain(started.error().message);
    own.emplace(std::move(*started));
    if (options.keep) std::fprintf(stderr, "member_load: the key server's files are in %s\n", own->folder().c_str());
  }
  asio::io_context io(1);
  Crowd crowd(io, options, own ? &*own : nullptr);
  const auto done = measure(crowd, options);
  const std::string figures = json(crowd.summary());
  if (options.json && *options.json != "-") std::ofstream(*options.json) << figures;
  const bool only_json = options.json && *options.json == "-";
  std::fputs((only_json ? figures : text(crowd.summary()) + "\n" + table(crowd.summary())).c_str(), stdout);
  return done ? 0 : complain(done.error().message);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  Options options;
  if (const auto code = sealcast::load::parse(argc, argv, options)) return *code;
  return run(options);
}
