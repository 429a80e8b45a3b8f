// Text in the form of iproute2's `ip xfrm`, cut into statements and words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nf_lib/esp/address.h"
#include "nf_lib/result.h"
#include "nfs/ipsec/sa.h"

namespace hb::ipsec {

struct Word {
  std::string_view text;  ///< without the quotes around it
  std::uint32_t line = 0;
  bool starts_line = false;
};

enum class StatementKind : std::uint8_t {
  kState,
  kPolicy,
  kFlushStates,    ///< `ip xfrm state flush`: forget the ones above
  kFlushPolicies,  ///< `ip xfrm policy flush`
};

/// One SA or policy: of a dump (`ip xfrm state`, a line that starts with `src` and those indented
/// below it) or a command (`ip xfrm state add ...`, with `\` at line ends, also in `ip -batch`
/// form).
struct Statement {
  StatementKind kind = StatementKind::kState;
  std::vector<Word> words;  ///< from `src` on
};

/// @param text  lives as long as the statements, which point into it
Result<std::vector<Statement>> split_statements(const std::string& file, std::string_view text);

/// Reads the words of one statement. The first error stays; from then on nothing is read.
class WordReader {
 public:
  WordReader(const std::string& file, const std::vector<Word>& words)
      : file_(file), words_(words) {}

  [[nodiscard]] bool done() const { return error_.has_value() || at_ == words_.size(); }
  [[nodiscard]] const Error& error() const { return *error_; }
  [[nodiscard]] bool failed() const { return error_.has_value(); }
  [[nodiscard]] std::string_view peek() const {
    return at_ < words_.size() ? words_[at_].text : std::string_view();
  }
  [[nodiscard]] bool at_line_start() const {
    return at_ < words_.size() && words_[at_].starts_line;
  }
  [[nodiscard]] std::uint32_t line() const;

  /// The next word, or an error that something is missing after the one before.
  std::string_view next();
  /// Takes the word if it is the next one.
  bool take(std::string_view word);
  /// Goes to the start of the next line.
  void skip_line();
  /// Skips notes in brackets, as `ip -s` adds them: "(160 bits)".
  void skip_notes();

  /// 0x..., decimal, with what `ip -s` adds: "0x301(769)", "5,"; "(INF)" is kNoLimit.
  std::uint64_t number(std::string_view name, std::uint64_t most);
  IpAddress address();
  IpPrefix prefix();
  /// `src P dst P [proto N] [sport N] [dport N] ...`, as in a policy's head and after `sel`.
  Selector selector(std::vector<std::string>& warnings);
  /// A key's bytes, hexadecimal after 0x, else the characters themselves.
  /// @return bytes written; an error if there are more than most
  std::uint32_t key(std::uint8_t* to, std::uint32_t most);

  void fail(std::string what, std::string fix);
  [[nodiscard]] std::string here() const;  ///< "file:line"

 private:
  const std::string& file_;
  const std::vector<Word>& words_;
  std::size_t at_ = 0;
  std::optional<Error> error_;
};

/// A word for a message: keys are longer than what is shown, and start with 0x.
std::string shown(std::string_view word);

}  // namespace hb::ipsec
