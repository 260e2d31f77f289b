#include "dataplane/control/what_if.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/spi_text.h"
#include "dataplane/packet/clear_packet.h"
#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::size_t room = 256;  // before and behind a frame: more than any sealing adds
constexpr std::size_t longest_frame = 16 * 1024;

// The frame's IP packet as a header reader sees it, and its offset. Any kind of frame.
struct Headers {
  std::vector<std::uint16_t> vlans;
  std::uint32_t ip_offset = 0;
  DropReason bad = DropReason::none;
  ClearPacket packet;

  bool is_esp() const {
    return bad == DropReason::none && packet.family != 0 && packet.protocol == protocol_esp && !packet.fragment &&
           packet.payload_bytes() >= 16;
  }
  bool has_ports() const {
    return bad == DropReason::none && packet.family != 0 && packet.protocol == protocol_udp && !packet.later_fragment &&
           packet.payload_bytes() >= udp_header_bytes;
  }
};

Headers read_headers(const Bytes& frame) {
  Headers headers;
  headers.bad = DropReason::short_frame;
  if (frame.size() < ethernet_bytes) return headers;
  std::size_t offset = ethernet_bytes;
  std::uint16_t type = load16(&frame[12]);
  while (is_vlan_type(type) && headers.vlans.size() < max_vlan_tags) {
    if (frame.size() < offset + vlan_tag_bytes) return headers;
    headers.vlans.push_back(load16(&frame[offset]) & 0x0fff);
    type = load16(&frame[offset + 2]);
    offset += vlan_tag_bytes;
  }
  headers.ip_offset = static_cast<std::uint32_t>(offset);
  headers.bad =
      read_clear(frame.data() + offset, static_cast<std::uint32_t>(frame.size() - offset), type, headers.packet);
  headers.packet.ether_type = type;
  return headers;
}

std::string headers_text(const Headers& headers) {
  std::string text;
  for (const std::uint16_t vlan : headers.vlans)
    text += "VLAN " + std::to_string(vlan) + ", ";
  const ClearPacket& packet = headers.packet;
  if (headers.bad != DropReason::none) return text + "unreadable: " + std::string(dataplane::text(headers.bad));
  if (packet.family == 0) {
    char type[24];
    std::snprintf(type, sizeof type, "EtherType 0x%04x", packet.ether_type);
    return text + type;
  }
  text += "IPv" + std::to_string(packet.family) + " " + packet.source.text() + " to " + packet.destination.text();
  if (headers.has_ports()) {
    text += ", UDP " + std::to_string(load16(packet.payload())) + " to " + std::to_string(load16(packet.payload() + 2));
  } else if (headers.is_esp()) {
    text += ", ESP SPI " + spi_text(load32(packet.payload())) + " sequence " +
            std::to_string(load32(packet.payload() + 4)) + " IV " + std::to_string(load64(packet.payload() + 8));
  } else {
    text += ", protocol " + std::to_string(packet.protocol);
  }
  text += std::string(", ") + (packet.family == 4 ? "TTL " : "hop limit ") + std::to_string(packet.hop_limit);
  if (packet.fragment) text += packet.later_fragment ? ", a later fragment" : ", a first fragment";
  return text + ", " + std::to_string(packet.total_bytes) + " bytes of IP";
}

// The selector of the group that covers the packet, as text.
std::string selector_of(const std::vector<Selector>& selectors, const Headers& headers) {
  const ClearPacket& packet = headers.packet;
  if (headers.bad != DropReason::none || packet.family == 0) return {};
  const auto host = static_cast<std::uint8_t>(packet.family == 4 ? 32 : 128);
  Selector exact;
  exact.destination = {packet.destination, host};
  exact.source = Prefix{packet.source, host};
  exact.protocol = packet.protocol;
  if (headers.has_ports()) {
    const std::uint16_t port = load16(packet.payload() + 2);
    exact.ports = PortRange{port, port};
  }
  for (const Selector& selector : selectors)
    if (selector.covers(exact)) return selector.text();
  return {};
}

// A key for dry runs only: no packet on the wire is sealed under it.
class DryKey {
 public:
  explicit DryKey(const aead::Engine& engine)
      : engine_(engine), memory_((engine.context_bytes() + sizeof(Line) - 1) / sizeof(Line)) {}
  ~DryKey() {
    if (key_.context != nullptr) engine_.release_key(key_);
  }
  DryKey(const DryKey&) = delete;
  DryKey& operator=(const DryKey&) = delete;
  Result<void> make(aead::Direction direction) {
    const std::uint8_t nothing[16] = {};
    SEALCAST_TRY_ASSIGN(key_, engine_.expand_key(nothing, direction, memory_.data()));
    return {};
  }
  const aead::Key& key() const { return key_; }

