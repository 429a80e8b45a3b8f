#include "manager/route_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace hb {
namespace {

constexpr std::size_t kMaxNameChars = 31;
constexpr char kNameRule[] = "names are 1 to 31 of the characters A-Z a-z 0-9 _ . -";
constexpr std::string_view kTxPrefix = "tx:";

/// Parses the number of "tx:<port>"; false for anything else.
bool parse_tx_port(const std::string& next, std::uint32_t& port) {
  return next.starts_with(kTxPrefix) &&
         parse_decimal(std::string_view(next).substr(kTxPrefix.size()), UINT16_MAX, port);
}

Result<void> check_type(const CsvFile& file, const RouteRule& rule) {
  if (rule.type.empty())
    return file.error(rule.line, "the packet type is empty",
                      "name a type of flows.csv, or * for all without a rule of their own");
  if (rule.type != "*" && !is_valid_name(rule.type))
    return file.error(rule.line, fmt::format("'{}' is no packet type", rule.type), kNameRule);
  return {};
}

Result<void> check_current(const CsvFile& file, const RouteRule& rule) {
  if (rule.current.empty())
    return file.error(rule.line, "the current NF is empty",
                      "name an NF, or rx: where packets enter");
  if (rule.current == "tx" || rule.current.starts_with(kTxPrefix) || rule.current == "drop")
    return file.error(rule.line, fmt::format("'{}' can't be the current NF", rule.current),
                      "packets end there; use it as the next NF, or name an NF or rx here");
  if (rule.current.starts_with("rx:"))
    return file.error(rule.line, fmt::format("'{}' can't be the current NF", rule.current),
                      "write rx: it stands for all ports");
  if (!is_valid_name(rule.current))
    return file.error(rule.line, fmt::format("'{}' is no NF's name", rule.current), kNameRule);
  return {};
}

Result<void> check_next(const CsvFile& file, const RouteRule& rule, unsigned n_ports) {
  if (rule.next.empty())
    return file.error(rule.line, "the next NF is empty", "name an NF, tx, tx:<port> or drop");
  if (rule.next == "rx" || rule.next.starts_with("rx:"))
    return file.error(rule.line, fmt::format("'{}' can't be the next NF", rule.next),
                      "packets enter there; use tx or tx:<port> to send them out");
  if (rule.next.starts_with(kTxPrefix)) {
    std::uint32_t port = 0;
    if (!parse_tx_port(rule.next, port))
      return file.error(rule.line, fmt::format("'{}' names no port", rule.next),
                        "write tx:<port> with a port's number, from 0 in the order of --port");
    if (port >= n_ports)
      return file.error(rule.line, fmt::format("'{}': there is no port {}", rule.next, port),
                        n_ports == 0 ? "give a --port option for each port"
                                     : fmt::format("the ports are 0 to {}; add a --port option or "
                                                   "correct the number",
                                                   n_ports - 1));
    return {};
  }
  if (!is_valid_name(rule.next))
    return file.error(rule.line, fmt::format("'{}' is no NF's name", rule.next), kNameRule);
  return {};
}

void append_new(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

/// Sorts all services that are named into those that rx leads to and the others.
void find_reachable(RouteConfig& config) {
  std::vector<std::string> named;
  std::multimap<std::string, std::string> edges;
  unsigned port = 0;
  for (const RouteRule& rule : config.rules) {
    if (rule.current != "rx") append_new(named, rule.current);
    if (next_kind(rule.next, port) != NextKind::kService) continue;
    append_new(named, rule.next);
    edges.emplace(rule.current, rule.next);
  }
  std::set<std::string> reached;
  std::vector<std::string> todo = {"rx"};
  while (!todo.empty()) {
    const std::string from = std::move(todo.back());
    todo.pop_back();
    const auto [first, last] = edges.equal_range(from);
    for (auto edge = first; edge != last; ++edge) {
      if (reached.insert(edge->second).second) todo.push_back(edge->second);
    }
  }
  for (const std::string& name : named)
    (reached.contains(name) ? config.services : config.unreachable).push_back(name);
}

}  // namespace

NextKind next_kind(const std::string& next, unsigned& port) {
  if (next == "tx") return NextKind::kTxPaired;
  if (next == "drop") return NextKind::kDrop;
  std::uint32_t number = 0;
  if (!parse_tx_port(next, number)) return NextKind::kService;
  port = number;
  return NextKind::kTxPort;
}

bool is_valid_name(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNameChars &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '.' || c == '-';
         });
}

