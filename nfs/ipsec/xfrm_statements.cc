// Cutting text into statements.
#include <fmt/format.h>

#include <algorithm>

#include "nfs/ipsec/xfrm_words.h"

namespace hb::ipsec {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

/// iproute2 takes any unambiguous beginning of its words.
bool abbreviates(std::string_view word, std::string_view whole) {
  return !word.empty() && whole.substr(0, word.size()) == word;
}

class Splitter {
 public:
  Splitter(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  Result<std::vector<Statement>> run() {
    while (at_ < text_.size()) {
      if (auto read = read_line(); !read) return read.error();
      if (words_.empty()) continue;
      if (auto added = add_line(); !added) return added.error();
    }
    finish_dump();
    return std::move(statements_);
  }

 private:
  Error error(std::string what, std::string fix) const {
    return {fmt::format("{}:{}: {}", file_, line_, what), std::move(fix)};
  }

  /// One logical line: up to a newline that no backslash precedes.
  Result<void> read_line() {
    words_.clear();
    indented_ = at_ < text_.size() && is_space(text_[at_]);
    ++line_;
    const std::uint32_t first_line = line_;
    while (at_ < text_.size() && text_[at_] != '\n') {
      const char c = text_[at_];
      if (is_space(c)) {
        ++at_;
      } else if (c == '\\' && continues_after(at_ + 1)) {
        at_ = text_.find('\n', at_) + 1;
        ++line_;
      } else if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (auto word = read_word(); !word) {
        return word.error();
      }
    }
    if (at_ < text_.size()) ++at_;
    if (!words_.empty() && words_.front().line == first_line) words_.front().starts_line = true;
    return {};
  }

  bool continues_after(std::size_t at) const {
    while (at < text_.size() && is_space(text_[at])) ++at;
    return at < text_.size() && text_[at] == '\n';
  }

  Result<void> read_word() {
    const char quote = text_[at_];
    std::size_t end = at_;
    if (quote == '"' || quote == '\'') {
      end = text_.find(quote, ++at_);
      const std::size_t newline = text_.find('\n', at_);
      if (end == std::string_view::npos || newline < end)
        return error("a quote is not closed", "close it on the same line");
      words_.push_back({text_.substr(at_, end - at_), line_, false});
      at_ = end + 1;
      return {};
    }
    while (end < text_.size() && !is_space(text_[end]) && text_[end] != '\n') ++end;
    words_.push_back({text_.substr(at_, end - at_), line_, false});
    at_ = end;
    return {};
  }

  Result<void> add_line() {
    const std::string_view first = words_.front().text;
    if (first == "src" && !indented_) {
      finish_dump();
      in_dump_ = true;
      second_line_ = {};
      dump_ = words_;
      return {};
    }
    const std::string_view program = first.substr(first.rfind('/') + 1);
    if (program == "ip" || program == "sudo" || (abbreviates(first, "xfrm") && !in_dump_)) {
      finish_dump();
      return add_command();
    }
    if (!in_dump_)
      return error(fmt::format("{} starts neither an SA nor a policy", shown(first)),
                   "use the output of 'ip xfrm state' and 'ip xfrm policy', or their add commands");
    if (second_line_.empty()) second_line_ = first;
    words_.front().starts_line = true;
    dump_.insert(dump_.end(), words_.begin(), words_.end());
    return {};
  }

  void finish_dump() {
    if (!in_dump_) return;
    in_dump_ = false;
    const bool has_spi = std::ranges::any_of(dump_, [](const Word& w) { return w.text == "spi"; });
    const bool has_dir = std::ranges::any_of(dump_, [](const Word& w) {
      return w.starts_line && (w.text == "dir" || w.text == "socket");
    });
    const bool is_state = second_line_ == "proto" || (second_line_.empty() && has_spi && !has_dir);
    // Sockets' own policies, which key daemons set for their own traffic, protect nothing.
    if (second_line_ != "socket")
      statements_.push_back(
          {is_state ? StatementKind::kState : StatementKind::kPolicy, std::move(dump_)});
    dump_.clear();
  }

  /// `[sudo] ip [options] xfrm state|policy add|update|flush ...`
  Result<void> add_command() {
    std::size_t at = 0;
    const auto word = [&]() { return at < words_.size() ? words_[at].text : std::string_view(); };
    if (word() == "sudo") ++at;
    if (!abbreviates(word(), "xfrm")) ++at;
    while (!word().empty() && word().front() == '-') {
      const bool has_value =
          word() == "-f" || word() == "-family" || word() == "-n" || word() == "-netns";
      at += has_value ? 2 : 1;
    }
    if (!abbreviates(word(), "xfrm"))
      return error("not an 'ip xfrm' command", "keep only those of states and policies");
    ++at;
    const bool is_state = abbreviates(word(), "state") || word() == "sa";
    if (!is_state && !abbreviates(word(), "policy"))
      return error(fmt::format("'ip xfrm {}' is not known", shown(word())), "use state or policy");
    ++at;
    const std::string_view verb = word();
    ++at;
    if (abbreviates(verb, "flush")) {
      statements_.push_back(
          {is_state ? StatementKind::kFlushStates : StatementKind::kFlushPolicies, {}});
      return {};
    }
    if (!abbreviates(verb, "add") && !abbreviates(verb, "update"))
      return error(fmt::format("the command {} has no meaning in a file", shown(verb)),
                   "use add, update or flush");
    statements_.push_back(
        {is_state ? StatementKind::kState : StatementKind::kPolicy,
         {words_.begin() + static_cast<std::ptrdiff_t>(std::min(at, words_.size())),
          words_.end()}});
    if (statements_.back().words.empty()) return error("nothing follows 'add'", "say src and dst");
    return {};
  }

  const std::string& file_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 0;
  bool indented_ = false;
  std::vector<Word> words_;
  bool in_dump_ = false;
  std::string_view second_line_;  ///< the dump's second line's first word
  std::vector<Word> dump_;
  std::vector<Statement> statements_;
};

}  // namespace

Result<std::vector<Statement>> split_statements(const std::string& file, std::string_view text) {
  return Splitter(file, text).run();
}

}  // namespace hb::ipsec
