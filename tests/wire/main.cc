// sealcast-wire: the black network of the tests. README.md is its manual.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "dataplane/dpdk/eal.h"
#include "tests/wire/control.h"
#include "tests/wire/hub.h"

namespace sealcast::wire {
namespace {

std::atomic<bool> stop{false};

struct Options {
  std::vector<std::string> ports;
  std::string capture;
  std::string control;
  std::string partition;
  HubSettings hub;
  std::uint32_t memory_mb = 256;
  std::uint16_t mtu = 1600;
  bool verbose = false;
};

int complain(const std::string& message) {
  std::fprintf(stderr, "sealcast-wire: %s\n", message.c_str());
  return 1;
}

Result<std::vector<std::unique_ptr<dataplane::Port>>> open_ports(const Options& options) {
  std::vector<dataplane::PortSpec> specs;
  dataplane::EalOptions eal;
  eal.memory_mb = options.memory_mb;
  eal.log = [verbose = options.verbose](dataplane::LogLevel level, std::string_view line) {
    if (level >= dataplane::LogLevel::info && (verbose || !line.starts_with("dpdk: ")))
      std::fprintf(stderr, "sealcast-wire: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  for (const std::string& text : options.ports) {
    SEALCAST_TRY_ASSIGN(auto spec, dataplane::parse_port(text));
    // The wire shares its CPU with the gateways it joins; long rings bridge the time it does not run.
    if (spec.kind == dataplane::PortKind::virtio_user && spec.descriptors == 0) spec.descriptors = 4096;
    if (spec.kind == dataplane::PortKind::pci) eal.pci_devices.push_back(spec.target);
    specs.push_back(spec);
  }
  SEALCAST_TRY(dataplane::Eal::start(eal));
  std::vector<std::unique_ptr<dataplane::Port>> ports;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    // Enough for all frames that may wait on this port's links and lie in the others' rings.
    SEALCAST_TRY_ASSIGN(auto port,
                        dataplane::Port::open({"port " + std::to_string(i), specs[i], options.mtu, 1, 24576}));
    ports.push_back(std::move(port));
  }
  return ports;
}

int run(Options& options) {
  if (options.ports.size() < 2 || options.ports.size() > 64)
    return complain("--port: expected 2 to 64 ports, got " + std::to_string(options.ports.size()));
  if (auto ok = validate(options.hub.impairments); !ok) return complain(ok.error().message);
  if (!options.partition.empty()) {
    auto partition = Partition::parse(options.partition, static_cast<std::uint32_t>(options.ports.size()));
    if (!partition) return complain(partition.error().message);
    options.hub.partition = *partition;
  }
  std::unique_ptr<Capture> capture;
  if (!options.capture.empty()) {
    auto created = Capture::create(options.capture);
    if (!created) return complain(created.error().message);
    capture = std::move(*created);
  }
  auto ports = open_ports(options);
  if (!ports) return complain(ports.error().message);

  Hub hub(std::move(*ports), options.hub, std::move(capture));
  std::unique_ptr<ControlSocket> control;
  if (!options.control.empty()) {
    auto listening = ControlSocket::listen(options.control, hub);
    if (!listening) return complain(listening.error().message);
    control = std::move(*listening);
  }
  std::puts("READY");
  std::fflush(stdout);
  hub.run(stop);
  if (hub.statistics().capture_failed) return complain("the capture " + options.capture + " could not be written");
  return 0;
}

int parse_and_run(int argc, char** argv) {
  Options options;
  Impairments& i = options.hub.impairments;
  CLI::App app{"The black network as a process: every frame received on one port goes out on all others."};
  app.add_option("--port", options.ports, "A port string, e.g. virtio-user:/run/a.sock; two or more")->required();
  app.add_option("--pcap", options.capture, "Write every frame received, as received, to this file");
  app.add_option("--control", options.control,
                 "UNIX socket for commands (stats, partition 0,1/2, heal, drop 0.1, ...)");
  app.add_option("--seed", options.hub.seed, "Seed of all impairments; the same seed makes the same decisions");
  app.add_option("--drop", i.drop, "Probability that a frame is lost");
  app.add_option("--duplicate", i.duplicate, "Probability that a frame comes twice");
  app.add_option("--reorder", i.reorder, "Probability that a frame is overtaken by later ones");
  app.add_option("--reorder-depth", i.reorder_depth, "By how many (1 to 64)");
  app.add_option("--delay", i.delay_ms, "Delay of every frame, milliseconds");
  app.add_option("--jitter", i.jitter_ms, "The delay varies by so much either way, milliseconds");
  app.add_option("--partition", options.partition, "Islands of ports, e.g. 0,1/2");
  app.add_option("--nap-us", options.hub.nap_us, "Sleep of a wire that has nothing to do, microseconds")
      ->check(CLI::Range(1, 10000));
  app.add_option("--memory", options.memory_mb, "Hugepage memory, MiB");
  app.add_option("--mtu", options.mtu, "Largest IP packet, bytes");
  app.add_flag("--verbose", options.verbose, "Show what DPDK logs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return run(options);
}

}  // namespace
}  // namespace sealcast::wire

int main(int argc, char** argv) {
  struct sigaction action {};
  action.sa_handler = [](int) { sealcast::wire::stop = true; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  return sealcast::wire::parse_and_run(argc, argv);
}
