#include "bench/traffic.h"

#include <rte_cycles.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "dataplane/dpdk/lane.h"
#include "dataplane/dpdk/testing/pcap_file.h"
#include "dataplane/testing/harness.h"

namespace sealcast::bench {

using namespace dataplane;

namespace {

constexpr std::uint32_t first_spi = 0x10000000;
constexpr std::size_t spis_per_group = 1 << 4;
constexpr std::uint8_t slot_bits = 4;
// Fits a 9000-byte frame and what ESP adds.
constexpr std::uint32_t path_mtu = 9200;

std::uint32_t spi_of(std::size_t group) {
  return first_spi + static_cast<std::uint32_t>(group * spis_per_group);
}

// 239.1.0.0/32 …, ff3e::8001:0/128 …: one address a group.
std::string selector_text(const Traffic& traffic, std::size_t group) {
  char text[64];
  if (traffic.family == 4) {
    std::snprintf(text, sizeof text, "239.1.%zu.%zu/32", group >> 8, group & 0xff);
  } else {
    std::snprintf(text, sizeof text, "ff3e::8001:%zx/128", group);
  }
  return text;
}

class Untouched final : public aead::Engine {
 public:
  std::string_view name() const override { return "none"; }
  std::size_t context_bytes() const override { return 896; }  // as the burst engine's
  Result<aead::Key> expand_key(std::span<const std::uint8_t> key, aead::Direction direction,
                               void* context) const override {
    return aead::Key{context, static_cast<std::uint8_t>(key.size()), direction};
  }
  void release_key(aead::Key&) const override {}
  void seal(std::span<aead::SealItem> items) const override {
    for (aead::SealItem& item : items)
      item.ok = true;
  }
  void open(std::span<aead::OpenItem> items) const override {
    for (aead::OpenItem& item : items)
      item.ok = true;
  }
};

std::unique_ptr<aead::Engine> engine_named(const std::string& name) {
  if (name == "none") return std::make_unique<Untouched>();
  return need(aead::create_engine(name));
}

Bytes ipv6_frame(std::size_t frame_bytes, std::size_t group) {
  Bytes frame(frame_bytes);
  const auto set = [&](std::size_t at, std::initializer_list<std::uint8_t> bytes) {
    std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<std::ptrdiff_t>(at));
  };
  const auto low = static_cast<std::uint16_t>(group);
  const auto payload = static_cast<std::uint16_t>(frame_bytes - 54);
  set(0, {0x33, 0x33, 0x80, 0x01, 0, 0, 0x02, 0, 0, 0, 0, 0x01, 0x86, 0xdd, 0x60, 0, 0, 0});
  store_be(&frame[4], low);
  store_be(&frame[18], payload);
  set(20, {17, 16});                  // UDP, hop limit
  set(22, {0x20, 0x01, 0x0d, 0xb8});  // 2001:db8::1
  set(37, {1});
  set(38, {0xff, 0x3e});
  set(50, {0x80, 0x01});
  store_be(&frame[52], low);
  set(54, {0x13, 0x88, 0x13, 0x88});  // port 5000
  store_be(&frame[58], payload);
  set(60, {0xbe, 0xef});  // the path looks at a UDP checksum only to see whether it is unfinished
  return frame;
}

Bytes frame_to(const Traffic& traffic, std::size_t frame_bytes, std::size_t group) {
  if (traffic.family == 6) return ipv6_frame(frame_bytes, group);
  constexpr std::size_t headers = 14 + 20 + 8;
  testing::Ipv4Fields fields;
  fields.destination = "239.1." + std::to_string(group >> 8) + "." + std::to_string(group & 0xff);
  return testing::udp_frame(frame_bytes - headers, fields);
}

}  // namespace

void give_up(const std::string& message) {
  std::fprintf(stderr, "benchmark: %s\n", message.c_str());
  std::exit(1);
}

std::uint64_t frame_bytes_of(const std::vector<Bytes>& frames) {
  std::uint64_t sum = 0;
  for (const Bytes& frame : frames)
    sum += frame.size();
  return sum;
}

std::vector<Bytes> plain_frames(const Traffic& traffic) {
  std::mt19937 random(1);
  std::vector<std::size_t> sizes;
  while (sizes.size() < traffic.frames) {
    if (traffic.frame_bytes != imix) {
      sizes.push_back(traffic.frame_bytes);
    } else {
      sizes.insert(sizes.end(), {64, 64, 64, 64, 64, 64, 64, 594, 594, 594, 594, 1514});
    }
  }
  sizes.resize(traffic.frames);
  std::shuffle(sizes.begin(), sizes.end(), random);
  std::vector<Bytes> frames;
  for (const std::size_t size : sizes)
    frames.push_back(frame_to(traffic, size, random() % traffic.groups));
  return frames;
}

