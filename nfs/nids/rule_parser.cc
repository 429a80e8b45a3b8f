#include "nfs/nids/rule_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include "nfs/nids/content_parser.h"
#include "nfs/nids/set_expression.h"

namespace hb::nids {
namespace {

constexpr std::array<std::string_view, 16> kActions = {
    "alert", "drop",     "pass",    "reject", "rejectsrc", "rejectdst", "rejectboth", "log",
    "sdrop", "activate", "dynamic", "block",  "react",     "rewrite",   "config",     "accept"};

/// Options that describe a rule and do not change what it matches.
constexpr std::array<std::string_view, 6> kInformational = {"classtype", "reference", "metadata",
                                                            "priority",  "target",    "rem"};

template <std::size_t n>
bool is_one_of(std::string_view word, const std::array<std::string_view, n>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), to_lower_ascii);
  return result;
}

std::optional<std::uint32_t> parse_u32(std::string_view text) {
  text = trimmed(text);
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// One `name:value;` or `name;`.
struct Option {
  std::string name;  ///< lower case
  std::string_view value;
  bool has_value = false;
};

/// Splits at the semicolons that are neither quoted nor escaped. The last option must end in one.
Result<std::vector<Option>> split_options(std::string_view text) {
  std::vector<Option> options;
  std::size_t start = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == ';' && !quoted) {
      const std::string_view item = trimmed(text.substr(start, i - start));
      start = i + 1;
      if (item.empty()) continue;
      const std::size_t colon = item.find(':');
      Option option{.name = lower(trimmed(item.substr(0, colon))), .value = {}, .has_value = false};
      if (option.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") !=
              std::string::npos ||
          option.name.empty()) {
        return Error{fmt::format("'{}' is no option name", option.name), ""};
      }
      if (colon != std::string_view::npos) {
        option.has_value = true;
        option.value = trimmed(item.substr(colon + 1));
      }
      options.push_back(std::move(option));
    }
  }
  if (quoted) return Error{"a quote is not closed", ""};
  if (!trimmed(text.substr(std::min(start, text.size()))).empty()) {
    return Error{"the last option does not end in ';'", ""};
  }
  return options;
}

/// Splits at blanks outside of brackets: `[1, 2]` is one word.
std::vector<std::string_view> split_header(std::string_view text) {
  std::vector<std::string_view> words;
  int depth = 0;
  std::size_t start = std::string_view::npos;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const bool blank = i == text.size() || text[i] == ' ' || text[i] == '\t';
    if (!blank && start == std::string_view::npos) start = i;
    if (i < text.size() && text[i] == '[') ++depth;
    if (i < text.size() && text[i] == ']') --depth;
    if ((blank && depth <= 0) || i == text.size()) {
      if (start != std::string_view::npos) words.push_back(text.substr(start, i - start));
      start = std::string_view::npos;
    }
  }
  return words;
}

std::optional<RuleProtocol> parse_protocol(std::string_view name) {
  if (name == "ip") return RuleProtocol::kIp;
  if (name == "tcp") return RuleProtocol::kTcp;
  if (name == "udp") return RuleProtocol::kUdp;
  if (name == "icmp") return RuleProtocol::kIcmp;
  return std::nullopt;
}

/// Fills one ParsedRule, step by step; each step returns why the rule is malformed, or success.
class RuleParser {
 public:
  explicit RuleParser(ParsedRule& parsed) : parsed_(parsed) {}

