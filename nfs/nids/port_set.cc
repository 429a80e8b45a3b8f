#include "nfs/nids/port_set.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "nfs/nids/set_expression.h"

namespace hb::nids {
namespace {

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return port;
}

}  // namespace

PortSet PortSet::all() {
  PortSet set;
  set.ports_ = IntervalSet<std::uint16_t>::all();
  set.any_ = true;
  return set;
}

void PortSet::add(const PortSet& other) {
  ports_.add(other.ports_);
  any_ = any_ || other.any_;
}

void PortSet::subtract(const PortSet& other) {
  ports_.subtract(other.ports_);
  any_ = any_ && other.empty();
}

Result<PortSet> PortSet::parse_element(std::string_view text) {
  std::optional<std::uint16_t> first = 0;
  std::optional<std::uint16_t> last = 65535;
  if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    const std::string_view from = trimmed(text.substr(0, colon));
    const std::string_view to = trimmed(text.substr(colon + 1));
    if (from.empty() && to.empty()) first.reset();
    if (!from.empty()) first = parse_port(from);
    if (!to.empty()) last = parse_port(to);
  } else {
    first = last = parse_port(text);
  }
  if (!first || !last || *first > *last) {
    return Error{fmt::format("'{}' is no port or port range", text), ""};
  }
  PortSet set;
  set.ports_.add(*first, *last);
  return set;
}

Result<PortSet> parse_ports(std::string_view text, VariableUse& variables) {
  return SetExpressionParser<PortSet>(variables).parse(text);
}

}  // namespace hb::nids