void Plane::rewind() {
  constexpr std::uint32_t past = 2500, span = 5500;  // milliseconds; as with a freshness of some seconds
  const std::uint32_t now = TickScale(rte_get_tsc_hz()).milliseconds(rte_rdtsc());
  for (OpeningSa* const sa : opening) {
    if (sa->replay.highest() == 0) continue;
    const std::uint64_t first = sa->replay.lowest();
    sa->replay.rewind_for_benchmark(first - 1);
    sa->fresh.set({now - (time_of(first) - past), span});
  }
}

std::uint64_t Plane::dropped() const {
  std::uint64_t sum = 0;
  for (const Counter& count : plane->worker(0).counters().drops)
    sum += count.get();
  return sum;
}

std::string Plane::drops() const {
  std::string text;
  for (const DropCount& drop : plane->statistics().drops)
    if (drop.packets != 0) text += (text.empty() ? "" : " ") + drop.reason + "=" + std::to_string(drop.packets);
  return text;
}

std::unique_ptr<Plane> make_plane(const Traffic& traffic, bool sealing, const std::string& engine) {
  auto made = std::make_unique<Plane>();
  made->publisher = std::make_unique<RcuPublisher>(1);
  DataPlaneOptions options;
  options.path.black_mtu = path_mtu;
  options.path.tsc_hz = rte_get_tsc_hz();
  options.path.learn_sources = true;  // as a gateway does
  options.now_tsc = [] { return rte_rdtsc(); };
  made->plane = need(DataPlane::create(std::move(options), engine_named(engine), *made->publisher));
  const auto key_size = static_cast<std::uint8_t>(traffic.key_bytes);
  for (std::size_t group = 0; group < traffic.groups; ++group) {
    GroupEpoch epoch;
    epoch.group_id = "group " + std::to_string(group);
    epoch.epoch = 1;
    epoch.selectors = {testing::selector(selector_text(traffic, group))};
    epoch.mode = traffic.mode;
    epoch.spi_prefix = spi_of(group);
    epoch.spi_slot_bits = slot_bits;
    epoch.active = true;
    epoch.expires = std::chrono::steady_clock::now() + std::chrono::hours(24);
    epoch.lease_until = epoch.expires;
    if (sealing) {
      epoch.outbound.push_back({testing::key_of(spi_of(group), key_size)});
      epoch.clock = EpochClock{std::chrono::steady_clock::now() - std::chrono::minutes(1)};
    } else {  // its clock is set with each pass
      epoch.inbound.push_back({testing::key_of(spi_of(group), key_size), 0});
    }
    GroupProtection protection{epoch.selectors, traffic.mode, std::nullopt};
    if (traffic.mode == EspMode::tunnel_fixed)
      protection.outer = OuterTunnel{need(IpAddress::parse(traffic.family == 4 ? "239.9.9.9" : "ff3e::9:9")),
                                     need(IpAddress::parse(traffic.family == 4 ? "10.9.0.2" : "2001:db8::9"))};
    need(made->plane->protect(epoch.group_id, protection));
    need(made->plane->install(std::move(epoch)));
  }
  if (sealing) return made;
  made->publisher->enter(0);
  for (std::size_t group = 0; group < traffic.groups; ++group)
    made->opening.push_back(made->publisher->current().spis.find(spi_of(group))->sa);
  made->publisher->leave(0);
  return made;
}

std::vector<Bytes> sealed_frames(const Traffic& traffic, Plane& sealer) {
  constexpr std::size_t room = 128;
  std::vector<Bytes> sealed;
  for (const Bytes& plain : plain_frames(traffic)) {
    Bytes buffer(room + plain.size() + room);
    std::copy(plain.begin(), plain.end(), buffer.begin() + room);
    Frame frame;
    frame.data = buffer.data() + room;
    frame.length = static_cast<std::uint32_t>(plain.size());
    frame.headroom = room;
    frame.tailroom = room;
    sealer.worker().red_burst({&frame, 1}, rte_rdtsc(), sealer.publisher->current());
    if (frame.verdict != Verdict::forward) give_up("a frame could not be sealed: " + std::string(name(frame.reason)));
    sealed.emplace_back(frame.data, frame.data + frame.length);
  }
  return sealed;
}

std::unique_ptr<Port> recording(const std::string& folder, const std::vector<Bytes>& frames) {
  const std::string file = folder + "/frames.pcap";
  if (!testing::write_pcap(file, frames)) give_up("cannot write " + file);
  std::size_t longest = 0;
  for (const Bytes& frame : frames)
    longest = std::max(longest, frame.size());
  // The driver keeps every frame of the file in a buffer of its own.
  const auto buffers = static_cast<std::uint32_t>(frames.size() + 2048);
  const auto mtu = static_cast<std::uint16_t>(std::clamp<std::size_t>(longest, 1600, 9000));
  return need(Port::open({"source", need(parse_port("pcap:" + file + "?infinite=1")), mtu, 1, buffers}));
}

}  // namespace sealcast::bench
