#include "handshake/keytree/rekey_datagram.h"

#include <algorithm>

#include "handshake/keytree/member_path.h"
#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {
namespace {

constexpr std::uint8_t datagram_version = 2;
constexpr std::uint8_t level_mask = 0x1f;
constexpr std::uint8_t for_side[2] = {0x20, 0x40};
constexpr std::uint8_t ancestor_of_previous = 0x80;
constexpr std::string_view datagram_name = "rekey datagram";

void write_varint(Writer& w, std::uint32_t value) {
  for (; value >= 0x80; value >>= 7)
    w.u8(static_cast<std::uint8_t>(value | 0x80));
  w.u8(static_cast<std::uint8_t>(value));
}

std::uint32_t read_varint(Reader& r, std::string_view field) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    const std::uint8_t byte = r.u8(field);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if ((byte & 0x80) != 0) continue;
    if ((byte == 0 && shift != 0) || value > 0xffffffff) break;
    return static_cast<std::uint32_t>(value);
  }
  r.refuse(Reason::decode_error, std::string(field) + " is not a number of 32 bits in its shortest form");
  return 0;
}

bool is_ancestor(const NodeUpdate& node, const NodeUpdate& of) {
  return node.level > of.level && node.index == of.index >> (node.level - of.level);
}

void write_nodes(Writer& w, const std::vector<NodeUpdate>& nodes) {
  const NodeUpdate* previous = nullptr;
  for (const NodeUpdate& node : nodes) {
    const bool implied = previous != nullptr && is_ancestor(node, *previous);
    std::uint8_t head = node.level;
    if (implied) head |= ancestor_of_previous;
    for (std::size_t side = 0; side < 2; ++side)
      if (node.for_child[side]) head |= for_side[side];
    w.u8(head);
    if (!implied) w.u32(node.index);
    for (const auto& wrapped : node.for_child) {
      if (!wrapped) continue;
      write_varint(w, wrapped->step);
      w.bytes(wrapped->bytes);
    }
    previous = &node;
  }
}

void read_nodes(Reader& message, ByteView bytes, TreeUpdate& update) {
  Reader r("rekey datagram, nodes", bytes);
  while (!r.at_end()) {
    NodeUpdate node;
    const std::uint8_t head = r.u8("head");
    node.level = head & level_mask;
    if (node.level == 0 || node.level > update.depth)
      r.refuse(Reason::illegal_parameter,
               "expected a level from 1 to " + std::to_string(update.depth) + ", got " + std::to_string(node.level));
    const NodeUpdate* previous = update.nodes.empty() ? nullptr : &update.nodes.back();
    if ((head & ancestor_of_previous) == 0) {
      node.index = r.u32("index");
    } else if (previous != nullptr && node.level > previous->level) {
      node.index = previous->index >> (node.level - previous->level);
    } else {
      r.refuse(Reason::illegal_parameter, "an ancestor of the node before it, which is not below it");
    }
    if (r.ok() && node.index >> (update.depth - node.level) != 0)
      r.refuse(Reason::illegal_parameter,
               "level " + std::to_string(node.level) + " has no node " + std::to_string(node.index));
    if (r.ok() && previous != nullptr &&
        (node.level < previous->level || (node.level == previous->level && node.index <= previous->index)))
      r.refuse(Reason::illegal_parameter, "nodes are not in ascending order");
    for (std::size_t side = 0; side < 2; ++side) {
      if ((head & for_side[side]) == 0) continue;
      WrappedSeed wrapped;
      wrapped.step = read_varint(r, "step");
      const ByteView seed = r.bytes(wrapped.bytes.size(), "wrapped seed");
      std::copy(seed.begin(), seed.end(), wrapped.bytes.begin());
      node.for_child[side] = wrapped;
    }
    if (r.ok()) update.nodes.push_back(node);
  }
  message.absorb(r);
}

Bytes signature_input(ByteView body) {
  Bytes input(64, 0x20);
  for (const char c : std::string_view("multicast rekey datagram"))
    input.push_back(static_cast<std::uint8_t>(c));
  input.push_back(0);
  input.insert(input.end(), body.begin(), body.end());
  return input;
}

}  // namespace

Outcome<Bytes> encode_rekey_datagram(const RekeyDatagram& datagram, EVP_PKEY* key, SignatureScheme scheme) {
  Writer w;
  w.u8(datagram_version);
  w.string8(datagram.key_server_id);
  w.string8(datagram.group_id);
  w.u64(datagram.from_epoch);
  w.u64(datagram.to_epoch);
  w.u64(datagram.sequence);
  w.u64(datagram.not_after);
  w.u64(datagram.remaining_ms);
  w.u64(datagram.zero.clock_id);
  w.u64(datagram.zero.at_ms);
  w.u32(datagram.spi_prefix);
  w.u8(datagram.spi_slot_bits);
  w.u8(datagram.update.depth);
  w.vector(2, [&](Writer& nodes) { write_nodes(nodes, datagram.update.nodes); });
  write_varint(w, datagram.update.root_step);
  w.bytes(datagram.update.premaster);
  SEALCAST_TRY_ASSIGN(auto signature, sign(key, scheme, signature_input(w.view())));
  w.u16(static_cast<std::uint16_t>(scheme));
  w.vector16(signature);
  SEALCAST_TRY_ASSIGN(auto done, w.finish(datagram_name));
  if (done.size() > max_rekey_datagram)
    return refuse(Reason::internal_error, "rekey datagram: expected at most " + std::to_string(max_rekey_datagram) +
                                              " bytes, got " + std::to_string(done.size()));
  return Bytes(done.begin(), done.end());
}

