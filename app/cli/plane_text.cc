#include "app/cli/plane_text.h"

#include <algorithm>
#include <map>
#include <vector>

#include "app/cli/answer.h"
#include "app/cli/keyserver_text.h"

namespace sealcast::cli {
namespace {

// Two answers of one gateway.
struct Looks {
  Json now, earlier;
  double seconds = 0;  // between them; 0: no rates

  bool rates() const { return seconds > 0; }
};

Result<Looks> read(const std::string& answer, const std::string& earlier) {
  Looks looks;
  auto now = read_answer(answer);
  if (!now) return tl::unexpected(now.error());
  looks.now = std::move(*now);
  if (earlier.empty()) return looks;
  auto before = read_answer(earlier);
  if (!before) return tl::unexpected(before.error());
  looks.earlier = std::move(*before);
  looks.seconds = seconds_between(looks.now, looks.earlier);
  return looks;
}

// The element of the earlier list that is the same port, group or SA.
class Former {
 public:
  Former(const Json& list, const char* key) : key_(key) {
    if (!list.is_array()) return;
    for (const Json& element : list)
      by_key_.emplace(text(at(element, key)), &element);
  }
  const Json& of(const Json& element) const {
    static const Json nothing;
    const auto found = by_key_.find(text(at(element, key_)));
    return found == by_key_.end() ? nothing : *found->second;
  }

