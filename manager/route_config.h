// routes.csv: which network function a packet of some type goes to next.
#pragma once

#include <string>
#include <vector>

#include "manager/csv.h"
#include "nf_lib/result.h"

namespace hb {

/// One line of routes.csv: `packet type, current NF, next NF`.
struct RouteRule {
  std::string type;     ///< a packet type's name, or "*": for types without a rule of their own
  std::string current;  ///< a service's name, or "rx": where packets enter
  std::string next;     ///< a service's name, "tx", "tx:<port>" or "drop"
  int line = 0;         ///< 0 when the rule does not come from a file
};

/// A routes.csv that holds together by itself. What needs run-time state (is an NF running, has its
/// service got an id) is not checked here.
struct RouteConfig {
  std::string path;              ///< as the user gave it; empty for a default chain
  std::vector<RouteRule> rules;  ///< in the file's order
  /// Type names other than "*", in order of first appearance.
  std::vector<std::string> types;
  /// Services that a packet of some type can reach from rx, in order of first appearance in the
  /// file: all of them must run. Types are left out of the search, as an NF may change them.
  std::vector<std::string> services;
  /// Services that are named but can't be reached from rx: worth a warning.
  std::vector<std::string> unreachable;
};

/// How a rule's next hop is written.
enum class NextKind { kService, kTxPaired, kTxPort, kDrop };

/// Kind of a checked rule's `next`; for kTxPort, port is set to its number.
/// "tx" alone is the port paired with the one that the packet came from.
NextKind next_kind(const std::string& next, unsigned& port);

/// True for [A-Za-z0-9_.-]{1,31}: what a service or a packet type may be called.
bool is_valid_name(const std::string& name);

/// True for the words that routes.csv has taken: rx, tx, drop. No service may be called so.
bool is_reserved_name(const std::string& name);

/// Checks the rows of a routes.csv, all before the first is used.
///
/// Errors, each with file and line: not three fields, an empty or malformed name, `rx` as a next,
/// `tx` or `drop` as a current, a port number not below n_ports, two rules for the same type and
/// current (with both lines). Without a line: no rule from rx at all.
/// @param n_ports  number of --port options
Result<RouteConfig> parse_route_config(const CsvFile& file, unsigned n_ports);

/// read_csv(), then parse_route_config().
Result<RouteConfig> load_route_config(const std::string& path, unsigned n_ports);

enum class RouteEdit { kAdd, kReplace, kDelete };

/// The routes with one rule added, put in the place of another, or taken away. The result holds
/// together as a file's would; `config` is left as it is.
/// @param rule  of kDelete, `next` may be empty: whichever it is
/// @return an error for a rule that is malformed, there already, or not there
Result<RouteConfig> edit_route_config(const RouteConfig& config, RouteEdit edit, RouteRule rule,
                                      unsigned n_ports);

}  // namespace hb
