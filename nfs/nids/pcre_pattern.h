// One `pcre` of a rule, compiled by PCRE2.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "nf_lib/result.h"
#include "nfs/nids/payload_steps.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace hb::nids {

/// What a thread needs to match patterns: one for all patterns.
class PcreScratch {
 public:
  PcreScratch() = default;
  /// @return an Error when there is no memory
  static Result<PcreScratch> make();

  /// Matches that were given up: the pattern took too many steps on these bytes.
  [[nodiscard]] std::uint64_t n_given_up() const noexcept { return n_given_up_; }

 private:
  friend class PcrePattern;
  struct Free {
    void operator()(pcre2_real_match_data_8* data) const noexcept;
    void operator()(pcre2_real_match_context_8* context) const noexcept;
    void operator()(pcre2_real_jit_stack_8* stack) const noexcept;
  };
  std::unique_ptr<pcre2_real_jit_stack_8, Free> stack_;
  std::unique_ptr<pcre2_real_match_context_8, Free> context_;
  std::unique_ptr<pcre2_real_match_data_8, Free> data_;
  std::uint64_t n_given_up_ = 0;
};

/// Compiled once, then only read: any number of threads, each with a scratch of its own.
class PcrePattern {
 public:
  /// Steps after which a match is given up, as "does not match": pcre2_set_match_limit. It bounds
  /// what one packet may cost; Suricata's default is 3500.
  static constexpr std::uint32_t kMatchLimit = 10'000;

  struct Span {
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  enum class Outcome { kMatch, kNoMatch, kGivenUp };

  /// @param expression  between the slashes
  /// @param options     PCRE2_* bits
  static Result<std::shared_ptr<const PcrePattern>> compile(std::string_view expression,
                                                            std::uint32_t options);

  /// The first match that starts at `from` or later. Nothing is allocated with the JIT compiler.
  Outcome match(std::span<const std::uint8_t> bytes, std::size_t from, PcreScratch& scratch,
                Span& found) const noexcept;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const noexcept;
  };
  PcrePattern() = default;
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

/// Parses `!"/expression/flags"`. Flags i m s x A E G are Perl's and Snort's, R makes it relative,
/// B and O change nothing; flags that name a buffer are named in `unsupported`.
Result<Pcre> parse_pcre(std::string_view value, std::set<std::string>& unsupported);

}  // namespace hb::nids