  Result<void> parse(std::string_view text) {
    const std::size_t open = text.find('(');
    const std::size_t close = text.rfind(')');
    if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
      return Error{"the options are not in parentheses", ""};
    }
    if (!trimmed(text.substr(close + 1)).empty()) return Error{"text follows the last ')'", ""};
    if (auto done = parse_header(text.substr(0, open)); !done) return done;
    Result<std::vector<Option>> options = split_options(text.substr(open + 1, close - open - 1));
    if (!options) return options.error();
    for (const Option& option : *options) {
      if (auto done = parse_option(option); !done) {
        return Error{fmt::format("{}: {}", option.name, done.error().what), ""};
      }
    }
    if (!has_sid_) return Error{"sid is missing", ""};
    return {};
  }

 private:
  Result<void> parse_header(std::string_view text) {
    const std::vector<std::string_view> words = split_header(text);
    if (words.empty()) return Error{"the rule has no action", ""};
    const std::string action = lower(words[0]);
    if (!is_one_of(action, kActions)) {
      return Error{fmt::format("'{}' is no rule action", words[0]), ""};
    }
    if (action != "alert") parsed_.unsupported.insert("action " + action);
    const std::string protocol_name = words.size() > 1 ? lower(words[1]) : "";
    if (const auto protocol = parse_protocol(protocol_name)) {
      parsed_.rule.header.protocol = *protocol;
    } else if (!protocol_name.empty()) {
      parsed_.unsupported.insert("protocol " + protocol_name);
    }
    if (!parsed_.unsupported.empty()) return {};  // its header may have another form
    if (words.size() != 7) {
      return Error{"the header is not 'action protocol address port -> address port'", ""};
    }
    if (words[4] != "->" && words[4] != "<>") {
      return Error{fmt::format("'{}' is no direction", words[4]), ""};
    }
    RuleHeader& header = parsed_.rule.header;
    header.bidirectional = words[4] == "<>";
    if (auto done = store(parse_addresses(words[2], parsed_.variables), header.src); !done) {
      return done;
    }
    if (auto done = store(parse_ports(words[3], parsed_.variables), header.src_ports); !done) {
      return done;
    }
    if (auto done = store(parse_addresses(words[5], parsed_.variables), header.dst); !done) {
      return done;
    }
    return store(parse_ports(words[6], parsed_.variables), header.dst_ports);
  }

  template <typename T>
  static Result<void> store(Result<T> value, T& target) {
    if (!value) return value.error();
    target = std::move(*value);
    return {};
  }

  /// The one place that knows which options there are.
  Result<void> parse_option(const Option& option) {
    if (option.name == "content") return parse_content_option(option);
    if (option.name == "nocase") return parse_nocase(option);
    if (option.name == "msg") return store(parse_quoted_text(option.value), parsed_.rule.msg);
    if (option.name == "sid") return parse_sid(option);
    if (option.name == "rev") return parse_number(option, parsed_.rule.rev, has_rev_);
    if (option.name == "gid") return parse_number(option, parsed_.rule.gid, has_gid_);
    if (!is_one_of(option.name, kInformational)) parsed_.unsupported.insert(option.name);
    return {};
  }

  Result<void> parse_content_option(const Option& option) {
    Result<ContentValue> value = parse_content(option.value);
    if (!value) return value.error();
    if (value->negated) parsed_.unsupported.insert("content:!");
    parsed_.rule.contents.push_back({.bytes = std::move(value->bytes)});
    for (const std::string& modifier : value->modifiers) {
      if (lower(modifier) == "nocase") {
        fold_last_content();
      } else {
        parsed_.unsupported.insert(lower(modifier));
      }
    }
    return {};
  }

  Result<void> parse_nocase(const Option& option) {
    if (option.has_value) return Error{"takes no value", ""};
    // The content before it may be one of an option that is not supported.
    if (parsed_.rule.contents.empty()) {
      if (parsed_.unsupported.empty()) return Error{"no content comes before it", ""};
      return {};
    }
    fold_last_content();
    return {};
  }

  void fold_last_content() {
    Content& content = parsed_.rule.contents.back();
    content.nocase = true;
    std::transform(content.bytes.begin(), content.bytes.end(), content.bytes.begin(),
                   to_lower_ascii);
  }

  Result<void> parse_sid(const Option& option) {
    if (auto done = parse_number(option, parsed_.rule.sid, has_sid_); !done) return done;
    if (parsed_.rule.sid == 0) return Error{"0 is no rule number", ""};
    return {};
  }

  Result<void> parse_number(const Option& option, std::uint32_t& target, bool& seen) {
    if (seen) return Error{"stands twice", ""};
    const auto value = parse_u32(option.value);
    if (!value) return Error{fmt::format("'{}' is no number", option.value), ""};
    target = *value;
    seen = true;
    return {};
  }

  ParsedRule& parsed_;
  bool has_sid_ = false;
  bool has_rev_ = false;
  bool has_gid_ = false;
};

}  // namespace

ParsedRule parse_rule(std::string_view text) {
  ParsedRule parsed;
  const Result<void> done = RuleParser(parsed).parse(trimmed(text));
  if (!done) {
    parsed.why = done.error().what;
    parsed.kind = ParsedRule::Kind::kMalformed;
  } else {
    parsed.kind =
        parsed.unsupported.empty() ? ParsedRule::Kind::kRule : ParsedRule::Kind::kUnsupported;
  }
  return parsed;
}

bool begins_like_rule(std::string_view text) {
  const std::vector<std::string_view> words = split_header(text);
  return !words.empty() && is_one_of(lower(words[0]), kActions) &&
         text.find('(') != std::string_view::npos;
}

}  // namespace hb::nids