bool is_reserved_name(const std::string& name) {
  return name == "rx" || name == "tx" || name == "drop";
}

Result<RouteConfig> parse_route_config(const CsvFile& file, unsigned n_ports) {
  RouteConfig config;
  config.path = file.path;
  std::map<std::pair<std::string, std::string>, int> seen;  // type and current -> line
  bool has_entry = false;
  for (const CsvRow& row : file.rows) {
    if (row.fields.size() != 3)
      return file.error(row.line, fmt::format("{} fields instead of 3", row.fields.size()),
                        "write: packet type, current NF, next NF");
    const RouteRule rule{
        .type = row.fields[0], .current = row.fields[1], .next = row.fields[2], .line = row.line};
    for (Result<void> check :
         {check_type(file, rule), check_current(file, rule), check_next(file, rule, n_ports)}) {
      if (!check) return check.error();
    }
    const auto [earlier, is_new] = seen.try_emplace({rule.type, rule.current}, rule.line);
    if (!is_new)
      return file.error(rule.line,
                        fmt::format("a second rule for type '{}' at '{}'; the first is in line {}",
                                    rule.type, rule.current, earlier->second),
                        "remove one of the two");
    has_entry |= rule.current == "rx";
    if (rule.type != "*") append_new(config.types, rule.type);
    config.rules.push_back(rule);
  }
  if (!has_entry)
    return Error{.what = fmt::format("{}: no rule says where packets go from rx", file.path),
                 .fix = "add a line such as: *, rx, tx"};
  find_reachable(config);
  return config;
}

Result<RouteConfig> load_route_config(const std::string& path, unsigned n_ports) {
  const Result<CsvFile> file = read_csv(path);
  if (!file) return file.error();
  return parse_route_config(*file, n_ports);
}

Result<RouteConfig> edit_route_config(const RouteConfig& config, RouteEdit edit, RouteRule rule,
                                      unsigned n_ports) {
  const CsvFile command{};  // for errors: there is no file and no line
  rule.line = 0;
  std::vector<Result<void>> checks = {check_type(command, rule), check_current(command, rule)};
  if (edit != RouteEdit::kDelete || !rule.next.empty())
    checks.push_back(check_next(command, rule, n_ports));
  for (const Result<void>& check : checks)
    if (!check) return check.error();

  std::vector<RouteRule> rules = config.rules;
  const auto at = std::find_if(rules.begin(), rules.end(), [&](const RouteRule& r) {
    return r.type == rule.type && r.current == rule.current &&
           (edit != RouteEdit::kDelete || rule.next.empty() || r.next == rule.next);
  });
  const auto error = [&](const char* what, const char* fix) {
    return Error{.what = fmt::format("{} for type '{}' at '{}'", what, rule.type, rule.current),
                 .fix = fix};
  };
  if (edit == RouteEdit::kAdd && at != rules.end())
    return error("there is a rule already", "use hbctl route replace");
  if (edit != RouteEdit::kAdd && at == rules.end())
    return error("there is no such rule", "hbctl routes shows all of them");
  if (edit == RouteEdit::kDelete)
    rules.erase(at);
  else if (edit == RouteEdit::kReplace)
    *at = rule;
  else
    rules.push_back(rule);

  CsvFile all{.path = config.path, .rows = {}};
  for (const RouteRule& r : rules)
    all.rows.push_back({.line = r.line, .fields = {r.type, r.current, r.next}});
  return parse_route_config(all, n_ports);
}

}  // namespace hb
