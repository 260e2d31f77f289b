#include "tests/wire/capture.h"

#include <pcap/pcap.h>

#include <cstdio>

namespace sealcast::wire {

struct Capture::State {
  pcap_t* format = nullptr;
  pcap_dumper_t* dumper = nullptr;
  bool dirty = false;
  bool failed = false;

  ~State() {
    if (dumper != nullptr) pcap_dump_close(dumper);
    if (format != nullptr) pcap_close(format);
  }
};

Result<std::unique_ptr<Capture>> Capture::create(const std::string& file) {
  auto state = std::make_unique<State>();
  state->format = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 65535, PCAP_TSTAMP_PRECISION_NANO);
  if (state->format == nullptr) return fail("pcap " + file + ": out of memory");
  state->dumper = pcap_dump_open(state->format, file.c_str());
  if (state->dumper == nullptr) return fail("pcap " + file + ": " + pcap_geterr(state->format));
  state->dirty = true;  // the file header
  std::unique_ptr<Capture> capture(new Capture(std::move(state)));
  capture->flush();
  return capture;
}

Capture::Capture(std::unique_ptr<State> state) : state_(std::move(state)) {}
Capture::~Capture() = default;

void Capture::write(ByteView captured, std::uint32_t original_bytes, std::uint64_t time_ns) {
  pcap_pkthdr header{};
  header.ts.tv_sec = static_cast<time_t>(time_ns / 1'000'000'000);
  header.ts.tv_usec = static_cast<suseconds_t>(time_ns % 1'000'000'000);  // nanoseconds in this file format
  header.caplen = static_cast<bpf_u_int32>(captured.size());
  header.len = original_bytes;
  pcap_dump(reinterpret_cast<u_char*>(state_->dumper), &header, captured.data());
  state_->dirty = true;
}

bool Capture::flush() {
  if (state_->dirty) {
    state_->dirty = false;
    if (pcap_dump_flush(state_->dumper) != 0 || std::ferror(pcap_dump_file(state_->dumper)) != 0) state_->failed = true;
  }
  return !state_->failed;
}

}  // namespace sealcast::wire
