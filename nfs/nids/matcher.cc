#include "nfs/nids/matcher.h"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace hb::nids {
namespace {

/// The bytes as a regular expression. Not hs_compile_lit_multi: scans of some sets compiled by it
/// end in HS_UNKNOWN_ERROR with Hyperscan 5.4.0, when patterns match once only.
std::string as_expression(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string expression;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    expression += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return expression;
}

}  // namespace

Result<Matcher> Matcher::compile(std::span<const Pattern> patterns) {
  Matcher matcher;
  if (patterns.empty()) return matcher;
  std::vector<std::string> expressions;
  std::vector<const char*> texts;
  std::vector<unsigned> flags;
  std::vector<unsigned> ids;
  expressions.reserve(patterns.size());
  for (const Pattern& pattern : patterns) {
    expressions.push_back(as_expression(pattern.bytes));
    texts.push_back(expressions.back().c_str());
    // One match says all: the rule's other conditions do not depend on where it was.
    flags.push_back(HS_FLAG_SINGLEMATCH | (pattern.nocase ? HS_FLAG_CASELESS : 0));
    ids.push_back(static_cast<unsigned>(ids.size()));
  }
  hs_database_t* database = nullptr;
  hs_compile_error_t* error = nullptr;
  const hs_error_t status =
      hs_compile_multi(texts.data(), flags.data(), ids.data(), static_cast<unsigned>(texts.size()),
                       HS_MODE_BLOCK, nullptr, &database, &error);
  if (status != HS_SUCCESS) {
    Error failure{fmt::format("Hyperscan can't compile {} contents: {}", patterns.size(),
                              error != nullptr ? error->message : "unknown reason"),
                  "load fewer rules, or run on a CPU with SSSE3"};
    hs_free_compile_error(error);
    return failure;
  }
  matcher.database_.reset(database);
  return matcher;
}

Result<void> Matcher::grow(MatcherScratch& scratch) const {
  if (database_ == nullptr) return {};
  hs_scratch_t* grown = scratch.scratch_.release();
  const hs_error_t status = hs_alloc_scratch(database_.get(), &grown);
  scratch.scratch_.reset(grown);
  if (status != HS_SUCCESS) {
    return Error{fmt::format("Hyperscan has no scratch memory: error {}", status),
                 "free some memory or load fewer rules"};
  }
  return {};
}

}  // namespace hb::nids
