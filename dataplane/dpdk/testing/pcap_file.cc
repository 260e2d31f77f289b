#include "dataplane/dpdk/testing/pcap_file.h"

#include <pcap/pcap.h>

namespace sealcast::dataplane::testing {

bool write_pcap(const std::string& file, const std::vector<Bytes>& frames) {
  pcap_t* const format = pcap_open_dead(DLT_EN10MB, 65535);
  pcap_dumper_t* const dumper = format == nullptr ? nullptr : pcap_dump_open(format, file.c_str());
  bool written = dumper != nullptr;
  if (written) {
    for (const Bytes& frame : frames) {
      pcap_pkthdr header{};
      header.caplen = static_cast<bpf_u_int32>(frame.size());
      header.len = header.caplen;
      pcap_dump(reinterpret_cast<u_char*>(dumper), &header, frame.data());
    }
    written = pcap_dump_flush(dumper) == 0;
    pcap_dump_close(dumper);
  }
  if (format != nullptr) pcap_close(format);
  return written;
}

std::optional<std::vector<Bytes>> read_pcap(const std::string& file) {
  char error[PCAP_ERRBUF_SIZE];
  pcap_t* const pcap = pcap_open_offline(file.c_str(), error);
  if (pcap == nullptr) return std::nullopt;
  std::vector<Bytes> frames;
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  int status = 0;
  while ((status = pcap_next_ex(pcap, &header, &data)) == 1)
    frames.emplace_back(data, data + header->caplen);
  pcap_close(pcap);
  if (status != PCAP_ERROR_BREAK) return std::nullopt;
  return frames;
}

}  // namespace sealcast::dataplane::testing
