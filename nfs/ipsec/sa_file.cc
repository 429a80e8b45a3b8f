#include "nfs/ipsec/sa_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "nfs/ipsec/secret_file.h"
#include "nfs/ipsec/xfrm_state.h"

namespace hb::ipsec {
namespace {

Result<void> check_unique(const SaFile& file) {
  // Sorted by what a receiver looks at; equal neighbours can't be told apart.
  std::vector<const SaConfig*> order;
  for (const SaConfig& sa : file.sas) order.push_back(&sa);
  const auto key = [](const SaConfig* sa) {
    return std::tuple(sa->spi, sa->dst.version, sa->dst.bytes, sa->line);
  };
  std::ranges::sort(order, {}, key);
  for (std::size_t i = 1; i < order.size(); ++i) {
    const SaConfig& a = *order[i - 1];
    const SaConfig& b = *order[i];
    if (a.spi == b.spi && a.dst == b.dst)
      return Error{fmt::format("{}:{}: a second SA with SPI {:#x} to {}, the first is in line {}",
                               file.name, b.line, b.spi, to_string(b.dst), a.line),
                   "keep one of them"};
  }
  return {};
}

}  // namespace

Result<SaFile> parse_sa_file(const std::string& name, std::string_view text) {
  SaFile file;
  file.name = name;
  const Result<std::vector<Statement>> statements = split_statements(name, text);
  if (!statements) return statements.error();
  const auto n_states = std::ranges::count_if(
      *statements, [](const Statement& s) { return s.kind == StatementKind::kState; });
  if (static_cast<std::size_t>(n_states) > kMaxSas)
    return Error{fmt::format("{}: {} SAs", name, n_states),
                 fmt::format("split it: an instance takes {}", kMaxSas)};
  if (n_states != 0) file.sas.reserve(static_cast<std::size_t>(n_states));
  for (const Statement& statement : *statements) {
    switch (statement.kind) {
      case StatementKind::kState: {
        const Result<void> read =
            parse_state(name, statement, file.sas.emplace_back(), file.warnings);
        if (!read) return read.error();
        break;
      }
      case StatementKind::kPolicy: {
        Result<PolicyConfig> policy = parse_policy(name, statement, file.warnings);
        if (!policy) return policy.error();
        file.policies.push_back(*policy);
        break;
      }
      case StatementKind::kFlushStates:
        file.sas.clear();
        break;
      case StatementKind::kFlushPolicies:
        file.policies.clear();
        break;
    }
  }
  if (file.sas.empty()) return Error{name + ": no SA", "give it what 'ip xfrm state' prints"};
  if (const Result<void> unique = check_unique(file); !unique) return unique.error();
  std::ranges::stable_sort(file.policies, {}, &PolicyConfig::priority);
  return file;
}

Result<SaFile> read_sa_file(const std::string& path) {
  const Result<SecretVector<char>> text = read_secret_file(path);
  if (!text) return text.error();
  return parse_sa_file(path, std::string_view(text->data(), text->size()));
}

}  // namespace hb::ipsec
