#include "nf_lib/text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

namespace hb {
namespace {

using nlohmann::json;

/// The field, or null when `object` is no object or has no such field.
const json& field(const json& object, std::string_view key) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

/// The field's elements; none when it is no array.
const json& list(const json& object, std::string_view key) {
  static const json kEmpty = json::array();
  const json& value = field(object, key);
  return value.is_array() ? value : kEmpty;
}

std::optional<std::uint64_t> count(const json& object, std::string_view key) {
  const json& value = field(object, key);
  if (!value.is_number_integer()) return std::nullopt;
  return value.is_number_unsigned() || value.get<std::int64_t>() >= 0
             ? std::optional(value.get<std::uint64_t>())
             : std::nullopt;
}

/// How a value is shown: text as it is, nothing for null.
std::string shown(const json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return value.dump();
}

std::string shown(const json& object, std::string_view key) { return shown(field(object, key)); }

/// Sum of an object's counts: {reason: n}.
std::uint64_t sum(const json& counts) {
  std::uint64_t total = 0;
  if (!counts.is_object()) return 0;
  for (const auto& [name, value] : counts.items()) total += count(counts, name).value_or(0);
  return total;
}

/// "reason n, reason n" of the counts above zero.
std::string nonzero(const json& counts) {
  std::string text;
  if (!counts.is_object()) return text;
  for (const auto& [name, value] : counts.items()) {
    if (value.is_number() && value == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, shown(value));
  }
  return text;
}

/// The element of the earlier status' list that is the same port or instance.
const json* same(const json& elements, const json& now, std::initializer_list<const char*> keys) {
  const auto it = std::ranges::find_if(elements, [&](const json& then) {
    return std::ranges::all_of(
        keys, [&](const char* key) { return field(then, key) == field(now, key); });
  });
  return it == elements.end() ? nullptr : &*it;
}

/// Growth per second of a counter; nullopt when it isn't known.
std::optional<double> rate(const json& now, const json* then, const EarlierStatus* earlier,
                           const char* key) {
  if (earlier == nullptr || then == nullptr || !(earlier->seconds > 0)) return std::nullopt;
  const auto a = count(*then, key);
  const auto b = count(now, key);
  if (!a || !b || *b < *a) return std::nullopt;
  return static_cast<double>(*b - *a) / earlier->seconds;
}

std::string shown_rate(std::optional<double> value, double factor = 1) {
  return value ? short_number(*value * factor) : "";
}

/// A sum over the ports' counter, and its rate when every port has one.
struct Total {
  std::uint64_t n = 0;
  std::optional<double> per_second = 0.0;
};

Total port_total(const json& status, const EarlierStatus* earlier, const char* key) {
  Total total;
  const json& before = earlier != nullptr ? list(earlier->status, "ports") : list(json(), "");
  for (const json& port : list(status, "ports")) {
    total.n += count(port, key).value_or(0);
    const auto r = rate(port, same(before, port, {"id"}), earlier, key);
    total.per_second = r && total.per_second ? std::optional(*r + *total.per_second) : std::nullopt;
  }
  return total;
}

std::uint64_t total_drops(const json& status) {
  std::uint64_t total = sum(field(status, "drops"));
  for (const json& nf : list(status, "nfs")) total += sum(field(nf, "drops"));
  for (const json& port : list(status, "ports")) total += count(port, "tx_dropped").value_or(0);
  return total;
}

bool is_number(std::string_view cell) {
  return !cell.empty() && (std::isdigit(static_cast<unsigned char>(cell[0])) != 0 || cell == "-");
}

/// Bytes that continue a UTF-8 character take no column of their own.
std::size_t width_of(std::string_view cell) {
  return static_cast<std::size_t>(
      std::ranges::count_if(cell, [](char c) { return (c & 0xc0) != 0x80; }));
}

/// File names can be long; their end says more than their beginning.
std::string shortened(std::string text) {
  static constexpr std::size_t kMost = 48;
  if (text.size() <= kMost) return text;
  return text.substr(0, kMost / 4) + "..." + text.substr(text.size() - (kMost * 3 / 4 - 3));
}

std::string rtrim(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

TextTable::TextTable(std::vector<std::string> header) : header_(std::move(header)) {}

void TextTable::add_row(std::vector<std::string> cells) {
  cells.resize(header_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
  std::vector<std::string> lines(rows_.size() + 1);
  for (std::size_t c = 0; c < header_.size(); ++c) {
    const auto cell = [&](const auto& row) { return std::string_view(row[c]); };
    if (std::ranges::all_of(rows_, [&](const auto& row) { return cell(row).empty(); })) continue;
    const bool numbers = std::ranges::all_of(
        rows_, [&](const auto& row) { return cell(row).empty() || is_number(cell(row)); });
    std::size_t width = width_of(header_[c]);
    for (const auto& row : rows_) width = std::max(width, width_of(cell(row)));
    for (std::size_t l = 0; l < lines.size(); ++l) {
      std::string_view text = l == 0 ? std::string_view(header_[c]) : cell(rows_[l - 1]);
      if (numbers && text.empty()) text = "-";
      const std::string padding(width - width_of(text), ' ');
      lines[l] += lines[l].empty() ? "" : "  ";
      lines[l] += numbers ? padding + std::string(text) : std::string(text) + padding;
    }
  }
  std::string all;
  for (std::string& each : lines) all += rtrim(std::move(each)) + '\n';
  return all;
}

std::string short_number(double value) {
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P"};
  std::size_t unit = 0;
  // 999.5 would print as four digits.
  while (value >= (unit == 0 ? 1000 : 999.5) && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}f}{}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, kUnits[unit]);
}

std::string ports_text(const json& status, const EarlierStatus* earlier) {
  TextTable table({"PORT", "RX packets", "RX bytes", "pps", "bit/s", "TX packets", "TX bytes",
                   "pps", "bit/s", "RX missed", "TX dropped", "SPEC"});
  const json& before = earlier != nullptr ? list(earlier->status, "ports") : list(json(), "");
  for (const json& port : list(status, "ports")) {
    const json* const then = same(before, port, {"id"});
    const auto per_second = [&](const char* key, double factor = 1) {
      return shown_rate(rate(port, then, earlier, key), factor);
    };
    table.add_row({shown(port, "id"), shown(port, "rx_packets"), shown(port, "rx_bytes"),
                   per_second("rx_packets"), per_second("rx_bytes", 8), shown(port, "tx_packets"),
                   shown(port, "tx_bytes"), per_second("tx_packets"), per_second("tx_bytes", 8),
                   shown(port, "rx_missed"), shown(port, "tx_dropped"),
                   shortened(shown(port, "spec"))});
  }
  return table.empty() ? "no ports\n" : table.text();
}

std::string nfs_text(const json& status, const EarlierStatus* earlier) {
  TextTable table({"NF", "ID", "ON", "ISOLATION", "STATE", "PID", "RX", "pps", "TX", "pps",
                   "ORIGINATED", "DROPPED", "LOST IN CRASH", "RESTARTS", "LAST END"});
  const json& before = earlier != nullptr ? list(earlier->status, "nfs") : list(json(), "");
  std::string reasons;
  for (const json& nf : list(status, "nfs")) {
    const json* const then = same(before, nf, {"service", "instance", "pid"});
    const json& drops = field(nf, "drops");
    const std::string name = shown(nf, "service") + '/' + shown(nf, "instance");
    table.add_row({name, shown(nf, "service_id"), shown(nf, "compute"), shown(nf, "isolation"),
                   shown(nf, "state"), count(nf, "pid") == 0 ? "" : shown(nf, "pid"),
                   shown(nf, "rx"), shown_rate(rate(nf, then, earlier, "rx")), shown(nf, "tx"),
                   shown_rate(rate(nf, then, earlier, "tx")), shown(nf, "originated"),
                   drops.is_object() ? std::to_string(sum(drops)) : "", shown(nf, "lost_in_crash"),
                   shown(nf, "restarts"), shown(nf, "last_end")});
    if (const std::string text = nonzero(drops); !text.empty())
      reasons += fmt::format("{} dropped: {}\n", name, text);
    if (const std::string text = nonzero(field(nf, "counters")); !text.empty())
      reasons += fmt::format("{} counted: {}\n", name, text);
  }
  return table.empty() ? "no NFs: start one with ./start_nf.sh NAME\n" : table.text() + reasons;
}

std::string routes_text(const json& status) {
  TextTable table({"TYPE", "CURRENT", "NEXT"});
  for (const json& route : list(status, "routes"))
    table.add_row({shown(route, "type"), shown(route, "current"), shown(route, "next")});
  return table.empty() ? "no routes\n" : table.text();
}

std::string change_text(const json& change) {
  std::string types;
  for (const json& type : list(change, "affected"))
    types += (types.empty() ? "" : ", ") + type.get<std::string>();
  std::string text =
      fmt::format("version {}: {} packets held, until {} us after the change\n",
                  shown(change, "version"), shown(change, "n_held"), shown(change, "hold_us"));
  text +=
      types.empty() ? "no type's routes changed\n" : "types whose routes changed: " + types + '\n';
  return text;
}

std::string gpu_text(const json& status, const EarlierStatus* earlier) {
  const json& gpu = field(status, "gpu");
  if (!gpu.is_object() || gpu.empty()) return "no GPU host is running\n";
  std::size_t width = 0;
  for (const auto& [key, value] : gpu.items())
    if (!value.is_array()) width = std::max(width, width_of(key));
  std::string text;
  for (const auto& [key, value] : gpu.items())
    if (!value.is_array())
      text += rtrim(fmt::format("{:<{}}  {}", key, width, shown(value))) + '\n';
  TextTable table({"NF", "STATE", "WORK-GROUPS", "ROUNDS", "rounds/s", "PACKETS", "pps",
                   "MEAN FILL", "OCCUPANCY", "P50 us", "P99 us", "BACKLOG", "WAITING", "VERSION"});
  const json& before =
      earlier != nullptr ? list(field(earlier->status, "gpu"), "slices") : list(json(), "");
  const auto number = [](const json& slice, const char* key, double factor, int digits) {
    const json& value = field(slice, key);
    return value.is_number() ? fmt::format("{:.{}f}", value.get<double>() * factor, digits) : "";
  };
  for (const json& slice : list(gpu, "slices")) {
    const json* const then = same(before, slice, {"service", "slice"});
    table.add_row({shown(slice, "service") + '/' + shown(slice, "instance"), shown(slice, "state"),
                   std::to_string(list(slice, "workgroups").size()), shown(slice, "rounds"),
                   shown_rate(rate(slice, then, earlier, "rounds")), shown(slice, "packets"),
                   shown_rate(rate(slice, then, earlier, "packets")),
                   number(slice, "mean_fill", 1, 1), number(slice, "occupancy", 100, 0) + "%",
                   number(slice, "latency_p50_us", 1, 1), number(slice, "latency_p99_us", 1, 1),
                   shown(slice, "backlog"), shown(slice, "waiting"),
                   shown(slice, "table_version")});
  }
  return table.empty() ? text : text + '\n' + table.text();
}

std::string summary_text(const json& status) {
  std::vector<std::string> parts;
  if (const json& pool = field(status, "pool"); pool.is_object())
    parts.push_back(fmt::format("pool: {} of {} free", shown(pool, "free"), shown(pool, "size")));
  if (const auto in_flight = count(status, "in_flight"))
    parts.push_back(fmt::format("in flight: {}", *in_flight));
  if (const std::string drops = nonzero(field(status, "drops")); !drops.empty())
    parts.push_back("dropped by the platform: " + drops);
  const json& gpu = field(status, "gpu");
  if (const std::string device = shown(gpu, "device"); !device.empty()) {
    parts.push_back(fmt::format("gpu: {} ({}, {}, {} work-groups)", device, shown(gpu, "backend"),
                                shown(gpu, "memory_mode"), shown(gpu, "workgroups")));
  }
  if (const json& ok = field(field(status, "audit"), "ok"); ok.is_boolean())
    parts.push_back(ok.get<bool>() ? "audit: ok" : "audit: FAILED");
  return parts.empty() ? "" : fmt::format("{}\n", fmt::join(parts, "; "));
}

std::string status_text(const json& status, const EarlierStatus* earlier) {
  return ports_text(status, earlier) + '\n' + nfs_text(status, earlier) + '\n' +
         summary_text(status);
}

std::string status_line(const json& status, const EarlierStatus* earlier) {
  const auto part = [&](const char* what, const char* packets, const char* bytes) {
    const Total n = port_total(status, earlier, packets);
    const Total b = port_total(status, earlier, bytes);
    std::string text = fmt::format("{} {} packets", what, n.n);
    if (earlier != nullptr && n.per_second && b.per_second)
      text += fmt::format(" ({} pps, {} bit/s)", short_number(*n.per_second),
                          short_number(*b.per_second * 8));
    return text;
  };
  const json& nfs = list(status, "nfs");
  const auto running =
      std::ranges::count_if(nfs, [](const json& nf) { return shown(nf, "state") == "running"; });
  return fmt::format("{}, {}, dropped {}, in flight {}, {} NFs running",
                     part("rx", "rx_packets", "rx_bytes"), part("tx", "tx_packets", "tx_bytes"),
                     total_drops(status), shown(status, "in_flight"), running);
}

std::string audit_text(const json& audit) {
  const json& ok = field(audit, "ok");
  std::string text = ok.is_boolean() && ok.get<bool>()
                         ? "audit: ok, every packet of the pool is in exactly one place\n"
                         : "audit: FAILED, packets are lost or in two places\n";
  if (!audit.is_object()) return text;
  for (const auto& [key, value] : audit.items()) {
    if (key == "ok") continue;
    if (!value.is_object()) {
      text += fmt::format("{:<12} {}\n", key, shown(value));
      continue;
    }
    std::string counts;
    for (const auto& [place, n] : value.items())
      counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", place, shown(n));
    text += fmt::format("{:<12} {}\n", key, counts);
  }
  return text;
}

}  // namespace hb
