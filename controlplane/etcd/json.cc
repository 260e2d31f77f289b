#include "controlplane/etcd/json.h"

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/bytes.h"

namespace sealcast::etcd {
namespace {

using nlohmann::json;

std::string encode(const std::string& bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const ByteView in = as_bytes(bytes);
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), in.data(), static_cast<int>(in.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

bool decode(const std::string& text, std::string& out) {
  if (text.size() % 4 != 0) return false;
  out.resize(text.size() / 4 * 3);
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), as_bytes(text).data(),
                                   static_cast<int>(text.size()));
  if (size < 0) return false;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=')
    ++padding;
  out.resize(static_cast<std::size_t>(size) - padding);
  return true;
}

json range_json(const Range& range) {
  json out = {{"key", encode(range.key)}};
  if (!range.end.empty()) out["range_end"] = encode(range.end);
  if (range.last_key_only) {
    out.update({{"keys_only", true}, {"limit", "1"}, {"sort_order", "DESCEND"}, {"sort_target", "KEY"}});
    return out;
  }
  if (range.limit) out["limit"] = std::to_string(range.limit);
  if (range.changed_since) {
    out["min_mod_revision"] = std::to_string(range.changed_since);
    out.update({{"sort_order", "ASCEND"}, {"sort_target", "MOD"}});
  }
  return out;
}

json operation_json(const Operation& operation) {
  if (const auto* put = std::get_if<Put>(&operation)) {
    json out = {{"key", encode(put->key)}, {"value", encode(put->value)}};
    if (put->lease) out["lease"] = std::to_string(put->lease);
    return {{"request_put", std::move(out)}};
  }
  if (const auto* gone = std::get_if<Delete>(&operation)) {
    json out = {{"key", encode(gone->key)}};
    if (!gone->end.empty()) out["range_end"] = encode(gone->end);
    return {{"request_delete_range", std::move(out)}};
  }
  return {{"request_range", range_json(std::get<Range>(operation))}};
}

json operations_json(const std::vector<Operation>& operations) {
  json out = json::array();
  for (const Operation& operation : operations)
    out.push_back(operation_json(operation));
  return out;
}

// The gateway writes 64-bit numbers as strings, and leaves out zeros.
template <typename Integer>
bool number(const json& object, const char* name, Integer& out) {
  out = 0;
  const auto found = object.find(name);
  if (found == object.end()) return true;
  if (!found->is_string()) return false;
  const auto& text = found->get_ref<const std::string&>();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

bool text_of(const json& object, const char* name, std::string& out) {
  out.clear();
  const auto found = object.find(name);
  if (found == object.end()) return true;
  return found->is_string() && decode(found->get_ref<const std::string&>(), out);
}

bool flag(const json& object, const char* name, bool& out) {
  const auto found = object.find(name);
  out = found != object.end() && found->is_boolean() && found->get<bool>();
  return found == object.end() || found->is_boolean();
}

bool read_range(const json& object, RangeResult& out) {
  if (!object.is_object() || !flag(object, "more", out.more)) return false;
  const auto entries = object.find("kvs");
  if (entries == object.end()) return true;
  if (!entries->is_array()) return false;
  for (const json& entry : *entries) {
    KeyValue& value = out.entries.emplace_back();
    if (!entry.is_object() || !text_of(entry, "key", value.key) || !text_of(entry, "value", value.value) ||
        !number(entry, "create_revision", value.created) || !number(entry, "mod_revision", value.modified))
      return false;
    if (value.key.empty() || value.created <= 0 || value.modified < value.created) return false;
  }
  return true;
}

tl::unexpected<Error> unexpected_answer(const char* expected) {
  return fail(std::string("etcd: expected ") + expected + ", got something else: is this etcd's client address?");
}

}  // namespace

std::string transaction_json(const Transaction& transaction) {
  json compares = json::array();
  for (const Compare& compare : transaction.compares) {
    const bool created = compare.what == Compare::What::created;
    compares.push_back({{"target", created ? "CREATE" : "MOD"},
                        {"result", "EQUAL"},
                        {"key", encode(compare.key)},
                        {created ? "create_revision" : "mod_revision", std::to_string(compare.revision)}});
  }
  return json({{"compare", std::move(compares)},
               {"success", operations_json(transaction.success)},
               {"failure", operations_json(transaction.failure)}})
      .dump();
}

std::string grant_json(std::chrono::seconds ttl) {
  return json({{"TTL", std::to_string(ttl.count())}}).dump();
}

std::string lease_json(std::int64_t lease) {
  return json({{"ID", std::to_string(lease)}}).dump();
}

Result<Reply> parse_reply(std::string_view text) {
  const json object = json::parse(text, nullptr, false);
  Reply reply;
  const auto header = object.is_object() ? object.find("header") : object.end();
  if (!object.is_object() || header == object.end() || !header->is_object() ||
      !number(*header, "cluster_id", reply.cluster) || !number(*header, "revision", reply.revision) ||
      reply.revision <= 0 || !flag(object, "succeeded", reply.succeeded))
    return unexpected_answer("the answer to a transaction");
  const auto responses = object.find("responses");
  if (responses == object.end()) return reply;
  if (!responses->is_array()) return unexpected_answer("an array of answers");
  for (const json& response : *responses) {
    if (!response.is_object()) return unexpected_answer("an answer to every operation");
    const auto range = response.find("response_range");
    if (range != response.end() && !read_range(*range, reply.ranges.emplace_back()))
      return unexpected_answer("keys and values");
  }
  return reply;
}

Result<Lease> parse_lease(std::string_view text) {
  json object = json::parse(text, nullptr, false);
  if (object.is_object() && object.contains("result")) object = json(object["result"]);
  Lease lease;
  std::int64_t ttl = 0;
  if (!object.is_object() || !number(object, "ID", lease.id) || !number(object, "TTL", ttl) || lease.id == 0 ||
      ttl < 0 || ttl > 1'000'000)
    return unexpected_answer("a lease");
  lease.ttl = std::chrono::seconds(ttl);
  return lease;
}

std::string parse_error(std::string_view text) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object() || !object.contains("error") || !object["error"].is_string()) return "no reason given";
  std::string why = object["error"].get<std::string>().substr(0, 200);
  std::replace_if(
      why.begin(), why.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return why;
}

}  // namespace sealcast::etcd
