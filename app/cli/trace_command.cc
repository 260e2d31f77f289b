// Shows what a running gateway would do with a packet, and why; and the headers of packets it drops.
#include <pcap/pcap.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <thread>

#include "app/cli/answer.h"
#include "app/cli/asking.h"
#include "app/cli/commands.h"
#include "app/cli/packet_text.h"
#include "app/exit_code.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;

struct TraceArguments : Asking {
  bool what_if = false, drops = false;
  std::string side = "red";
  PacketFields fields;
  std::string packet, pcap_file;
  std::string spi;
  std::uint64_t number = 0;
  std::uint32_t worker = 0;
  std::uint32_t count = 100;  // packets of a file, or drops
  double for_s = 10;
};

int usage(const std::string& message) {
  std::fprintf(stderr, "sealcast trace: %s\n", message.c_str());
  return ExitCode::usage;
}

// Frames of a pcap or pcapng file with Ethernet headers.
Result<std::vector<Bytes>> read_frames(const std::string& path, std::uint32_t most) {
  char reason[PCAP_ERRBUF_SIZE] = {};
  const std::unique_ptr<pcap_t, void (*)(pcap_t*)> file(pcap_open_offline(path.c_str(), reason), pcap_close);
  if (file == nullptr) return fail(path + ": " + reason);
  if (pcap_datalink(file.get()) != DLT_EN10MB) return fail(path + ": expected frames with Ethernet headers");
  std::vector<Bytes> frames;
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  while (frames.size() < most) {
    const int got = pcap_next_ex(file.get(), &header, &data);
    if (got == PCAP_ERROR_BREAK) break;
    if (got != 1) return fail(path + ": " + pcap_geterr(file.get()));
    if (header->caplen != header->len)
      return fail(path + ": packet " + std::to_string(frames.size() + 1) + " was captured in part only");
    frames.emplace_back(data, data + header->caplen);
  }
  return frames;
}

Result<std::vector<Bytes>> frames_of(const TraceArguments& arguments) {
  if (!arguments.pcap_file.empty()) return read_frames(arguments.pcap_file, arguments.count);
  auto frame = arguments.packet.empty()
                   ? build_frame(arguments.fields)
                   : parse_hex(arguments.packet.rfind("hex:", 0) == 0 ? arguments.packet.substr(4) : arguments.packet);
  if (!frame) return tl::unexpected(frame.error());
  return std::vector<Bytes>{std::move(*frame)};
}

std::string steps_text(const admin::WhatIfAnswer& answer) {
  Table steps({{"step"}, {"what"}});
  for (const auto& step : answer.steps)
    steps.row({step.step, step.text});
  return steps.text();
}

int what_if(const TraceArguments& arguments) {
  const auto frames = frames_of(arguments);
  if (!frames) return usage(frames.error().message);
  admin::WhatIfRequest request{.side = arguments.side == "red" ? admin::Side::red : admin::Side::black,
                               .worker = arguments.worker};
  if (!arguments.spi.empty()) {
    request.spi = parse_spi(arguments.spi);
    if (!request.spi) return usage("--spi: expected an SPI such as 0x10000001, got " + arguments.spi);
  }
  if (arguments.number != 0) request.number = arguments.number;
  bool first = true;
  for (const Bytes& frame : *frames) {
    request.frame = frame;
    int code = ExitCode::ok;
    const auto answer = ask(arguments, "trace", request, code);
    if (!answer) return code;
    if (arguments.json)
      std::printf("%s\n", answer->line.c_str());
    else
      std::printf("%s%s", first ? "" : "\n", steps_text(answer->value).c_str());
    first = false;
  }
  return ExitCode::ok;
}

// Asks again and again; the gateway samples only on request, so that it stops with this command.
int drops(const TraceArguments& arguments) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(arguments.for_s);
  std::uint32_t shown = 0;
  for (bool first = true;; first = false) {
    const bool last = std::chrono::steady_clock::now() >= end;
    int code = ExitCode::ok;
    const admin::DropsRequest request{.further = last ? 0 : std::min<std::uint32_t>(32, arguments.count)};
    const auto answer = ask(arguments, "trace", request, code);
    if (!answer) return code;
    // The first answer may hold drops sampled for an earlier caller.
    for (const auto& drop : answer->value.drops) {
      if (first || shown == arguments.count) continue;
      ++shown;
      if (arguments.json)
        std::printf("%s\n", admin::to_json(drop).c_str());
      else
        std::printf("%s %s, %s bytes: %s\n", std::string(name(drop.side)).c_str(), clean(drop.reason).c_str(),
                    digits(drop.bytes).c_str(), clean(drop.headers).c_str());
    }
    std::fflush(stdout);
    if (last || shown == arguments.count) return ExitCode::ok;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

int run_trace(const TraceArguments& arguments) {
  if (arguments.what_if == arguments.drops) return usage("expected one of --what-if and --drops");
  if (arguments.drops) return drops(arguments);
  if (arguments.packet.empty() && arguments.pcap_file.empty() &&
      (arguments.fields.source.empty() || arguments.fields.destination.empty()))
    return usage("expected --src and --dst, or --packet, or --pcap");
  return what_if(arguments);
}

}  // namespace

void add_trace(CLI::App& app, const Choose& choose) {
  auto a = std::make_shared<TraceArguments>();
  CLI::App* trace = app.add_subcommand("trace", "Say what would become of a packet and why; show what is dropped");
  add_asking(*trace, *a);
  trace->add_flag("--what-if", a->what_if, "what would become of this packet");
  trace->add_flag("--drops", a->drops, "headers of packets that are dropped now");
  trace->add_option("--side", a->side, "where it comes in")
      ->check(CLI::IsMember({"red", "black"}))
      ->capture_default_str();
  trace->add_option("--src", a->fields.source, "source address");
  trace->add_option("--dst", a->fields.destination, "destination address");
  trace->add_option("--proto", a->fields.protocol, "udp, igmp, esp, icmpv6 or a number")->capture_default_str();
  trace->add_option("--sport", a->fields.source_port, "UDP source port")->capture_default_str();
  trace->add_option("--dport", a->fields.destination_port, "UDP destination port")->capture_default_str();
  trace->add_option("--ttl", a->fields.ttl, "TTL or hop limit")->check(CLI::Range(0, 255))->capture_default_str();
  trace->add_option("--size", a->fields.size, "bytes of IP packet")->capture_default_str();
  trace->add_flag("--df", a->fields.dont_fragment, "Don't Fragment (IPv4)");
  trace->add_option("--vlan", a->fields.vlans, "VLAN number; twice for QinQ, outermost first")->expected(1)->take_all();
  trace->add_option("--packet", a->packet, "the whole frame instead, as hex:…");
  trace->add_option("--pcap", a->pcap_file, "the frames of a capture instead");
  trace->add_option("--spi", a->spi, "black: the packet is what the sender with this SPI seals");
  trace->add_option("--number", a->number, "with --spi: the packet's number; else the next one");
  trace->add_option("--worker", a->worker, "index of the worker that receives it")->capture_default_str();
  trace->add_option("--count", a->count, "at most so many packets or drops")->capture_default_str();
  trace->add_option("--for", a->for_s, "look at drops for so many seconds")
      ->check(seconds_range(0.1, 3600))
      ->capture_default_str();
  trace->callback([=] { choose([=] { return run_trace(*a); }); });
}

}  // namespace sealcast::cli
