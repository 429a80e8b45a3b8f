// The list syntax that addresses and ports of rule headers share: !, [a,b], any, $VARIABLE.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "nf_lib/result.h"
#include "nfs/nids/rule_text.h"
#include "nfs/nids/variables.h"

namespace hb::nids {

/// Recursive descent over one set expression; see parse_addresses for its meaning.
/// @tparam Set  has all(), add(), subtract(), empty() and parse_element(text)
template <typename Set>
class SetExpressionParser {
 public:
  explicit SetExpressionParser(VariableUse& variables) : variables_(variables) {}

  /// Every error names the part of the text that is wrong.
  Result<Set> parse(std::string_view text) {
    Result<Term> term = parse_term(trimmed(text), 0);
    if (!term) return term.error();
    Set set = Set::all();
    if (!term->negated) {
      set = std::move(term->set);
    } else if (!term->has_variable) {
      set.subtract(term->set);
    }
    if (set.empty()) return Error{fmt::format("'{}' leaves nothing that could match", text), ""};
    return set;
  }

 private:
  static constexpr int kMaxDepth = 16;
  static constexpr int kMaxExpanded = 4096;  ///< variables in one expression, all depths together

  struct Term {
    Set set;  ///< without the negation
    bool negated = false;
    bool has_variable = false;  ///< one that means `any`
  };

  Result<Term> parse_term(std::string_view text, int depth) {
    Term term;
    if (text.starts_with('!')) {
      term.negated = true;
      text = trimmed(text.substr(1));
    }
    if (text.empty() || text.starts_with('!')) return Error{"an empty or doubly negated item", ""};
    if (text.starts_with('[')) {
      if (!text.ends_with(']') || depth == kMaxDepth) {
        return Error{fmt::format("'{}' is no list", text), ""};
      }
      return parse_list(text.substr(1, text.size() - 2), depth + 1, std::move(term));
    }
    if (text.starts_with('$')) {
      return parse_variable(text, depth, std::move(term));
    }
    if (text == "any" || text == "ANY") {
      if (term.negated) return Error{"'!any' matches nothing", ""};
      term.set = Set::all();
      return term;
    }
    Result<Set> element = Set::parse_element(text);
    if (!element) return element.error();
    term.set = std::move(*element);
    return term;
  }

  Result<Term> parse_list(std::string_view members, int depth, Term term) {
    Set excluded;
    bool has_positive = false;
    while (true) {
      const std::size_t end = member_end(members);
      Result<Term> member = parse_term(trimmed(members.substr(0, end)), depth);
      if (!member) return member.error();
      term.has_variable |= member->has_variable;
      if (!member->negated) {
        has_positive = true;
        term.set.add(member->set);
      } else if (!member->has_variable) {
        excluded.add(member->set);
      }
      if (end == members.size()) break;
      members.remove_prefix(end + 1);
    }
    if (!has_positive) term.set = Set::all();
    term.set.subtract(excluded);
    return term;
  }

  /// @param name  with its `$`
  Result<Term> parse_variable(std::string_view name, int depth, Term term) {
    const Variables* const known = variables_.variables;
    if (known == nullptr || known->all_are_any()) {
      variables_.taken_as_any.emplace(name);
      term.set = Set::all();
      term.has_variable = true;
      return term;
    }
    const std::string* const value = known->find(name.substr(1));
    if (value == nullptr) {
      variables_.undefined.emplace(name);
      return Error{fmt::format("{} is not defined in {}", name, known->path()), ""};
    }
    if (const auto outer = std::ranges::find(expanding_, name); outer != expanding_.end()) {
      variables_.undefined.emplace(name);
      return Error{fmt::format("{} is defined by itself in {}: {} -> {}", name, known->path(),
                               fmt::join(outer, expanding_.end(), " -> "), name),
                   ""};
    }
    if (depth == kMaxDepth || ++n_expanded_ > kMaxExpanded) {
      return Error{fmt::format("{} is nested too deeply in {}", name, known->path()), ""};
    }
    expanding_.push_back(name);
    Result<Term> inner = parse_term(trimmed(*value), depth + 1);
    expanding_.pop_back();
    if (!inner && !variables_.undefined.empty()) return inner.error();  // it names them all
    if (!inner) return Error{fmt::format("{}: {}", name, inner.error().what), ""};
    if (inner->negated) {
      term.set = Set::all();
      term.set.subtract(inner->set);
    } else {
      term.set = std::move(inner->set);
    }
    return term;
  }

  /// Where the first member ends: at a comma outside inner lists, or at the end.
  static std::size_t member_end(std::string_view members) noexcept {
    int depth = 0;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (members[i] == '[') ++depth;
      if (members[i] == ']') --depth;
      if (members[i] == ',' && depth == 0) return i;
    }
    return members.size();
  }

  VariableUse& variables_;
  int n_expanded_ = 0;
  std::vector<std::string_view> expanding_;  ///< variables around what is being parsed
};

}  // namespace hb::nids