 private:
  struct alignas(cache_line) Line {
    std::uint8_t bytes[cache_line];
  };
  const aead::Engine& engine_;
  std::vector<Line> memory_;
  aead::Key key_{};
};

// One run of the path over one frame.
struct Run {
  Bytes buffer;
  Frame frame;

  explicit Run(const Bytes& bytes) : buffer(room + bytes.size() + room, 0) {
    if (!bytes.empty()) std::memcpy(buffer.data() + room, bytes.data(), bytes.size());
    frame.data = buffer.data() + room;
    frame.length = static_cast<std::uint32_t>(bytes.size());
    frame.headroom = frame.tailroom = room;
  }
  Bytes outcome() const { return Bytes(frame.data, frame.data + frame.length); }
};

class DryRun {
 public:
  DryRun(const WhatIfPlane& plane, const WhatIfQuestion& question)
      : plane_(plane),
        question_(question),
        seal_key_(*plane.engine),
        open_key_(*plane.engine),
        group_drops_(plane.groups * plane.snapshot->workers) {
    const Snapshot& live = *plane.snapshot;
    dry_.version = live.version;
    dry_.standing = live.standing;
    dry_.standing_changes = live.standing_changes;
    dry_.policy = live.policy;
    dry_.stopped_reports = live.stopped_reports;
    dry_.workers = live.workers;
    dry_.outbound.assign(live.outbound.size(), nullptr);
    dry_.ranges = live.ranges;
    std::vector<DropSlot*> slots;
    for (std::size_t group = 0; group < plane.groups; ++group)
      slots.push_back(&group_drops_[group * live.workers]);
    dry_.group_drops = std::make_shared<const std::vector<DropSlot*>>(std::move(slots));
  }

  Result<WhatIfAnswer> go() {
    SEALCAST_TRY(seal_key_.make(aead::Direction::seal));
    SEALCAST_TRY(open_key_.make(aead::Direction::open));
    answer_.worker = question_.worker;
    answer_.bytes_in = static_cast<std::uint32_t>(question_.frame.size());
    add_step("received", std::to_string(question_.frame.size()) + " bytes on " +
                             (question_.side == Side::red ? "red" : "black") + " at worker " +
                             std::to_string(question_.worker));
    add_step("frame", headers_text(read_headers(question_.frame)));
    Bytes result = question_.side == Side::red ? from_red() : from_black();
    finish(std::move(result));
    return std::move(answer_);
  }

 private:
  void add_step(const char* name, std::string text) { answer_.steps.push_back({name, std::move(text)}); }

  // Runs the path at answer_.worker; the frame as it would be sent, and the verdict in answer_.
  Bytes run(const Bytes& frame, Side side, const PathSettings& settings) {
    Run run(frame);
    // A new worker each time: one run's tables must not affect the next.
    Sources sources(dry_.workers, 0);
    const auto worker = std::make_unique<Worker>(answer_.worker, settings, *plane_.engine, sources);
    worker->drop_stock().refill();
    if (side == Side::red) {
      worker->red_burst({&run.frame, 1}, plane_.now_tsc, dry_);
    } else {
      worker->black_burst({&run.frame, 1}, plane_.now_tsc, dry_);
    }
    if (run.frame.verdict == Verdict::park) {
      std::array<Frame, max_burst> back;
      while (worker->give_back(back) != 0) {
      }
    }
    answer_.verdict = run.frame.verdict;
    answer_.reason = run.frame.verdict == Verdict::drop ? run.frame.reason : DropReason::none;
    target_ = run.frame.target;
    return run.outcome();
  }

  // The group that the path counted the drop for, if it did.
  std::optional<std::uint32_t> charged(DropReason reason) const {
    for (std::size_t i = 0; i < group_drops_.size(); ++i)
      if (group_drops_[i].get(reason) != 0) return static_cast<std::uint32_t>(i / dry_.workers);
    return std::nullopt;
  }

  void name_group(std::uint32_t index, const Headers& headers) {
    const auto group = plane_.group(index);
    answer_.group = group.id;
    answer_.selector = selector_of(group.selectors, headers);
    add_step("policy", "group " + group.id + (answer_.selector.empty() ? "" : ", selector " + answer_.selector));
  }

