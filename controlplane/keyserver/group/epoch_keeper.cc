#include "controlplane/keyserver/group/epoch_keeper.h"

#include <new>

#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::keyserver {
namespace {

constexpr std::size_t longest_text = 255;
constexpr std::size_t most_chain = (1U << 24) - 1;
// A process that ended longer ago has no running senders left that would lose by a new epoch; and an older copy of the
// state file, put back, must not bring back an epoch that others have left behind.
constexpr std::int64_t longest_gap_s = 120;
constexpr std::int64_t clock_slack_s = 5;

std::optional<handshake::PeerIdentity> read_identity(const std::string& bytes) {
  if (bytes.empty()) return std::nullopt;
  handshake::Reader reader("identity", as_bytes(bytes));
  const auto text = [&] { return reader.string8(0, longest_text, "text"); };
  const auto texts = [&] {
    std::vector<std::string> out;
    for (unsigned left = reader.u16("count"); left > 0 && reader.ok(); --left)
      out.push_back(text());
    return out;
  };
  handshake::PeerIdentity out;
  out.name = text();
  out.names = texts();
  const ByteView chain = reader.vector24(0, most_chain, "leaf");
  out.leaf_der.assign(chain.begin(), chain.end());
  out.may_decrypt = reader.u8("may_decrypt") != 0;
  if (reader.u8("limited") != 0) out.groups = texts();
  out.serial_hex = text();
  out.user = text();
  return reader.finish() ? std::optional(std::move(out)) : std::nullopt;
}

cluster::SealedFor sealed_for(const std::string& key_server_id, const std::string& group_id, std::uint64_t epoch,
                              EpochKeeper::Times times) {
  return {key_server_id, group_id, epoch, times.begun * 1000, times.expires * 1000, cluster::SealedIn::state_file};
}

}  // namespace

EpochKeeper::EpochKeeper(LockedArena arena, std::string key_server_id, store::Store& store, handshake::Random& random)
    : arena_(std::move(arena)), key_server_id_(std::move(key_server_id)), store_(store), random_(random) {}

EpochKeeper::~EpochKeeper() = default;  // the arena wipes the key

Result<std::unique_ptr<EpochKeeper>> EpochKeeper::create(Key key, std::string key_server_id, store::Store& store,
                                                         handshake::Random& random) {
  SEALCAST_TRY_ASSIGN(auto arena, LockedArena::create(sizeof(Key)));
  new (arena.data()) Key(std::move(key));
  return std::unique_ptr<EpochKeeper>(new EpochKeeper(std::move(arena), std::move(key_server_id), store, random));
}

std::string EpochKeeper::bytes_of(const handshake::PeerIdentity& identity) {
  handshake::Writer out;
  const auto texts = [&](const std::vector<std::string>& all) {
    out.u16(static_cast<std::uint16_t>(std::min<std::size_t>(all.size(), 65535)));
    for (const std::string& one : all)
      out.string8(one);
  };
  out.string8(identity.name);
  texts(identity.names);
  out.vector24(identity.leaf_der);
  out.u8(identity.may_decrypt ? 1 : 0);
  out.u8(identity.groups ? 1 : 0);
  if (identity.groups) texts(*identity.groups);
  out.string8(identity.serial_hex);
  out.string8(identity.user);
  const auto bytes = out.finish("identity");
  // One that does not fit is not there: what its bearer holds is not taken up.
  return bytes ? std::string(bytes->begin(), bytes->end()) : std::string();
}

Result<void> EpochKeeper::keep(const std::string& group_id, std::uint64_t epoch, Times times,
                               const cluster::EpochContent& content) {
  SEALCAST_TRY_ASSIGN(auto sealed,
                      cluster::seal_epoch(key(), sealed_for(key_server_id_, group_id, epoch, times), content, random_));
  return store_.keep({group_id, epoch, times.begun, times.expires, std::move(sealed)});
}

Result<std::optional<EpochKeeper::Found>> EpochKeeper::take_up(const std::string& group_id, std::int64_t unix_now) {
  SEALCAST_TRY_ASSIGN(auto kept, store_.take_up(group_id));
  if (!kept) return std::nullopt;
  const std::int64_t gap = unix_now - store_.last_alive();
  if (gap > longest_gap_s || gap < -clock_slack_s)
    return fail("expected a sign of life of at most " + std::to_string(longest_gap_s) + " s ago, got one of " +
                std::to_string(gap) + " s ago: it was down for long, or the state file is an old copy");
  const store::KeptEpoch& row = kept->epoch;
  Found found;
  found.number = row.epoch;
  found.times = {row.begun, row.expires};
  SEALCAST_TRY_ASSIGN(
      found.content,
      cluster::open_epoch(key(), sealed_for(key_server_id_, group_id, row.epoch, found.times), row.sealed));
  found.content.policy.slots_used = std::max(found.content.policy.slots_used, kept->slots_used);
  for (const store::KeptHolder& holder : kept->holders) {
    auto identity = read_identity(holder.identity);
    if (!identity || identity->name != holder.member_id || identity->serial_hex != holder.certificate_serial)
      return fail("its holders are not known in full: " + holder.member_id);
    found.holders.push_back({std::move(*identity), holder.runs});
  }
  return std::optional(std::move(found));
}

}  // namespace sealcast::keyserver
