// The data plane's figures, each once: its name in JSON and telemetry, its title on a screen, its unit. A figure that
// is added to a table here appears at the admin socket and in telemetry; a screen of the command line chooses by
// member.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dataplane_control.h"

namespace sealcast {

enum class Unit : std::uint8_t { count, bytes };

template <typename Of>
struct Figure {
  const char* name;
  const char* title;
  Unit unit;
  std::uint64_t Of::*value;
};

inline constexpr Figure<PortStatistics> port_figures[] = {
    {"rx_packets", "rx packets", Unit::count, &PortStatistics::rx_packets},
    {"rx_bytes", "rx bytes", Unit::bytes, &PortStatistics::rx_bytes},
    {"tx_packets", "tx packets", Unit::count, &PortStatistics::tx_packets},
    {"tx_bytes", "tx bytes", Unit::bytes, &PortStatistics::tx_bytes},
    {"tx_dropped", "tx dropped", Unit::count, &PortStatistics::tx_dropped},
};

inline constexpr Figure<GroupStatistics> group_figures[] = {
    {"epochs", "epochs", Unit::count, &GroupStatistics::epochs},
    {"senders", "senders", Unit::count, &GroupStatistics::senders},
    {"sealed", "sealed", Unit::count, &GroupStatistics::sealed},
    {"sealed_bytes", "sealed bytes", Unit::bytes, &GroupStatistics::sealed_bytes},
    {"opened", "opened", Unit::count, &GroupStatistics::opened},
    {"opened_bytes", "opened bytes", Unit::bytes, &GroupStatistics::opened_bytes},
    {"lost", "lost", Unit::count, &GroupStatistics::lost},
    {"reordered", "reordered", Unit::count, &GroupStatistics::reordered},
    {"duplicates", "duplicates", Unit::count, &GroupStatistics::duplicates},
    {"late", "late", Unit::count, &GroupStatistics::late},
};

inline constexpr Figure<SaStatistics> sa_figures[] = {
    {"packets", "packets", Unit::count, &SaStatistics::packets},
    {"bytes", "bytes", Unit::bytes, &SaStatistics::bytes},
    {"next_number", "number", Unit::count, &SaStatistics::next_number},
    {"replays", "replays", Unit::count, &SaStatistics::replays},
    {"bad_tags", "bad tags", Unit::count, &SaStatistics::bad_tags},
};

inline constexpr Figure<SenderEstimate> sender_figures[] = {
    {"first", "first", Unit::count, &SenderEstimate::first},
    {"last", "last", Unit::count, &SenderEstimate::last},
    {"lost", "lost", Unit::count, &SenderEstimate::lost},
    {"leaps", "leaps", Unit::count, &SenderEstimate::leaps},
    {"leapt_over", "leapt over", Unit::count, &SenderEstimate::leapt_over},
    {"breaks", "breaks", Unit::count, &SenderEstimate::breaks},
    {"missing", "missing", Unit::count, &SenderEstimate::missing},
    {"reordered", "reordered", Unit::count, &SenderEstimate::reordered},
    {"reorder_sum", "by in all", Unit::count, &SenderEstimate::reorder_sum},
    {"reorder_max", "by at most", Unit::count, &SenderEstimate::reorder_max},
    {"duplicates", "duplicates", Unit::count, &SenderEstimate::duplicates},
    {"late", "late", Unit::count, &SenderEstimate::late},
};

inline constexpr Figure<WorkerStatistics> worker_figures[] = {
    {"sealed", "sealed", Unit::count, &WorkerStatistics::sealed},
    {"sealed_bytes", "sealed bytes", Unit::bytes, &WorkerStatistics::sealed_bytes},
    {"opened", "opened", Unit::count, &WorkerStatistics::opened},
    {"opened_bytes", "opened bytes", Unit::bytes, &WorkerStatistics::opened_bytes},
    {"bypassed", "bypassed", Unit::count, &WorkerStatistics::bypassed},
    {"bypassed_bytes", "bypassed bytes", Unit::bytes, &WorkerStatistics::bypassed_bytes},
};

inline constexpr Figure<BypassStatistics> bypass_figures[] = {
    {"passed", "frames", Unit::count, &BypassStatistics::passed},
    {"passed_bytes", "bytes", Unit::bytes, &BypassStatistics::passed_bytes},
    {"rate_limited", "over rate", Unit::count, &BypassStatistics::rate_limited},
    {"looped", "looped", Unit::count, &BypassStatistics::looped},
};

// Of the whole plane.
inline constexpr Figure<DataPlaneStatistics> plane_figures[] = {
    {"sealed", "sealed", Unit::count, &DataPlaneStatistics::sealed},
    {"opened", "opened", Unit::count, &DataPlaneStatistics::opened},
    {"bypassed", "bypassed", Unit::count, &DataPlaneStatistics::bypassed},
};

// Packets that took a special path and went on.
inline constexpr Figure<DataPlaneStatistics> detour_figures[] = {
    {"cut", "cut before sealing", Unit::count, &DataPlaneStatistics::cut},
    {"reassembled", "put together from fragments", Unit::count, &DataPlaneStatistics::reassembled},
    {"parked", "parked until their key came", Unit::count, &DataPlaneStatistics::parked},
    {"spread_waits", "waits of a spread stream", Unit::count, &DataPlaneStatistics::spread_waits},
};

// The figure of a table that shows this member; without one the program does not compile.
template <typename Of, std::size_t n>
consteval const Figure<Of>* figure_of(const Figure<Of> (&table)[n], std::uint64_t Of::*value) {
  for (const Figure<Of>& figure : table)
    if (figure.value == value) return &figure;
  throw "the table has no such figure";
}

}  // namespace sealcast
