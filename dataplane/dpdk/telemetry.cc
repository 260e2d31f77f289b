#include "dataplane/dpdk/telemetry.h"

#include <rte_telemetry.h>
#include <rte_version.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

#include "base/figures.h"
#include "base/spi_text.h"

namespace sealcast::dataplane {
namespace {

using Copy = std::shared_ptr<const DataPlaneStatistics>;

// DPDK cannot unregister a command, so the data that its threads read is never destroyed.
struct Board {
  std::mutex mutex;
  Copy copy;
};
Board& board() {
  static Board* const instance = new Board;
  return *instance;
}
Copy current() {
  Board& b = board();
  const std::lock_guard lock(b.mutex);
  return b.copy;
}

// A command's answer from the copy; -1 makes DPDK answer null.
template <typename Fill>
int answer(Fill fill) noexcept {
  try {
    const Copy copy = current();
    return copy == nullptr ? -1 : fill(*copy);
  } catch (...) {  // out of memory on a thread of DPDK's, which handles no exceptions
    return -1;
  }
}

int add_number(rte_tel_data* d, const char* name, std::uint64_t value) {
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)  // there the older name is deprecated
  return rte_tel_data_add_dict_uint(d, name, value);
#else
  return rte_tel_data_add_dict_u64(d, name, value);
#endif
}

template <typename S, std::size_t n>
void add_figures(rte_tel_data* d, const S& of, const Figure<S> (&table)[n]) {
  for (const Figure<S>& figure : table)
    add_number(d, figure.name, of.*figure.value);
}

void add_drops(rte_tel_data* d, const std::vector<DropCount>& drops) {
  rte_tel_data* const inner = rte_tel_data_alloc();
  if (inner == nullptr) return;
  rte_tel_data_start_dict(inner);
  for (const DropCount& drop : drops)
    add_number(inner, drop.reason.c_str(), drop.packets);
  rte_tel_data_add_dict_container(d, "drops", inner, 0);
}

int on_status(const char*, const char*, rte_tel_data* d) {
  return answer([d](const DataPlaneStatistics& all) {
    rte_tel_data_start_dict(d);
    rte_tel_data_add_dict_string(d, "engine", all.engine.c_str());
    add_figures(d, all, plane_figures);
    add_figures(d, all, detour_figures);
    add_number(d, "groups", all.groups.size());
    add_number(d, "sas", all.sas.size());
    add_number(d, "workers", all.workers.size());
    for (const DropCount& lost : all.events_lost)
      add_number(d, ("lost_" + lost.reason).c_str(), lost.packets);
    return 0;
  });
}

// Without a parameter: the names, at most as many as fit a DPDK answer.
int on_groups(const char*, const char* params, rte_tel_data* d) {
  const std::string wanted = params == nullptr ? "" : params;
  return answer([&](const DataPlaneStatistics& all) {
    if (wanted.empty()) {
      rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
      for (std::size_t i = 0; i < all.groups.size() && i < RTE_TEL_MAX_ARRAY_ENTRIES; ++i)
        rte_tel_data_add_array_string(d, all.groups[i].group_id.c_str());
      return 0;
    }
    for (const GroupStatistics& group : all.groups) {
      if (group.group_id != wanted) continue;
      rte_tel_data_start_dict(d);
      rte_tel_data_add_dict_string(d, "group", group.group_id.c_str());
      if (group.active_epoch) add_number(d, "active_epoch", *group.active_epoch);
      add_figures(d, group, group_figures);
      add_drops(d, group.drops);
      return 0;
    }
    return -1;
  });
}

int on_sas(const char*, const char* params, rte_tel_data* d) {
  const std::string wanted = params == nullptr ? "" : params;
  return answer([&](const DataPlaneStatistics& all) {
    for (const SaStatistics& sa : all.sas) {
      if (spi_text(sa.spi) != wanted) continue;
      rte_tel_data_start_dict(d);
      rte_tel_data_add_dict_string(d, "group", sa.group_id.c_str());
      rte_tel_data_add_dict_string(d, "direction", sa.outbound ? "out" : "in");
      add_number(d, "epoch", sa.epoch);
      add_number(d, "worker", sa.worker);
      add_figures(d, sa, sa_figures);
      if (sa.sender) add_figures(d, *sa.sender, sender_figures);
      add_drops(d, sa.drops);
      return 0;
    }
    if (wanted.rfind("0x", 0) == 0) return -1;
    rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
    std::size_t listed = 0;
    for (const SaStatistics& sa : all.sas)
      if ((wanted.empty() || sa.group_id == wanted) && listed++ < RTE_TEL_MAX_ARRAY_ENTRIES)
        rte_tel_data_add_array_string(d, spi_text(sa.spi).c_str());
    return 0;
  });
}

int on_ports(const char*, const char*, rte_tel_data* d) {
  return answer([d](const DataPlaneStatistics& all) {
    rte_tel_data_start_dict(d);
    for (const PortStatistics& port : all.ports) {
      rte_tel_data* const inner = rte_tel_data_alloc();
      if (inner == nullptr) return -1;
      rte_tel_data_start_dict(inner);
      rte_tel_data_add_dict_string(inner, "device", port.device.c_str());
      rte_tel_data_add_dict_string(inner, "link", port.link_up ? "up" : "down");
      add_figures(inner, port, port_figures);
      rte_tel_data_add_dict_container(d, port.name.c_str(), inner, 0);
    }
    return 0;
  });
}

int on_drops(const char*, const char*, rte_tel_data* d) {
  return answer([d](const DataPlaneStatistics& all) {
    rte_tel_data_start_dict(d);
    for (const DropCount& drop : all.drops)
      add_number(d, drop.reason.c_str(), drop.packets);
    return 0;
  });
}

int on_workers(const char*, const char*, rte_tel_data* d) {
  return answer([d](const DataPlaneStatistics& all) {
    rte_tel_data_start_dict(d);
    for (const WorkerStatistics& worker : all.workers) {
      rte_tel_data* const inner = rte_tel_data_alloc();
      if (inner == nullptr) return -1;
      rte_tel_data_start_dict(inner);
      add_figures(inner, worker, worker_figures);
      for (const DropCount& drop : worker.drops)
        add_number(inner, ("drop_" + drop.reason).c_str(), drop.packets);
      rte_tel_data_add_dict_container(d, std::to_string(worker.index).c_str(), inner, 0);
    }
    return 0;
  });
}

}  // namespace

