// The platform's statistics as text for people: what hbctl and the manager's console print.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace hb {

/// Rows of cells, printed in aligned columns: those that hold numbers to the right.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);

  /// Missing cells are empty, surplus ones are ignored.
  void add_row(std::vector<std::string> cells);
  /// The header and the rows, each line ended by '\n'. Columns in which no row has anything are
  /// left out; cells of "" in a column of numbers are shown as "-".
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

/// An earlier status, for rates. Counters that went back (a restart) give no rate.
struct EarlierStatus {
  const nlohmann::json& status;
  double seconds;  ///< from then to now; rates are left out unless it is above 0
};

// Each takes the statistics object of the control channel ({"op":"status"}) or of --stats; fields
// that are missing or of another type show as empty. `earlier` may be null: then there are no
// rates.

/// Ports: packets, bytes, losses, and their rates.
std::string ports_text(const nlohmann::json& status, const EarlierStatus* earlier = nullptr);
/// NFs: where they run, their state and counters, and below them the drop reasons.
std::string nfs_text(const nlohmann::json& status, const EarlierStatus* earlier = nullptr);
/// Route table: type, current NF, next NF.
std::string routes_text(const nlohmann::json& status);
/// What a change of routes or flows did: version, types, packets held and for how long.
/// @param change  the object that {"op":"change"} answers
std::string change_text(const nlohmann::json& change);
/// Device, memory mode and work-groups, a line each.
std::string gpu_text(const nlohmann::json& status, const EarlierStatus* earlier = nullptr);
/// One line: pool, packets in flight, drops of the platform itself, GPU, audit.
std::string summary_text(const nlohmann::json& status);
/// Ports, NFs and the summary: `hbctl status` and the console of a terminal.
std::string status_text(const nlohmann::json& status, const EarlierStatus* earlier = nullptr);
/// One line of totals for a console that is no terminal: what came in, went out and was lost.
std::string status_line(const nlohmann::json& status, const EarlierStatus* earlier = nullptr);
/// The audit's verdict, where the packets are, and what does not add up.
/// @param audit  the object that {"op":"audit"} answers, or `audit` of the statistics
std::string audit_text(const nlohmann::json& audit);

/// A rate in three digits and a unit: 950, 1.25k, 83.3M. Not for negative values.
std::string short_number(double value);

}  // namespace hb