Outcome<ReceivedRekeyDatagram> decode_rekey_datagram(ByteView bytes) {
  ReceivedRekeyDatagram received;
  RekeyDatagram& d = received.datagram;
  Reader r(datagram_name, bytes);
  if (const std::uint8_t got = r.u8("version"); r.ok() && got != datagram_version)
    r.refuse(Reason::decode_error, "expected version 2, got " + std::to_string(got));
  d.key_server_id = r.string8(1, 64, "key_server_id");
  d.group_id = r.string8(1, 64, "group_id");
  d.from_epoch = r.u64("from_epoch");
  d.to_epoch = r.u64("to_epoch");
  if (r.ok() && d.to_epoch <= d.from_epoch)
    r.refuse(Reason::illegal_parameter,
             "expected an epoch above " + std::to_string(d.from_epoch) + ", got " + std::to_string(d.to_epoch));
  d.sequence = r.u64("sequence");
  d.not_after = r.u64("not_after");
  d.remaining_ms = r.u64("remaining_ms");
  d.zero.clock_id = r.u64("zero_clock_id");
  d.zero.at_ms = r.u64("zero_ms");
  d.spi_prefix = r.u32("spi_prefix");
  d.spi_slot_bits = r.u8("spi_slot_bits");
  d.update.depth = r.u8("depth");
  if (r.ok() && d.update.depth > max_tree_depth)
    r.refuse(Reason::illegal_parameter, "expected a depth of at most " + std::to_string(max_tree_depth) + ", got " +
                                            std::to_string(d.update.depth));
  const ByteView nodes = r.vector16(0, 65535, "nodes");
  if (r.ok()) read_nodes(r, nodes, d.update);
  d.update.root_step = read_varint(r, "root_step");
  const ByteView premaster = r.bytes(d.update.premaster.size(), "premaster");
  std::copy(premaster.begin(), premaster.end(), d.update.premaster.begin());
  received.signed_part = bytes.first(r.ok() ? r.offset() : 0);
  received.scheme = r.u16("scheme");
  received.signature = r.vector16(1, 1024, "signature");
  SEALCAST_TRY(r.finish());
  return received;
}

Outcome<void> ReceivedRekeyDatagram::verify(EVP_PKEY* key) const {
  return verify_signature(key, scheme, signature_input(signed_part), signature);
}

Outcome<void> ReceivedRekeyDatagram::verify_with(ByteView certificate) const {
  const unsigned char* next = certificate.data();
  const X509Ptr parsed(d2i_X509(nullptr, &next, static_cast<long>(certificate.size())));
  if (!parsed) return refuse(Reason::internal_error, "rekey datagram: the key server's certificate can't be read");
  return verify(X509_get0_pubkey(parsed.get()));
}

SensitiveBytes encode_tree_path(const TreePath& path) {
  Writer w;
  w.u32(path.position);
  w.u8(static_cast<std::uint8_t>(path.levels.size()));
  for (const auto& key : path.levels) {
    w.u8(key ? 1 : 0);
    if (!key) continue;
    w.u32(key->step);
    w.bytes(key->seed.view());
  }
  return SensitiveBytes(w.view().begin(), w.view().end());
}

Outcome<TreePath> decode_tree_path(ByteView bytes) {
  Reader r("key path", bytes);
  TreePath path;
  path.position = r.u32("position");
  const std::uint8_t levels = r.u8("levels");
  for (std::uint8_t level = 0; level < levels && r.ok(); ++level) {
    path.levels.emplace_back();
    const std::uint8_t present = r.u8("present");
    if (present > 1) r.refuse(Reason::illegal_parameter, "present: expected 0 or 1, got " + std::to_string(present));
    if (present != 1) continue;
    NodeKey& key = path.levels.back().emplace();
    key.step = r.u32("step");
    const ByteView seed = r.bytes(seed_size, "seed");
    std::copy(seed.begin(), seed.end(), key.seed.data());
  }
  if (r.ok() && !valid_path(path))
    r.refuse(Reason::illegal_parameter, "expected 1 to 25 levels, a key for the leaf and a position below it");
  SEALCAST_TRY(r.finish());
  return path;
}

}  // namespace sealcast::handshake