  static void copy(const SealingSa& from, SealingSa& to) {
    to.spi = from.spi;
    to.seal_until_tsc.store(from.seal_until_tsc.load(std::memory_order_relaxed), std::memory_order_relaxed);
    to.set_rules(*from.epoch);
    to.blocks.set(from.blocks.get());
    to.next_number.set(from.next_number.get());
    to.timed.store(from.timed.load(std::memory_order_relaxed), std::memory_order_relaxed);
    to.zero_ms.store(from.zero_ms.load(std::memory_order_relaxed), std::memory_order_relaxed);
    to.worker = from.worker;
  }

  Bytes from_red() {
    // First without any SA: the path itself then names the packet's group.
    Bytes result = run(question_.frame, Side::red, *plane_.settings);
    if (answer_.reason != DropReason::no_sa) return result;
    const auto group = charged(DropReason::no_sa);
    if (!group) return result;
    name_group(*group, read_headers(question_.frame));
    const std::size_t place = *group * dry_.workers + answer_.worker;
    const SealingSa* live = plane_.snapshot->outbound[place];
    if (live == nullptr) {
      add_step("sa", "none that is active at this worker");
      return result;
    }
    copy(*live, sealing_);
    sealing_.key = seal_key_.key();
    dry_.outbound[place] = &sealing_;
    name_sa(live->spi, live->next(now_ms()));
    result = run(question_.frame, Side::red, *plane_.settings);
    if (answer_.verdict != Verdict::forward) answer_.number.reset();
    return result;
  }

  void name_sa(std::uint32_t spi, std::uint64_t number) {
    answer_.spi = spi;
    answer_.number = number;
    std::string text = "SPI " + spi_text(spi);
    if (const auto owner = plane_.owner(spi)) {
      answer_.epoch = owner->second;
      text += " of group " + owner->first + ", epoch " + std::to_string(owner->second);
    } else {
      text += " of no installed epoch";
    }
    add_step("sa", text + ", number " + std::to_string(number));
  }

  Bytes from_black() {
    Bytes frame = question_.frame;
    if (question_.spi) {
      auto sealed = seal_as_sender(*question_.spi);
      if (!sealed) return frame;
      frame = std::move(*sealed);
      add_step("sealed", "as its sender would: " + headers_text(read_headers(frame)));
    }
    const Headers headers = read_headers(frame);
    if (headers.is_esp()) {
      const std::uint32_t spi = load32(headers.packet.payload());
      name_sa(spi, load64(headers.packet.payload() + 8));
      dry_.spis = SpiTable{};
      if (const SpiTable::Entry* live = plane_.snapshot->spis.find(spi)) {
        SpiTable::Entry entry = *live;
        if (live->sa != nullptr) {
          opening_.emplace(64, 0);
          opening_->replay.copy_from(live->sa->replay);
          opening_->key = open_key_.key();
          opening_->spi = spi;
          opening_->worker = live->sa->worker;
          opening_->set_rules(*live->sa->epoch);
          opening_->fresh.set(live->sa->fresh.get());
          entry.sa = &*opening_;
          add_step("window", "numbers up to " + std::to_string(opening_->replay.highest()) + " were seen, " +
                                 std::to_string(opening_->replay.size()) + " wide");
        }
        dry_.spis.insert(entry);
      }
    }
    Bytes result = run(frame, Side::black, *plane_.settings);
    if (answer_.verdict == Verdict::hand_off && target_ < dry_.workers) {
      add_step("hand-off", "the SPI belongs to worker " + std::to_string(target_));
      answer_.worker = target_;
      result = run(frame, Side::black, *plane_.settings);
    }
    if (answer_.reason == DropReason::bad_tag && !question_.spi) {
      answer_.key_decides = true;
      add_step("verdict",
               "undecided: every check before decryption passed; the ICV, and what lies under it, are judged "
               "with the SA's key, which a dry run does not use");
    }
    if (answer_.reason == DropReason::clear_on_black)
      if (const auto group = charged(DropReason::clear_on_black)) name_group(*group, headers);
    if (answer_.verdict == Verdict::forward && answer_.spi)
      if (const auto owner = plane_.owner(*answer_.spi)) answer_.group = owner->first;
    return result;
  }

