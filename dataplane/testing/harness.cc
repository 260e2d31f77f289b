#include "dataplane/testing/harness.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sealcast::dataplane::testing {
namespace {

// A test with a failed set-up ends at once, with the reason.
template <typename T>
T need(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "test set-up failed: %s\n", result.error().message.c_str());
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace

SaKey key_of(std::uint32_t spi, std::uint8_t key_size) {
  SaKey key;
  key.spi = spi;
  key.key_size = key_size;
  for (std::size_t i = 0; i < key.key.size(); ++i)
    key.key.data()[i] = static_cast<std::uint8_t>((spi >> (8 * (i % 4))) + i * 3 + 1);
  for (std::size_t i = 0; i < 4; ++i)
    key.salt[i] = static_cast<std::uint8_t>(0xa0 + i + spi);
  return key;
}

Selector selector(const std::string& destination, std::optional<PortRange> ports, const std::string& source) {
  Selector made;
  made.destination = need(Prefix::parse(destination));
  if (ports) {
    made.protocol = 17;
    made.ports = ports;
  }
  if (!source.empty()) made.source = need(Prefix::parse(source));
  return made;
}

std::vector<std::string> runnable_engines() {
  std::vector<std::string> names;
  for (const std::string_view name : aead::engine_names())
    if (aead::create_engine(name)) names.emplace_back(name);
  return names;
}

std::vector<Selector> tv_selectors() {
  return {selector("239.1.1.0/24")};
}

BypassRule bypass_rule(BypassProtocol protocol, BypassDirection direction) {
  BypassRule rule;
  rule.name = name(protocol).empty() ? "rule" : std::string(name(protocol));
  rule.protocol = protocol;
  rule.direction = direction;
  return rule;
}

std::vector<BypassRule> bypass_at(std::uint32_t rate) {
  std::vector<BypassRule> rules = default_bypass_rules();
  for (BypassRule& rule : rules)
    rule.rate = rate;
  return rules;
}

BufferedFrame::BufferedFrame(const Bytes& bytes, std::size_t room) : buffer_(room + bytes.size() + room, 0xee) {
  std::copy(bytes.begin(), bytes.end(), buffer_.begin() + static_cast<std::ptrdiff_t>(room));
  frame.data = buffer_.data() + room;
  frame.length = static_cast<std::uint32_t>(bytes.size());
  frame.headroom = frame.tailroom = static_cast<std::uint32_t>(room);
}

Harness::Harness(Options options) : options_(std::move(options)) {
  DataPlaneOptions plane;
  plane.workers = options_.workers;
  plane.path = options_.path;
  plane.path.tsc_hz = tsc_hz;
  plane.beacon = options_.beacon;
  plane.now_tsc = [this] { return clock_; };
  plane.now = [this] { return now(); };
  plane_ = need(DataPlane::create(std::move(plane), need(aead::create_engine(options_.engine)), publisher_));
}

GroupEpoch Harness::epoch(const std::string& group, std::uint64_t number, std::uint32_t spi_prefix,
                          const std::vector<Selector>& selectors, bool active) const {
  GroupEpoch made;
  made.group_id = group;
  made.epoch = number;
  made.selectors = selectors;
  made.replay_window = 1024;
  made.spi_prefix = spi_prefix;
  made.active = active;
  made.expires = now() + std::chrono::hours(1);
  made.lease_until = now() + std::chrono::minutes(1);
  return made;
}

void Harness::install_tv() {
  install({{selector("239.1.1.0/24")}});
}

void Harness::install(const GroupProtection& protection) {
  need(plane_->protect("tv", protection));
  GroupEpoch made = epoch("tv", 1, 0x10000000, protection.selectors);
  made.mode = protection.mode;
  for (std::uint32_t w = 0; w < options_.workers; ++w)
    made.outbound.push_back({key_of(0x10000000 + w)});
  made.inbound.push_back({key_of(0x10000008), 0});
  made.inbound.push_back({key_of(0x10000009), 0});
  need(plane_->install(std::move(made)));
}

std::vector<Outcome> Harness::red(const std::vector<Bytes>& frames, std::uint32_t worker) {
  return run(frames, true, worker);
}
std::vector<Outcome> Harness::black(const std::vector<Bytes>& frames, std::uint32_t worker) {
  return run(frames, false, worker);
}

std::vector<Outcome> Harness::run(const std::vector<Bytes>& frames, bool red, std::uint32_t worker) {
  std::vector<Frame> burst;
  // Exactly sized, so that AddressSanitizer sees every access beyond a frame's room.
  for (const Bytes& bytes : frames) {
    auto buffer = std::make_unique<Bytes>(options_.headroom + bytes.size() + options_.tailroom, 0xee);
    if (!bytes.empty()) std::memcpy(buffer->data() + options_.headroom, bytes.data(), bytes.size());
    Frame frame;
    frame.data = buffer->data() + options_.headroom;
    frame.length = static_cast<std::uint32_t>(bytes.size());
    frame.headroom = static_cast<std::uint32_t>(options_.headroom);
    frame.tailroom = static_cast<std::uint32_t>(options_.tailroom);
    frame.buffer = buffer.get();
    burst.push_back(frame);
    held_.emplace(buffer.get(), std::move(buffer));
  }
  Worker& path = plane_->worker(worker);
  if (red) {
    path.red_burst(burst, clock_, snapshot());
  } else {
    path.black_burst(burst, clock_, snapshot());
  }
  std::vector<Outcome> outcomes;
  for (const Frame& frame : burst)
    outcomes.push_back(outcome_of(frame));
  return outcomes;
}

std::vector<Outcome> Harness::unpark(std::uint32_t worker) {
  std::vector<Outcome> outcomes;
  std::array<Frame, max_burst> out;
  while (const std::size_t n = plane_->worker(worker).unpark(out, clock_, snapshot()))
    for (std::size_t i = 0; i < n; ++i)
      outcomes.push_back(outcome_of(out[i]));
  return outcomes;
}

// Ends the frame's life, unless the worker keeps it.
Outcome Harness::outcome_of(const Frame& frame) {
  const auto held = held_.find(frame.buffer);
  const Bytes* const buffer = held == held_.end() ? nullptr : held->second.get();
  if (buffer == nullptr || frame.data - frame.headroom != buffer->data() ||
      frame.data + frame.length + frame.tailroom != buffer->data() + buffer->size()) {
    std::fprintf(stderr, "a frame's head- and tailroom no longer add up to its buffer\n");
    std::abort();
  }
  Outcome outcome;
  outcome.verdict = frame.verdict;
  outcome.reason = frame.reason;
  outcome.target = frame.target;
  outcome.frame.assign(frame.data, frame.data + frame.length);
  if (frame.verdict != Verdict::park) held_.erase(held);
  return outcome;
}

std::uint64_t Harness::dropped(DropReason reason) const {
  for (const DropCount& count : plane_->statistics().drops) {
    if (count.reason == name(reason)) return count.packets;
  }
  return ~std::uint64_t{0};
}

const SaStatistics* Harness::sa(std::uint32_t spi) {
  last_ = plane_->statistics();
  for (const SaStatistics& entry : last_.sas) {
    if (entry.spi == spi) return &entry;
  }
  return nullptr;
}

Sender::Sender(std::uint32_t spi, std::vector<Selector> selectors, const std::string& engine)
    : Sender(spi, GroupProtection{std::move(selectors)}, engine) {}

Sender::Sender(std::uint32_t spi, const GroupProtection& protection, const std::string& engine)
    : harness_(Harness::Options{.engine = engine, .workers = 1, .path = {.black_mtu = 9000}}) {
  need(harness_.plane().protect("sender", protection));
  GroupEpoch made = harness_.epoch("sender", 1, spi & 0xffff0000, protection.selectors);
  made.mode = protection.mode;
  made.outbound.push_back({key_of(spi)});
  need(harness_.plane().install(std::move(made)));
}

Bytes Sender::seal(const Bytes& frame) {
  Outcome outcome = harness_.red(frame);
  if (outcome.verdict != Verdict::forward) {
    std::fprintf(stderr, "test sender could not seal: %s\n", std::string(text(outcome.reason)).c_str());
    std::abort();
  }
  return outcome.frame;
}

Bytes esp_frame(const EspFields& fields, const Bytes& inner) {
  Bytes esp(16);
  store_be(&esp[0], fields.spi);
  store_be(&esp[4], fields.sequence.value_or(static_cast<std::uint32_t>(fields.number)));
  store_be(&esp[8], fields.number);
  Bytes sealed = inner;
  if (fields.trailer) {
    sealed = sealed + *fields.trailer;
  } else {
    const std::size_t pad = (4 - (inner.size() + 2) % 4) % 4;
    for (std::size_t i = 1; i <= pad; ++i)
      sealed.push_back(static_cast<std::uint8_t>(i));
    sealed.push_back(static_cast<std::uint8_t>(pad));
    sealed.push_back(fields.next_header);
  }

  const auto engine = need(aead::create_engine("openssl"));
  struct alignas(64) Context {
    std::uint8_t bytes[64];
  };
  std::vector<Context> context(engine->context_bytes() / sizeof(Context));
  const SaKey sa = key_of(fields.spi, fields.key_size);
  auto key = need(engine->expand_key(std::span(sa.key.data(), sa.key_size), aead::Direction::seal, context.data()));
  Bytes tag(16);
  aead::SealItem item;
  item.key = &key;
  item.data = sealed.data();
  item.length = static_cast<std::uint32_t>(sealed.size());
  item.aad = esp.data();
  item.aad_length = 8;
  item.tag = tag.data();
  std::memcpy(item.nonce.data(), sa.salt.data(), 4);
  std::memcpy(item.nonce.data() + 4, &esp[8], 8);
  engine->seal({&item, 1});
  engine->release_key(key);

  if (fields.outer6) {
    Ipv6Fields outer6 = *fields.outer6;
    if (outer6.extensions.empty()) outer6.next_header = 50;
    return ethernet(ipv6(outer6, esp + sealed + tag), {}, 0x86dd);
  }
  Ipv4Fields outer = fields.outer;
  outer.protocol = 50;
  return ethernet(ipv4(outer, esp + sealed + tag));
}

}  // namespace sealcast::dataplane::testing
