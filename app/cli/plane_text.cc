#include "app/cli/plane_text.h"

#include <algorithm>
#include <map>
#include <vector>

#include "app/cli/answer.h"

namespace sealcast::cli {
namespace {

double seconds_of(const Looks& looks) {
  return looks.earlier != nullptr ? seconds_between(looks.now.taken, looks.earlier->taken) : 0;
}
bool with_rates(const Looks& looks) {
  return seconds_of(looks) > 0;
}

// The port, group or SA of the earlier look that is the same.
template <typename Of, typename Key>
class Former {
 public:
  Former(const std::vector<Of>* earlier, Key Of::*key) : key_(key) {
    if (earlier == nullptr) return;
    for (const Of& one : *earlier)
      by_key_.emplace(one.*key, &one);
  }
  const Of* of(const Of& one) const {
    const auto found = by_key_.find(one.*key_);
    return found == by_key_.end() ? nullptr : found->second;
  }

 private:
  Key Of::*key_;
  std::map<Key, const Of*> by_key_;
};
template <typename Of, typename Key>
Former<Of, Key> former(const Looks& looks, std::vector<Of> DataPlaneStatistics::*list, Key Of::*key) {
  return {looks.earlier != nullptr ? &(looks.earlier->*list) : nullptr, key};
}

template <typename Of>
std::optional<double> rate_of(const Looks& looks, const Of& now, const Of* before, std::uint64_t Of::*value) {
  return rate(now.*value, before != nullptr ? std::optional(before->*value) : std::nullopt, seconds_of(looks));
}
template <typename Of>
std::string packets_per_second(const Looks& looks, const Of& now, const Of* before, std::uint64_t Of::*value) {
  const auto per_second = rate_of(looks, now, before, value);
  return per_second ? packets_rate(*per_second) : "";
}
template <typename Of>
std::string bits_per_second(const Looks& looks, const Of& now, const Of* before, std::uint64_t Of::*bytes) {
  const auto per_second = rate_of(looks, now, before, bytes);
  return per_second ? bits_rate(*per_second * 8) : "";
}

template <typename Of>
void add_titles(std::vector<Table::Column>& columns, const std::vector<const Figure<Of>*>& figures) {
  for (const Figure<Of>* figure : figures)
    columns.push_back({figure->title, Align::right});
}
void add_titles(std::vector<Table::Column>& columns, std::initializer_list<const char*> titles) {
  for (const char* title : titles)
    columns.push_back({title, Align::right});
}
// of: nullptr for blanks.
template <typename Of>
void add_figures(std::vector<std::string>& row, const std::vector<const Figure<Of>*>& figures, const Of* of) {
  for (const Figure<Of>* figure : figures)
    row.push_back(of != nullptr ? shown(*figure, *of) : "");
}
template <typename Of, std::size_t n>
std::vector<const Figure<Of>*> all_of(const Figure<Of> (&table)[n]) {
  std::vector<const Figure<Of>*> out;
  for (const Figure<Of>& figure : table)
    out.push_back(&figure);
  return out;
}

Table ports_table(const Looks& looks) {
  const auto figures = all_of(port_figures);
  std::vector<Table::Column> columns{{"port"}, {"device"}, {"link"}};
  add_titles(columns, figures);
  if (with_rates(looks)) add_titles(columns, {"rx packets/s", "rx bits/s", "tx packets/s", "tx bits/s"});
  Table table(std::move(columns));
  const auto earlier = former(looks, &DataPlaneStatistics::ports, &PortStatistics::name);
  for (const PortStatistics& port : looks.now.ports) {
    std::vector<std::string> row{port.name, port.device, port.link_up ? "up" : "down"};
    add_figures(row, figures, &port);
    if (with_rates(looks)) {
      const PortStatistics* const before = earlier.of(port);
      row.push_back(packets_per_second(looks, port, before, &PortStatistics::rx_packets));
      row.push_back(bits_per_second(looks, port, before, &PortStatistics::rx_bytes));
      row.push_back(packets_per_second(looks, port, before, &PortStatistics::tx_packets));
      row.push_back(bits_per_second(looks, port, before, &PortStatistics::tx_bytes));
    }
    table.row(std::move(row));
  }
  return table;
}

Table groups_table(const Looks& looks, const std::vector<const GroupStatistics*>& groups) {
  using Group = GroupStatistics;
  const std::vector<const Figure<Group>*> figures{
      figure_of(group_figures, &Group::sealed),    figure_of(group_figures, &Group::opened),
      figure_of(group_figures, &Group::senders),   figure_of(group_figures, &Group::lost),
      figure_of(group_figures, &Group::reordered), figure_of(group_figures, &Group::duplicates),
      figure_of(group_figures, &Group::late)};
  std::vector<Table::Column> columns{{"group"}, {"epoch", Align::right}};
  if (with_rates(looks)) add_titles(columns, {"sealed/s", "bits/s", "opened/s", "bits/s"});
  add_titles(columns, figures);
  add_titles(columns, {"silent", "dropped"});
  columns.push_back({"because"});
  Table table(std::move(columns));
  const auto earlier = former(looks, &DataPlaneStatistics::groups, &Group::group_id);
  for (const Group* group : groups) {
    std::vector<std::string> row{group->group_id, digits(group->active_epoch)};
    if (with_rates(looks)) {
      const Group* const before = earlier.of(*group);
      row.push_back(packets_per_second(looks, *group, before, &Group::sealed));
      row.push_back(bits_per_second(looks, *group, before, &Group::sealed_bytes));
      row.push_back(packets_per_second(looks, *group, before, &Group::opened));
      row.push_back(bits_per_second(looks, *group, before, &Group::opened_bytes));
    }
    add_figures(row, figures, group);
    row.push_back(seconds(group->silent_s));
    row.push_back(count(sum(group->drops)));
    row.push_back(counters(group->drops));
    table.row(std::move(row));
  }
  return table;
}

std::vector<const GroupStatistics*> all_groups(const Looks& looks) {
  std::vector<const GroupStatistics*> groups;
  for (const GroupStatistics& group : looks.now.groups)
    groups.push_back(&group);
  return groups;
}

Table workers_table(const DataPlaneStatistics& now) {
  using Worker = WorkerStatistics;
  const std::vector<const Figure<Worker>*> figures{
      figure_of(worker_figures, &Worker::sealed), figure_of(worker_figures, &Worker::sealed_bytes),
      figure_of(worker_figures, &Worker::opened), figure_of(worker_figures, &Worker::opened_bytes),
      figure_of(worker_figures, &Worker::bypassed)};
  std::vector<Table::Column> columns{{"worker", Align::right}};
  add_titles(columns, figures);
  add_titles(columns, {"dropped"});
  Table table(std::move(columns));
  for (const Worker& worker : now.workers) {
    std::vector<std::string> row{std::to_string(worker.index)};
    add_figures(row, figures, &worker);
    row.push_back(count(sum(worker.drops)));
    table.row(std::move(row));
  }
  return table;
}

}  // namespace

std::string ports_rows(const Looks& looks, std::size_t indent) {
  const Table table = ports_table(looks);
  return table.empty() ? std::string() : table.text(indent);
}

std::string detours(const DataPlaneStatistics& now) {
  std::string out;
  for (const auto& figure : detour_figures)
    if (now.*figure.value != 0) out += (out.empty() ? "" : ", ") + shown(figure, now) + " " + figure.title;
  return out;
}

std::string ports_text(const Looks& looks) {
  std::string out = ports_table(looks).text();
  if (const Table workers = workers_table(looks.now); !workers.empty()) out += "\n" + workers.text();
  if (const std::string text = detours(looks.now); !text.empty()) out += "\non the way: " + text + "\n";
  Table drops({{"dropped because"}, {"packets", Align::right}});
  for (const DropCount& drop : looks.now.drops)
    if (drop.packets != 0) drops.row({drop.reason, count(drop.packets)});
  if (!drops.empty()) out += "\n" + drops.text();
  return out;
}

std::string plane_groups_text(const Looks& looks) {
  return groups_table(looks, all_groups(looks)).text();
}

std::string sas_text(const Looks& looks, bool all) {
  using Sa = SaStatistics;
  using Sender = SenderEstimate;
  const std::vector<const Figure<Sa>*> of_sa{figure_of(sa_figures, &Sa::packets), figure_of(sa_figures, &Sa::bytes),
                                             figure_of(sa_figures, &Sa::next_number)};
  const std::vector<const Figure<Sender>*> of_sender{
      figure_of(sender_figures, &Sender::lost),       figure_of(sender_figures, &Sender::leapt_over),
      figure_of(sender_figures, &Sender::breaks),     figure_of(sender_figures, &Sender::missing),
      figure_of(sender_figures, &Sender::reordered),  figure_of(sender_figures, &Sender::reorder_max),
      figure_of(sender_figures, &Sender::duplicates), figure_of(sender_figures, &Sender::late)};
  std::vector<Table::Column> columns{
      {"group"}, {"SPI"}, {"direction"}, {"epoch", Align::right}, {"active"}, {"worker", Align::right}};
  if (with_rates(looks)) add_titles(columns, {"packets/s", "bits/s"});
  add_titles(columns, of_sa);
  add_titles(columns, of_sender);
  add_titles(columns, {"silent"});
  columns.push_back({"drops"});
  Table table(std::move(columns));
  const auto earlier = former(looks, &DataPlaneStatistics::sas, &Sa::spi);
  for (const Sa& sa : looks.now.sas) {
    // Slots that are derived ahead and unused would hide those in use.
    if (!sa.outbound && !all && sa.packets == 0 && sum(sa.drops) == 0) continue;
    const Sender* const sender = sa.sender ? &*sa.sender : nullptr;
    std::vector<std::string> row{sa.group_id,
                                 spi_text(sa.spi),
                                 sa.outbound ? "out" : "in",
                                 std::to_string(sa.epoch),
                                 sa.outbound ? (sa.active ? "yes" : "no") : "",
                                 std::to_string(sa.worker)};
    if (with_rates(looks)) {
      const Sa* const before = earlier.of(sa);
      row.push_back(packets_per_second(looks, sa, before, &Sa::packets));
      row.push_back(bits_per_second(looks, sa, before, &Sa::bytes));
    }
    add_figures(row, of_sa, &sa);
    add_figures(row, of_sender, sender);
    row.push_back(sender != nullptr ? seconds(sender->silent_s) : "");
    row.push_back(counters(sa.drops));
    table.row(std::move(row));
  }
  return table.text();
}

std::string top_text(const Looks& looks, std::size_t rows) {
  using Group = GroupStatistics;
  const auto earlier = former(looks, &DataPlaneStatistics::groups, &Group::group_id);
  std::vector<std::pair<double, const Group*>> order;
  for (const Group* group : all_groups(looks)) {
    const Group* const before = earlier.of(*group);
    order.emplace_back(rate_of(looks, *group, before, &Group::sealed).value_or(0) +
                           rate_of(looks, *group, before, &Group::opened).value_or(0),
                       group);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<const Group*> busiest;
  for (std::size_t i = 0; i < order.size() && i < rows; ++i)
    busiest.push_back(order[i].second);
  std::string out = ports_table(looks).text() + "\n" + groups_table(looks, busiest).text();
  if (order.size() > rows) out += fmt::format("… {} groups in all\n", order.size());
  return out;
}

}  // namespace sealcast::cli
