#define PCRE2_CODE_UNIT_WIDTH 8
#include "nfs/nids/pcre_pattern.h"

#include <fmt/format.h>
#include <pcre2.h>

#include "nfs/nids/content_parser.h"
#include "nfs/nids/rule_text.h"

namespace hb::nids {
namespace {

constexpr std::size_t kJitStackStart = 32 * 1024;
constexpr std::size_t kJitStackMost = 512 * 1024;
/// For patterns that the JIT compiler does not take; in KiB.
constexpr std::uint32_t kHeapLimitKib = 1024;
/// Longer expressions than rules have: compiling takes time and memory.
constexpr std::size_t kMaxExpressionBytes = 16 * 1024;

}  // namespace

void PcreScratch::Free::operator()(pcre2_match_data* data) const noexcept {
  pcre2_match_data_free(data);
}
void PcreScratch::Free::operator()(pcre2_match_context* context) const noexcept {
  pcre2_match_context_free(context);
}
void PcreScratch::Free::operator()(pcre2_jit_stack* stack) const noexcept {
  pcre2_jit_stack_free(stack);
}
void PcrePattern::Free::operator()(pcre2_code* code) const noexcept { pcre2_code_free(code); }

Result<PcreScratch> PcreScratch::make() {
  PcreScratch scratch;
  scratch.data_.reset(pcre2_match_data_create(1, nullptr));
  scratch.context_.reset(pcre2_match_context_create(nullptr));
  scratch.stack_.reset(pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr));
  if (scratch.data_ == nullptr || scratch.context_ == nullptr) {
    return Error{"PCRE2 has no memory to match with", "free some memory"};
  }
  pcre2_set_match_limit(scratch.context_.get(), PcrePattern::kMatchLimit);
  pcre2_set_heap_limit(scratch.context_.get(), kHeapLimitKib);
  // Without a stack of its own (none where PCRE2 has no JIT compiler) the thread's is used.
  if (scratch.stack_ != nullptr) {
    pcre2_jit_stack_assign(scratch.context_.get(), nullptr, scratch.stack_.get());
  }
  return scratch;
}

Result<std::shared_ptr<const PcrePattern>> PcrePattern::compile(std::string_view expression,
                                                                std::uint32_t options) {
  if (expression.size() > kMaxExpressionBytes) {
    return Error{fmt::format("the expression is longer than {} bytes", kMaxExpressionBytes), ""};
  }
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* const code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                    options | PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF, &error, &at, nullptr);
  if (code == nullptr) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(error, text, sizeof text);
    return Error{fmt::format("{} at byte {}", reinterpret_cast<const char*>(text), at), ""};
  }
  auto pattern = std::shared_ptr<PcrePattern>(new PcrePattern);
  pattern->code_.reset(code);
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where it can't, pcre2_match interprets
  return std::shared_ptr<const PcrePattern>(std::move(pattern));
}

PcrePattern::Outcome PcrePattern::match(std::span<const std::uint8_t> bytes, std::size_t from,
                                        PcreScratch& scratch, Span& found) const noexcept {
  static constexpr std::uint8_t kNothing = 0;  // PCRE2 wants a pointer to no bytes, too
  const std::uint8_t* const subject = bytes.empty() ? &kNothing : bytes.data();
  const int status = pcre2_match(code_.get(), subject, bytes.size(), from, 0, scratch.data_.get(),
                                 scratch.context_.get());
  if (status == PCRE2_ERROR_NOMATCH) return Outcome::kNoMatch;
  if (status < 0) {
    ++scratch.n_given_up_;
    return Outcome::kGivenUp;
  }
  const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(scratch.data_.get());
  // \K in a lookahead may put the start behind the end.
  found = {ends[0] < ends[1] ? ends[0] : ends[1], ends[1]};
  return Outcome::kMatch;
}

Result<Pcre> parse_pcre(std::string_view value, std::set<std::string>& unsupported) {
  Pcre pcre;
  value = trimmed(value);
  if (value.starts_with('!')) {
    pcre.negated = true;
    value = trimmed(value.substr(1));
  }
  if (!value.starts_with('"')) return Error{"the expression is not in quotes", ""};
  const std::size_t quote = closing_quote(value);
  if (quote == std::string_view::npos) return Error{"a quote is not closed", ""};
  if (!trimmed(value.substr(quote + 1)).empty()) unsupported.insert("pcre with captures");
  const std::string_view text = value.substr(1, quote - 1);
  const std::size_t slash = text.rfind('/');
  if (!text.starts_with('/') || slash == 0) {
    return Error{"the expression does not stand between slashes", ""};
  }
  std::uint32_t options = 0;
  for (const char flag : text.substr(slash + 1)) {
    switch (flag) {
      case 'i':
        options |= PCRE2_CASELESS;
        break;
      case 'm':
        options |= PCRE2_MULTILINE;
        break;
      case 's':
        options |= PCRE2_DOTALL;
        break;
      case 'x':
        options |= PCRE2_EXTENDED;
        break;
      case 'A':
        options |= PCRE2_ANCHORED;
        break;
      case 'E':
        options |= PCRE2_DOLLAR_ENDONLY;
        break;
      case 'G':
        options |= PCRE2_UNGREEDY;
        break;
      case 'R':
        pcre.relative = true;
        break;
      case 'B':
      case 'O':
        break;
      case 'C':
      case 'D':
      case 'H':
      case 'I':
      case 'K':
      case 'M':
      case 'P':
      case 'Q':
      case 'S':
      case 'U':
      case 'V':
      case 'W':
      case 'Y':
      case 'Z':
        unsupported.insert(fmt::format("pcre:/{}", flag));
        break;
      default:
        return Error{fmt::format("'{}' is no flag", flag), ""};
    }
  }
  auto pattern = PcrePattern::compile(text.substr(1, slash - 1), options);
  if (!pattern) return pattern.error();
  pcre.pattern = std::move(*pattern);
  return pcre;
}

}  // namespace hb::nids