 private:
  const char* key_;
  std::map<std::string, const Json*> by_key_;
};

std::string per_second(const Looks& looks, const Json& now, const Json& former, const char* key) {
  const auto value = rate(at(now, key), at(former, key), looks.seconds);
  return value ? packets_rate(*value) : "";
}
std::string bits_per_second(const Looks& looks, const Json& now, const Json& former, const char* key) {
  const auto value = rate(at(now, key), at(former, key), looks.seconds);
  return value ? bits_rate(*value * 8) : "";
}

Table ports_table(const Looks& looks) {
  std::vector<Table::Column> columns{{"port"}, {"device"}, {"link"}};
  for (const char* title : {"rx packets", "rx bytes", "tx packets", "tx bytes", "tx dropped"})
    columns.push_back({title, Align::right});
  if (looks.rates())
    for (const char* title : {"rx packets/s", "rx bits/s", "tx packets/s", "tx bits/s"})
      columns.push_back({title, Align::right});
  Table table(std::move(columns));
  const Former former(at(looks.earlier, "ports"), "name");
  for (const Json& port : at(looks.now, "ports")) {
    std::vector<std::string> row{
        text(at(port, "name")),         text(at(port, "device")),      at(port, "link_up") == true ? "up" : "down",
        number(at(port, "rx_packets")), size(at(port, "rx_bytes")),    number(at(port, "tx_packets")),
        size(at(port, "tx_bytes")),     number(at(port, "tx_dropped"))};
    if (looks.rates()) {
      const Json& before = former.of(port);
      row.push_back(per_second(looks, port, before, "rx_packets"));
      row.push_back(bits_per_second(looks, port, before, "rx_bytes"));
      row.push_back(per_second(looks, port, before, "tx_packets"));
      row.push_back(bits_per_second(looks, port, before, "tx_bytes"));
    }
    table.row(std::move(row));
  }
  return table;
}

std::uint64_t sum(const Json& by_reason) {
  std::uint64_t all = 0;
  if (by_reason.is_object())
    for (const auto& [reason, value] : by_reason.items())
      if (value.is_number_unsigned()) all += value.get<std::uint64_t>();
  return all;
}

std::string silence(const Json& value) {
  return value.is_number() ? seconds(value) : "";
}

Table groups_table(const Looks& looks, const std::vector<const Json*>& groups) {
  std::vector<Table::Column> columns{{"group"}, {"epoch", Align::right}};
  if (looks.rates())
    for (const char* title : {"sealed/s", "bits/s", "opened/s", "bits/s"})
      columns.push_back({title, Align::right});
  for (const char* title :
       {"sealed", "opened", "senders", "lost", "reordered", "duplicates", "late", "silent", "dropped"})
    columns.push_back({title, Align::right});
  columns.push_back({"because"});
  Table table(std::move(columns));
  const Former former(at(looks.earlier, "groups"), "group");
  for (const Json* group : groups) {
    const Json& g = *group;
    std::vector<std::string> row{text(at(g, "group")), text(at(g, "active_epoch"))};
    if (looks.rates()) {
      const Json& before = former.of(g);
      row.push_back(per_second(looks, g, before, "sealed"));
      row.push_back(bits_per_second(looks, g, before, "sealed_bytes"));
      row.push_back(per_second(looks, g, before, "opened"));
      row.push_back(bits_per_second(looks, g, before, "opened_bytes"));
    }
    for (const char* key : {"sealed", "opened", "senders", "lost", "reordered", "duplicates", "late"})
      row.push_back(number(at(g, key)));
    row.push_back(silence(at(g, "silent_s")));
    row.push_back(count(sum(at(g, "drops"))));
    row.push_back(counters(at(g, "drops")));
    table.row(std::move(row));
  }
  return table;
}

std::vector<const Json*> all_groups(const Json& answer) {
  std::vector<const Json*> groups;
  for (const Json& group : at(answer, "groups"))
    groups.push_back(&group);
  return groups;
}

}  // namespace

std::string ports_rows(const nlohmann::json& now, const nlohmann::json& earlier, std::size_t indent) {
  const Table table = ports_table({now, earlier, seconds_between(now, earlier)});
  return table.empty() ? std::string() : table.text(indent);
}

std::string detours(const nlohmann::json& now) {
  std::string out;
  for (const auto& [key, words] :
       {std::pair{"cut", "cut before sealing"}, std::pair{"reassembled", "put together from fragments"},
        std::pair{"parked", "parked until their key came"}, std::pair{"spread_waits", "waits of a spread stream"}}) {
    const Json& value = at(now, key);
    if (value.is_number_unsigned() && value != 0) out += (out.empty() ? "" : ", ") + number(value) + " " + words;
  }
  return out;
}

Result<std::string> ports_text(const std::string& answer, const std::string& earlier) {
  const auto looks = read(answer, earlier);
  if (!looks) return tl::unexpected(looks.error());
  std::string out = ports_table(*looks).text();
  std::vector<Table::Column> columns{{"worker", Align::right}};
  for (const char* title : {"sealed", "sealed bytes", "opened", "opened bytes", "bypassed", "dropped"})
    columns.push_back({title, Align::right});
  Table workers(std::move(columns));
  for (const Json& worker : at(looks->now, "workers"))
    workers.row({text(at(worker, "worker")), number(at(worker, "sealed")), size(at(worker, "sealed_bytes")),
                 number(at(worker, "opened")), size(at(worker, "opened_bytes")), number(at(worker, "bypassed")),
                 count(sum(at(worker, "drops")))});
  if (!workers.empty()) out += "\n" + workers.text();
  if (const std::string text = detours(looks->now); !text.empty()) out += "\non the way: " + text + "\n";
  Table drops({{"dropped because"}, {"packets", Align::right}});
  for (const Json& drop : at(looks->now, "drops"))
    if (at(drop, "packets") != 0) drops.row({text(at(drop, "reason")), number(at(drop, "packets"))});
  if (!drops.empty()) out += "\n" + drops.text();
  return out;
}

Result<std::string> groups_text(const std::string& answer, const std::string& earlier) {
  const auto looks = read(answer, earlier);
  if (!looks) return tl::unexpected(looks.error());
  if (at(looks->now, "daemon") == "keyserver") return keyserver_groups_text(looks->now);
  std::string out = groups_table(*looks, all_groups(looks->now)).text();
  if (const Json& embedded = at(looks->now, "keyserver"); embedded.is_object())
    out += "\n" + keyserver_groups_text(embedded);
  return out;
}

Result<std::string> sas_text(const std::string& answer, const std::string& earlier, bool all) {
  const auto looks = read(answer, earlier);
  if (!looks) return tl::unexpected(looks.error());
  std::vector<Table::Column> columns{
      {"group"}, {"SPI"}, {"direction"}, {"epoch", Align::right}, {"active"}, {"worker", Align::right}};
  if (looks->rates())
    for (const char* title : {"packets/s", "bits/s"})
      columns.push_back({title, Align::right});
  for (const char* title :
       {"packets", "bytes", "number", "lost", "missing", "reordered", "by at most", "duplicates", "late", "silent"})
    columns.push_back({title, Align::right});
  columns.push_back({"drops"});
  Table table(std::move(columns));
  const Former former(at(looks->earlier, "sas"), "spi");
  for (const Json& sa : at(looks->now, "sas")) {
    const bool out_bound = text(at(sa, "direction")) == "out";
    const Json& sender = at(sa, "sender");
    // Slots that are derived ahead and unused would hide those in use.
    if (!out_bound && !all && at(sa, "packets") == 0 && sum(at(sa, "drops")) == 0) continue;
    std::vector<std::string> row{text(at(sa, "group")),
                                 text(at(sa, "spi")),
                                 text(at(sa, "direction")),
                                 text(at(sa, "epoch")),
                                 out_bound ? yes(at(sa, "active")) : "",
                                 text(at(sa, "worker"))};
    if (looks->rates()) {
      row.push_back(per_second(*looks, sa, former.of(sa), "packets"));
      row.push_back(bits_per_second(*looks, sa, former.of(sa), "bytes"));
    }
    row.push_back(number(at(sa, "packets")));
    row.push_back(size(at(sa, "bytes")));
    row.push_back(number(at(sa, "next_number")));
    for (const char* key : {"lost", "missing", "reordered", "reorder_max", "duplicates", "late"})
      row.push_back(number(at(sender, key)));
    row.push_back(silence(at(sender, "silent_s")));
    row.push_back(counters(at(sa, "drops")));
    table.row(std::move(row));
  }
  return table.text();
}

Result<std::string> top_text(const std::string& answer, const std::string& earlier, std::size_t rows) {
  const auto looks = read(answer, earlier);
  if (!looks) return tl::unexpected(looks.error());
  const Former former(at(looks->earlier, "groups"), "group");
  const auto busy = [&](const Json* group) {
    const Json& before = former.of(*group);
    return rate(at(*group, "sealed"), at(before, "sealed"), looks->seconds).value_or(0) +
           rate(at(*group, "opened"), at(before, "opened"), looks->seconds).value_or(0);
  };
  std::vector<std::pair<double, const Json*>> order;
  for (const Json* group : all_groups(looks->now))
    order.emplace_back(busy(group), group);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<const Json*> shown;
  for (std::size_t i = 0; i < order.size() && i < rows; ++i)
    shown.push_back(order[i].second);
  std::string out = ports_table(*looks).text() + "\n" + groups_table(*looks, shown).text();
  if (order.size() > rows) out += fmt::format("… {} groups in all\n", order.size());
  return out;
}

}  // namespace sealcast::cli