  // The plain packet as the slot's holder seals it, with the dry key: whatever group it is addressed to.
  std::optional<Bytes> seal_as_sender(std::uint32_t spi) {
    EpochRules rules;
    rules.same_as_policy = true;
    rules.expires_tsc = ~std::uint64_t{0};
    if (const SpiTable::Entry* live = plane_.snapshot->spis.find(spi); live != nullptr && live->sa != nullptr)
      rules = *live->sa->epoch;
    rules.same_as_policy = true;
    rules.expires_tsc = ~std::uint64_t{0};
    SealingSa sender;
    sender.key = seal_key_.key();
    sender.spi = spi;
    sender.seal_until_tsc.store(~std::uint64_t{0}, std::memory_order_relaxed);
    sender.set_rules(rules);
    const std::uint64_t number = question_.number.value_or(next_number(spi));
    sender.next_number.set(number);
    std::fill(dry_.outbound.begin(), dry_.outbound.end(), &sender);
    PathSettings roomy = *plane_.settings;
    roomy.black_mtu = 65535;
    Bytes sealed = run(question_.frame, Side::red, roomy);
    std::fill(dry_.outbound.begin(), dry_.outbound.end(), nullptr);
    if (answer_.verdict == Verdict::forward && sender.next_number.get() == number + 1) return sealed;
    add_step("sealed", "no sender would: " + std::string(text(answer_.reason)));
    return std::nullopt;
  }

  // What its sender would take for the next packet, as far as can be told from here.
  std::uint64_t next_number(std::uint32_t spi) const {
    const SpiTable::Entry* live = plane_.snapshot->spis.find(spi);
    if (live == nullptr || live->sa == nullptr) return 1;
    const std::uint64_t number = live->sa->replay.highest() + 1;
    return live->sa->timed ? not_before(now_ms() - live->sa->zero_ms, number) : number;
  }
  std::uint32_t now_ms() const { return TickScale(plane_.settings->tsc_hz).milliseconds(plane_.now_tsc); }

  void finish(Bytes result) {
    const std::string other = question_.side == Side::red ? "black" : "red";
    switch (answer_.verdict) {
      case Verdict::drop:
        if (!answer_.key_decides)
          add_step("verdict",
                   "dropped: " + std::string(name(answer_.reason)) + ": " + std::string(text(answer_.reason)));
        return;
      case Verdict::forward:
        answer_.bytes_out = static_cast<std::uint32_t>(result.size());
        if (answer_.number) {
          add_step("verdict", question_.side == Side::red ? "sealed" : "opened");
        } else {
          add_step("verdict", "passes in clear, as long as its rule's rate allows");
        }
        add_step("leaves", "on " + other + ", " + std::to_string(result.size()) +
                               " bytes: " + headers_text(read_headers(result)));
        return;
      case Verdict::hand_off:
        add_step("verdict", "goes to worker " + std::to_string(target_));
        return;
      case Verdict::park:
        add_step("verdict", "waits for the key of its slot, which is being derived");
        return;
      case Verdict::fragment:
        add_step("verdict", "is cut into fragments of at most " + std::to_string(target_) +
                                " bytes of IP, which are sealed one by one");
        return;
      case Verdict::reply:
        add_step("verdict", "is not sealed; its sender is told");
        add_step("leaves", std::string("on ") + (question_.side == Side::red ? "red" : "black") + ": " +
                               headers_text(read_headers(result)));
        return;
      case Verdict::reassemble:
        add_step("verdict", "waits until the other fragments of its packet are there");
        return;
      case Verdict::punt:
        add_step("verdict", "goes to the gateway's own host interface");
        return;
    }
  }

  const WhatIfPlane& plane_;
  const WhatIfQuestion& question_;
  WhatIfAnswer answer_;
  DryKey seal_key_, open_key_;
  std::vector<DropSlot> group_drops_;  // [group * workers + worker]
  Snapshot dry_;
  SealingSa sealing_;
  std::optional<OpeningSa> opening_;
  std::uint16_t target_ = 0;
};

}  // namespace

std::string describe_frame(const Bytes& frame) {
  return headers_text(read_headers(frame));
}

Result<WhatIfAnswer> what_if(const WhatIfPlane& plane, const WhatIfQuestion& question) {
  if (question.worker >= plane.snapshot->workers)
    return fail("expected a worker from 0 to " + std::to_string(plane.snapshot->workers - 1) + ", got " +
                std::to_string(question.worker));
  if (question.frame.size() > longest_frame)
    return fail("expected a frame of at most " + std::to_string(longest_frame) + " bytes, got " +
                std::to_string(question.frame.size()));
  if (question.spi && question.side == Side::red)
    return fail("an SPI belongs to a packet from black; expected none with the side red");
  if (question.number && !question.spi) return fail("a number needs the SPI it is counted under");
  return DryRun(plane, question).go();
}

}  // namespace sealcast::dataplane