Result<void> register_telemetry() {
  static std::once_flag once;
  static int result = 0;
  std::call_once(once, [] {
    struct Command {
      const char* name;
      telemetry_cb call;
      const char* help;
    };
    for (const Command& command :
         {Command{"/sealcast/status", on_status, "Engine, packets, events lost. Takes no parameters"},
          Command{"/sealcast/groups", on_groups, "Names of groups, or one group's figures. Parameters: group"},
          Command{"/sealcast/sas", on_sas, "SPIs, or one SA's figures. Parameters: group or SPI"},
          Command{"/sealcast/ports", on_ports, "Both ports' figures. Takes no parameters"},
          Command{"/sealcast/drops", on_drops, "Packets dropped, by reason. Takes no parameters"},
          Command{"/sealcast/workers", on_workers, "Each worker's figures. Takes no parameters"}})
      if (const int rc = rte_telemetry_register_cmd(command.name, command.call, command.help); rc != 0) result = rc;
  });
  if (result != 0) return fail("DPDK telemetry: cannot register the commands, error " + std::to_string(result));
  return {};
}

void publish_telemetry(DataPlaneStatistics statistics) {
  auto copy = std::make_shared<const DataPlaneStatistics>(std::move(statistics));
  Board& b = board();
  const std::lock_guard lock(b.mutex);
  b.copy.swap(copy);
}

}  // namespace sealcast::dataplane
